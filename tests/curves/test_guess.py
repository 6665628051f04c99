"""The quick guess: its tables against numpy's polynomials, and what it proves against the exact reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev as series

from smrjax.curves.guess import guess
from smrjax.curves.series import chebyshev, clenshaw, derivative, elevation, restriction, squares
from tests.curves import hard_cases, reference
from tests.curves.reference import bernstein_table

PLACES = np.linspace(0, 1, 13)


@settings(deadline=None)
@given(degree=st.integers(1, 38), more=st.integers(0, 19), low=st.floats(0, 0.9), width=st.floats(0.05, 1))
def test_elevation_and_restriction_keep_the_polynomial(degree, more, low, width):
    c = np.random.default_rng(0).normal(size=degree + 1)
    value = bernstein_table(degree, PLACES) @ c
    np.testing.assert_allclose(bernstein_table(degree + more, PLACES) @ elevation(degree, degree + more) @ c, value)
    high = min(1.0, low + width)
    part = bernstein_table(degree, PLACES) @ restriction(degree, low, high) @ c
    np.testing.assert_allclose(part, bernstein_table(degree, low + (high - low) * PLACES) @ c, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(degree=st.integers(1, 38), order=st.integers(0, 4))
def test_chebyshev_coefficients_are_those_of_the_derivative(degree, order):
    order = min(order, degree)
    c = np.random.default_rng(1).normal(size=degree + 1)
    # numpy differentiates the Chebyshev series that goes through the same values.
    nodes = (np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)) + 1) / 2
    whole = series.Chebyshev.fit(nodes, bernstein_table(degree, nodes) @ c, degree, domain=[0, 1])
    expected = whole.deriv(order)(PLACES) if order else whole(PLACES)
    rows = chebyshev(degree, order) @ c
    with jax.enable_x64(True):
        value = clenshaw(jnp.asarray(rows), jnp.asarray(PLACES))
    scale = np.abs(rows).sum()
    np.testing.assert_allclose(value, expected, atol=1e-9 * scale)


@pytest.mark.parametrize("unrolled", [False, True])
@pytest.mark.parametrize("degree", [1, 2, 5, 19])
def test_f_is_half_the_squared_distance_up_to_a_constant(degree, unrolled):
    rng = np.random.default_rng(degree)
    control, z, u = rng.normal(size=(1, degree + 1, 4)), rng.normal(size=(9, 4)), rng.random(9)
    with jax.enable_x64(True):
        v, gram = jnp.asarray(control[0] @ z.T), jnp.asarray(control @ control.swapaxes(1, 2))
        of_one = v, squares(gram)[0][:, None]
        f, slope, bend = (derivative(*of_one, order, jnp.asarray(u), unrolled=unrolled) for order in range(3))
    half = lambda u: ((reference.points_at(control, u) - z) ** 2).sum(-1) / 2  # noqa: E731
    np.testing.assert_allclose(f, half(u) - (z**2).sum(-1) / 2, atol=1e-10)
    np.testing.assert_allclose(slope, (half(u + 1e-6) - half(u - 1e-6)) / 2e-6, atol=1e-6)
    finite = (half(u + 1e-4) - 2 * half(u) + half(u - 1e-4)) / 1e-8
    np.testing.assert_allclose(bend, finite, atol=1e-5 * np.abs(finite).max())


def _guess(control, z):
    """t on a curve that is scaled as `project` does it, NaN where unproven."""
    flat = control.reshape(-1, control.shape[-1])
    centre = flat.mean(0)
    size = np.sqrt(((flat - centre) ** 2).sum(-1).max())
    unit = ((control - centre) / size).astype(np.float32)
    v = np.einsum("pid,nd->pin", unit, (z - centre) / size).astype(np.float32)
    gram = np.einsum("pid,pjd->pij", unit, unit)
    return np.asarray(jax.jit(guess)(jnp.asarray(v), jnp.asarray(gram)), np.float64)


@pytest.mark.parametrize("shape", [(1, 5, 64), (1, 19, 64), (5, 3, 64)], ids=str)
def test_cells_around_an_open_curve_are_proven_and_right(shape):
    rng = np.random.default_rng(2)
    control = hard_cases.curve(rng, "straight", *shape)
    size = np.sqrt(reference.squared_size(control))
    z = reference.points_at(control, rng.random(400)) + size * rng.normal(size=(400, 64)) / 64
    t = _guess(control, z)
    proven = ~np.isnan(t)
    assert proven.mean() > 0.9
    best, _ = reference.nearest(control, z[proven])
    found = ((reference.points_at(control, t[proven]) - z[proven]) ** 2).sum(-1)
    assert (found - best).max() <= 1e-6 * (reference.squared_size(control) + best.max())


def test_nothing_is_proven_where_two_minima_cannot_be_told_apart():
    # A parabola and points on its axis, above its centre of curvature: as near on the left as on the right.
    control = np.array([[[-1.0, 1.0], [0.0, -1.0], [1.0, 1.0]]])
    z = np.stack([np.zeros(20), np.linspace(0.7, 1.2, 20)], -1)
    t = _guess(control, z)
    best, _ = reference.nearest(control, z)
    right = ~np.isnan(t)
    found = ((reference.points_at(control, np.where(right, t, 0.0)) - z) ** 2).sum(-1)
    assert (found - best)[right].max(initial=0) <= 1e-6
    # A point beside the axis has one minimum that is lower, and the guess must not prove the other one.
    z[:, 0] = np.where(np.arange(20) % 2, 1e-3, -1e-3)
    t = _guess(control, z)
    right = ~np.isnan(t)
    assert (np.sign(t - 0.5) == np.sign(z[:, 0]))[right].all()
