"""The curve type against scipy's Bernstein polynomials, and lengths against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BPoly

from smrjax.curves import Curve

SHAPES = [(1, 1, 2), (1, 5, 3), (3, 3, 4), (4, 1, 2)]


def _curve(shape, seed=0):
    pieces, degree, dim = shape
    steps = np.random.default_rng(seed).normal(size=(pieces * degree + 1, dim)).cumsum(0)
    return np.stack([steps[k * degree : (k + 1) * degree + 1] for k in range(pieces)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_curve_and_derivatives_are_those_of_scipy(shape, order):
    with jax.enable_x64(True):
        control = _curve(shape)
        pieces = shape[0]
        authority = BPoly(control.transpose(1, 0, 2), np.linspace(0, 1, pieces + 1))
        # Off the joints, where a derivative has two values; the ends are among them.
        t = np.concatenate([[0, 1], np.random.default_rng(1).random(40)])
        curve = Curve(jnp.asarray(control))
        found = [curve, curve.derivative, curve.second_derivative][order](jnp.asarray(t))
        expected = authority(t) if order == 0 else authority.derivative(order)(t)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_beyond_its_ends_the_curve_is_its_tangent(shape):
    with jax.enable_x64(True):
        control = _curve(shape)
        pieces, degree, _ = shape
        curve = Curve(jnp.asarray(control))
        before, after = control[0, 0], control[-1, -1]
        start = pieces * degree * (control[0, 1] - control[0, 0])
        end = pieces * degree * (control[-1, -1] - control[-1, -2])
        np.testing.assert_allclose(curve(-0.5), before - 0.5 * start, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(curve(1.25), after + 0.25 * end, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(curve.derivative(1.25), end, rtol=1e-10, atol=1e-10)
        assert (curve.second_derivative(jnp.array([-0.5, 1.25])) == 0).all()


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, -0.2, 1.3])
def test_automatic_derivatives_by_t_are_the_derivative_at_the_ends_too(t):
    with jax.enable_x64(True):
        curve = Curve(jnp.asarray(_curve((1, 4, 3))))
        first = jax.jacfwd(curve)(t)
        np.testing.assert_allclose(first, curve.derivative(t), rtol=1e-10)
        assert np.isfinite(jax.jacfwd(jax.jacfwd(curve))(t)).all()


def test_length_of_a_line_and_of_a_parabola():
    line = Curve(jnp.array([[[1.0, 1.0], [4.0, 5.0]]]))
    np.testing.assert_allclose([line.length(), line.chord(), line.bend()], [5, 5, 0], atol=1e-6)
    # y = x² from 0 to 1 has length √5/2 + asinh(2)/4.
    parabola = Curve(jnp.array([[[0.0, 0.0], [0.5, 0.0], [1.0, 1.0]]]))
    length = np.sqrt(5) / 2 + np.arcsinh(2) / 4
    np.testing.assert_allclose(parabola.length(), length, rtol=1e-6)
    np.testing.assert_allclose(parabola.bend(), 1 - np.sqrt(2) / length, rtol=1e-5)


def test_length_of_pieces_is_their_sum_and_of_a_cusp_nearly_right():
    square = Curve(jnp.array([[[0.0, 0], [1, 0]], [[1, 0], [1, 1]], [[1, 1], [0, 1]], [[0, 1], [0, 0]]]))
    np.testing.assert_allclose([square.length(), square.bend()], [4, 1], atol=1e-6)
    there_and_back = Curve(jnp.array([[[0.0], [2.0], [0.0]]]))
    np.testing.assert_allclose(there_and_back.length(), 2.0, rtol=2e-3)


def test_a_point_has_no_length_no_bend_and_finite_gradients():
    def measures(control):
        curve = Curve(control)
        return jnp.stack([curve.length(), curve.chord(), curve.bend()])

    point = jnp.ones((1, 4, 3))
    assert (measures(point) == 0).all()
    assert np.isfinite(jax.jacrev(measures)(point)).all()


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 2)], ids=str)
def test_t_of_any_shape(shape):
    curve = Curve(jnp.asarray(_curve((2, 2, 3)), jnp.float32))
    t = jnp.asarray(np.random.default_rng(0).random(shape), jnp.float32)
    assert curve(t).shape == (*shape, 3)
    for index in np.ndindex(*shape):
        np.testing.assert_allclose(curve(t)[index], curve(t[index]), rtol=1e-5, atol=1e-5)


def test_a_curve_is_a_pytree_that_maps():
    many = Curve(jnp.stack([jnp.asarray(_curve((1, 3, 2), seed)) for seed in range(4)]))
    points = jax.jit(jax.vmap(lambda curve: curve(0.25)))(many)
    for one, point in zip(many.control, points, strict=True):
        np.testing.assert_allclose(Curve(one)(0.25), point, rtol=1e-6)
