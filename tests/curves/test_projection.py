"""The nearest point against exact references in float64: no wrong minimum, and gradients against finite differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax import lax

from smrjax.curves import Curve, bezier, distance, project, spline
from smrjax.curves.guess import CHUNK
from smrjax.curves.projection import BATCH, FEW
from tests.curves import hard_cases, reference

# How wrong a squared distance may be, relative to the curve's squared size plus the best squared distance.
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
# (pieces, degree, dimensions): (C, D) = (2, 3), (5, 2), (6, 256), (20, 16), and curves of several pieces.
SHAPES = [(1, 1, 3), (1, 4, 2), (1, 5, 256), (1, 19, 16), (2, 2, 2), (6, 3, 16)]
ALL_SHAPES = [*SHAPES, (1, 9, 16), (3, 3, 3), (4, 3, 5), (5, 3, 256), (6, 1, 3)]


@partial(jax.jit, static_argnames="ends")
def one_after_another(control, z, ends="clamp"):
    """t of many curves and their samples; compiles in two thirds of the time that vmap takes."""
    return lax.map(lambda both: project(Curve(both[0]), both[1], ends=ends), (control, z))


@jax.jit
def mapped(control, z):
    return jax.vmap(lambda control, z: project(Curve(control), z))(control, z)


def wrong_minima(control, z, find=one_after_another, **tolerance):
    """By type, how often the squared distance that `find` gives exceeds the smallest one by more than `tolerance`.

    The numbers have to be exact in every type: the reference has to see what the kernel sees.
    """
    best = [reference.nearest(one, points)[0] for one, points in zip(control, z, strict=True)]
    wrong = {}
    for dtype, limit in tolerance.items():
        with jax.enable_x64(dtype == "float64"):
            t = np.asarray(find(jnp.asarray(control, dtype), jnp.asarray(z, dtype)), np.float64)
        assert ((t >= 0) & (t <= 1)).all()
        wrong[dtype] = 0
        for one, points, places, smallest in zip(control, z, t, best, strict=True):
            inside, points, off = reference.in_span(one, points)
            found = ((reference.points_at(inside, places) - points) ** 2).sum(-1) + off
            excess = (found - smallest) / (reference.squared_size(one) + smallest + 1e-300)
            wrong[dtype] += int((excess > limit).sum())
    return wrong


# 6 shapes, 24 curves (each family twice), 350 points, two types: 100,800 cases.
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_wrong_minimum(shape):
    control, z = (a.astype(np.float32) for a in hard_cases.batch(7, *shape, 24, 350))
    assert wrong_minima(control, z, **TOLERANCE) == {"float32": 0, "float64": 0}


def test_no_wrong_minimum_among_few_samples():
    control, z = (a.astype(np.float32) for a in hard_cases.batch(9, 1, 5, 8, 60, FEW))
    assert wrong_minima(control, z, **TOLERANCE) == {"float32": 0, "float64": 0}


def test_no_wrong_minimum_of_mapped_curves():
    control, z = (a.astype(np.float32) for a in hard_cases.batch(8, 2, 3, 2, 24, 40))
    assert wrong_minima(control, z, find=mapped, float32=TOLERANCE["float32"]) == {"float32": 0}


@pytest.mark.soak
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", ALL_SHAPES, ids=str)
def test_no_wrong_minimum_in_a_million_cases(shape, dtype):
    control, z = (a.astype(dtype) for a in hard_cases.batch(11, *shape, 240, 210))
    assert wrong_minima(control, z, **{dtype: TOLERANCE[dtype]}) == {dtype: 0}


def test_the_reference_agrees_with_all_roots_of_the_derivative():
    for shape in [(1, 4, 2), (1, 9, 16), (3, 3, 3)]:
        control, z = hard_cases.batch(3, *shape, 12, 16)
        for one, points in zip(control, z, strict=True):
            best, roots = reference.nearest(one, points)[0], reference.nearest_by_roots(one, points)
            assert np.abs(best - roots).max() <= 1e-12 * (reference.squared_size(one) + best.max())


@pytest.mark.parametrize("offset", [1.0, 100.0])
def test_points_on_an_open_curve_far_from_the_origin_are_found_again(offset):
    rng = np.random.default_rng(0)
    control = np.linspace(0, 1, 6)[:, None] * rng.normal(size=32) + 0.1 * rng.normal(size=(6, 32))
    control = (control + offset * rng.normal(size=32)).astype(np.float32)[None]
    t = np.linspace(0, 1, 101)
    on = reference.points_at(control, t).astype(np.float32)
    found = project(Curve(jnp.asarray(control)), jnp.asarray(on))
    apart = np.linalg.norm(reference.points_at(control, found) - on, axis=-1)
    # Rounding the points to float32 alone moves them by this much.
    rounding = np.linalg.norm(np.spacing(np.abs(on)), axis=-1)
    assert (apart <= 2 * rounding + 1e-5 * np.sqrt(reference.squared_size(control))).all()


def _open_curve(rng, pieces, degree, dim):
    """A gently bent, C1 curve and points about all of it, also beyond its ends."""
    steps = np.linspace(0, 4, pieces * degree + 1)[:, None] * np.eye(1, dim) + 0.2 * rng.normal(
        size=(pieces * degree + 1, dim)
    )
    control = np.stack([steps[k * degree : (k + 1) * degree + 1] for k in range(pieces)])
    for k in range(1, pieces):
        control[k, 1] = 2 * control[k, 0] - control[k - 1, -2]
    t = np.array([0.06, 0.23, 0.41, 0.62, 0.77, 0.94])
    z = reference.points_at(control, t) + 0.1 * rng.normal(size=(6, dim))
    beyond = np.stack([1.4 * control[0, 0] - 0.4 * control[0, 1], 1.5 * control[-1, -1] - 0.5 * control[-1, -2]])
    return control, np.concatenate([z, beyond])


@pytest.mark.parametrize("ends", ["clamp", "extend"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 3)], ids=str)
def test_gradients_against_finite_differences(shape, ends):
    with jax.enable_x64(True):
        control, z = (jnp.asarray(a) for a in _open_curve(np.random.default_rng(4), *shape, 3))
        many = partial(one_after_another, ends=ends)
        by_control, by_z = jax.jacrev(lambda c, z: project(Curve(c), z, ends=ends), argnums=(0, 1))(control, z)
        for which, exact in ((0, by_control), (1, by_z)):
            base = (control, z)[which]
            shifts = 1e-6 * jnp.eye(base.size).reshape(-1, *base.shape)
            sides = []
            for sign in (1, -1):
                moved = [jnp.broadcast_to(a, (base.size, *a.shape)) for a in (control, z)]
                moved[which] = moved[which] + sign * shifts
                sides.append(many(*moved))
            expected = ((sides[0] - sides[1]) / 2e-6).T.reshape(exact.shape)
            np.testing.assert_allclose(exact, expected, rtol=1e-5, atol=1e-7)
        if ends == "clamp":
            assert (by_z[-2:] == 0).all() and (by_control[-2:] == 0).all()
        else:
            assert jnp.linalg.norm(by_z[-2:], axis=(1, 2)).min() > 0.1


def test_second_derivatives_and_forward_mode():
    with jax.enable_x64(True):
        control, z = (jnp.asarray(a) for a in _open_curve(np.random.default_rng(5), 1, 4, 3))

        def place(z):
            return project(Curve(control), z[None], ends="extend")[0]

        slope, step = jax.jit(jax.grad(place)), 1e-5 * jnp.eye(3)
        hessians = jax.jit(jax.vmap(jax.hessian(place)))(z)
        for point, hessian in zip(z[:-2], hessians[:-2], strict=True):
            expected = jnp.stack([(slope(point + s) - slope(point - s)) / 2e-5 for s in step])
            np.testing.assert_allclose(hessian, expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(jax.jacfwd(place)(z[0]), slope(z[0]), rtol=1e-12)


def test_at_a_kink_t_stays_and_its_gradient_is_zero():
    kink = Curve(jnp.array([[[0.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]]]))
    outside = jnp.array([[1.5, -0.5]])
    t, gradient = jax.value_and_grad(lambda z: project(kink, z).sum())(outside)
    assert t == 0.5 and (gradient == 0).all()


@pytest.mark.parametrize("means", [jnp.zeros((1, 4)), jnp.ones((5, 4)), jnp.eye(5, 4)], ids=["one", "point", "open"])
@pytest.mark.parametrize("ends", ["clamp", "extend"])
def test_finite_where_the_curve_is_a_point_and_at_its_ends(ends, means):
    for fit in (bezier, spline):
        curve = fit(means)
        z = jnp.concatenate([curve(jnp.array([0.0, 0.5, 1.0])), means[:1] + 3.0])
        t, gradients = jax.value_and_grad(lambda c, z: project(c, z, ends=ends).sum(), argnums=(0, 1))(curve, z)
        assert np.isfinite(t) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
        if jnp.ptp(means) == 0:
            assert t == 0


_number = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 1e-3, 1.0, 1.0, 3.0])


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, (4, 2), elements=_number), hnp.arrays(np.float32, (3, 2), elements=_number))
def test_values_and_gradients_are_finite_for_any_curve(means, z):
    for ends in ("clamp", "extend"):
        t, gradients = _value_and_grads(ends)(jnp.asarray(means), jnp.asarray(z))
        assert np.isfinite(t).all() and all(np.isfinite(g).all() for g in gradients)


@partial(jax.jit, static_argnums=0)
def _both(ends, means, z):
    t, back = jax.vjp(lambda m, z: project(bezier(m), z, ends=ends), means, z)
    return t, back(jnp.ones_like(t))


def _value_and_grads(ends):
    return partial(_both, ends)


def test_extension_goes_on_along_the_tangent_and_clips_to_the_clamped_t():
    line = Curve(jnp.array([[[1.0, 0.0], [3.0, 0.0]]]))
    z = jnp.array([[0.0, 5.0], [2.0, -1.0], [7.0, 2.0]])
    np.testing.assert_allclose(project(line, z, ends="extend"), [-0.5, 0.5, 3.0], atol=1e-6)
    np.testing.assert_allclose(project(line, z), [0.0, 0.5, 1.0], atol=1e-6)
    for shape in [(1, 4, 2), (2, 2, 2)]:
        control, z = (jnp.asarray(a, jnp.float32) for a in hard_cases.batch(2, *shape, 12, 64))
        clamped, extended = (one_after_another(control, z, ends=ends) for ends in ("clamp", "extend"))
        np.testing.assert_array_equal(jnp.clip(extended, 0, 1), clamped)
        assert (jnp.abs(extended - 0.5) > 0.5).mean() > 0.1


def test_an_extended_t_names_the_foot_of_the_perpendicular():
    control, z = _open_curve(np.random.default_rng(1), 3, 3, 4)
    curve, z = Curve(jnp.asarray(control, jnp.float32)), jnp.asarray(z, jnp.float32)
    t = project(curve, z, ends="extend")
    assert t[-2] < 0 and t[-1] > 1
    foot, velocity = curve(t), curve.derivative(t)
    np.testing.assert_allclose(((z - foot) * velocity).sum(-1), 0, atol=2e-4)


def test_an_end_without_a_tangent_is_not_extended():
    curve = Curve(jnp.array([[[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]]))
    t = project(curve, jnp.array([[-3.0, 0.5], [2.0, 0.5]]), ends="extend")
    np.testing.assert_allclose(t, [0.0, 1.5], atol=1e-6)


def test_distance_is_that_of_the_reference():
    control, z = hard_cases.batch(6, 1, 5, 8, 3, 40)
    for one, points in zip(control, z, strict=True):
        found = distance(Curve(jnp.asarray(one, jnp.float32)), jnp.asarray(points, jnp.float32))
        best, _ = reference.nearest(one.astype(np.float32), points.astype(np.float32))
        size = np.sqrt(reference.squared_size(one))
        np.testing.assert_allclose(found / size, np.sqrt(best) / size, rtol=1e-5, atol=1e-3)


def test_shapes_and_types():
    curve = bezier(jnp.eye(3))
    z = jax.random.normal(jax.random.key(0), (6, 3))
    assert project(curve, jnp.zeros((0, 3))).shape == (0,)
    assert project(curve, z[0]).shape == ()
    assert project(curve, z.reshape(2, 3, 3)).shape == (2, 3)
    assert project(curve, z.astype(jnp.bfloat16)).dtype == project(curve, z).dtype == jnp.float32


@pytest.mark.parametrize("shape", [(1, 19, 3), (1, 5, 3), (20, 3, 3)], ids=str)
def test_samples_at_the_seams_of_chunks_and_batches(shape):
    rng = np.random.default_rng(4)
    control = hard_cases.curve(rng, "walk", *shape)
    z = hard_cases.points(rng, control, CHUNK + BATCH + 3)
    seams = np.r_[0:5, BATCH - 3 : BATCH + 3, CHUNK - 3 : CHUNK + 3, len(z) - 5 : len(z)]
    # A row of NaN at a seam must not spread either.
    z[CHUNK + 1] = np.nan
    t = np.asarray(project(Curve(jnp.asarray(control, jnp.float32)), jnp.asarray(z, jnp.float32)), np.float64)
    assert np.flatnonzero(np.isnan(t)).tolist() == [CHUNK + 1]
    seams = seams[seams != CHUNK + 1]
    best, _ = reference.nearest(control, z[seams])
    found = ((reference.points_at(control, t[seams]) - z[seams]) ** 2).sum(-1)
    assert (found - best).max() <= 2e-6 * (reference.squared_size(control) + best.max())


def test_samples_that_are_not_finite_give_nan_and_leave_the_others_alone():
    z = jnp.array([[jnp.nan, 0.0, 0.0], [0.0, jnp.inf, 0.0], [0.0, 1.0, 0.0]])
    for curve in (bezier(jnp.eye(3)), bezier(jnp.eye(2, 3))):
        assert np.isnan(project(curve, z)).tolist() == [True, True, False]


def test_what_is_refused():
    with pytest.raises(ValueError, match="ends"):
        project(bezier(jnp.eye(3)), jnp.zeros((2, 3)), ends="open")
    with pytest.raises(ValueError, match="dimensions"):
        project(bezier(jnp.eye(3)), jnp.zeros((2, 4)))
