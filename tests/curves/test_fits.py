"""Curves through class means against numpy's SVD, scipy's interpolation, and the readings of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BarycentricInterpolator

from smrjax.curves import CURVES, Curve, bezier, bezier_interpolating, fixed_line, lagrange, spline, svd_line

THROUGH_MEANS = {"bezier_interpolating": bezier_interpolating, "lagrange": lagrange, "spline": spline}


def _means(classes=5, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    return (np.linspace(0, 3, classes)[:, None] * rng.normal(size=dim) + rng.normal(size=(classes, dim))).astype("f4")


# What holds for every curve of the dictionary.


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("case", ["one class", "coincident", "nobody", "one present", "NaN rows of the absent"])
def test_degenerate_means_give_finite_curves_and_gradients(name, case):
    means, present = _means(), np.ones(5, bool)
    if case == "one class":
        means, present = means[:1], present[:1]
    elif case == "coincident":
        means = np.ones_like(means)
    elif case == "nobody":
        present[:] = False
    elif case == "one present":
        present[:] = [False, False, True, False, False]
    else:
        present[[0, 3]] = False
    means = np.where(present[:, None], means, np.nan)

    def total(means):
        curve = CURVES[name](means, jnp.asarray(present), min_length=0.4)
        return curve.length() + (curve(jnp.linspace(0, 1, 7)) ** 2).sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(jnp.asarray(means))
    assert np.isfinite(value) and np.isfinite(gradient[present]).all()
    # A class without a cell has no say.
    assert (np.nan_to_num(gradient[~present]) == 0).all()


@pytest.mark.parametrize("name", CURVES)
def test_with_nobody_present_the_previous_curve_stays(name):
    previous = CURVES[name](jnp.asarray(_means(seed=1)))
    kept = CURVES[name](jnp.full((5, 8), jnp.nan), jnp.zeros(5, bool), previous)
    np.testing.assert_array_equal(kept.control, previous.control)


@pytest.mark.parametrize("name", CURVES)
def test_refits_never_change_shapes(name):
    first = CURVES[name](jnp.asarray(_means()))
    fit = jax.jit(lambda means, present, previous: CURVES[name](means, present, previous, min_length=0.4))
    for seed in range(3):
        present = jnp.asarray(np.random.default_rng(seed).random(5) < 0.7)
        curve = fit(jnp.asarray(_means(seed=seed)), present, first)
        assert curve.control.shape == first.control.shape and curve.control.dtype == first.control.dtype
    assert fit._cache_size() == 1


@pytest.mark.parametrize("name", CURVES)
def test_gradients_by_the_means_against_finite_differences(name):
    with jax.enable_x64(True):
        means = jnp.asarray(_means(4, 3), jnp.float64)
        weights = jnp.asarray(np.random.default_rng(2).normal(size=(5, 3)))

        def total(means):
            return (weights * CURVES[name](means)(jnp.linspace(-0.2, 1.2, 5))).sum()

        shifts = 1e-6 * jnp.eye(means.size).reshape(-1, *means.shape)
        many = jax.jit(jax.vmap(total))
        expected = (many(means + shifts) - many(means - shifts)) / 2e-6
        np.testing.assert_allclose(jax.grad(total)(means).ravel(), expected, rtol=1e-6, atol=1e-7)


# Lines.


def test_svd_line_lies_along_numpys_singular_vector_and_spans_the_projected_means():
    means = _means().astype("f8")
    centre = means.mean(0)
    axis = np.linalg.svd(means - centre)[2][0]
    position = (means - centre) @ axis
    if np.corrcoef(position, np.arange(5))[0, 1] < 0:
        axis, position = -axis, -position
    expected = centre + np.array([position.min(), position.max()])[:, None] * axis
    np.testing.assert_allclose(svd_line(jnp.asarray(_means())).control[0], expected, rtol=1e-4, atol=1e-5)


def test_svd_line_points_from_the_youngest_to_the_oldest_whatever_the_sign_of_the_vector():
    means = jnp.asarray(_means())
    for turned in (means, -means):
        assert ((turned[-1] - turned[0]) @ (svd_line(turned)(1.0) - svd_line(turned)(0.0))) > 0


def test_svd_line_keeps_its_last_direction_where_stages_say_little():
    # Positions 0, 3, 1, 2, 1.5 along x have a correlation of .26 with the stage.
    means = jnp.zeros((5, 3)).at[:, 0].set(jnp.array([0.0, 3.0, 1.0, 2.0, 1.5]))
    for sign in (1.0, -1.0):
        previous = Curve(jnp.array([[[0.0, 0.0, 0.0], [sign, 0.1, 0.0]]]))
        line = svd_line(means, previous=previous)
        assert sign * (line(1.0) - line(0.0))[0] > 0
    # Where the order of the stages is plain, it wins over the last direction.
    plain = means.at[:, 0].set(jnp.arange(5.0))
    line = svd_line(plain, previous=Curve(jnp.array([[[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]])))
    assert (line(1.0) - line(0.0))[0] > 0


def test_svd_line_is_widened_evenly_to_the_smallest_length():
    means = jnp.asarray(_means()) * 1e-2
    short, long = svd_line(means), svd_line(means, min_length=2.0)
    np.testing.assert_allclose(long.length(), 2.0, rtol=1e-5)
    np.testing.assert_allclose(long(0.5), short(0.5), atol=1e-5)


def test_svd_line_leaves_absent_classes_out():
    means, present = _means(), np.array([True, False, True, True, False])
    alone = svd_line(jnp.asarray(means[present]))
    masked = svd_line(jnp.asarray(np.where(present[:, None], means, 1e3)), jnp.asarray(present))
    np.testing.assert_allclose(masked.control, alone.control, rtol=1e-4, atol=1e-5)


def test_fixed_line_takes_the_largest_span_at_first_and_keeps_it():
    means, axis = _means(), jnp.eye(8)[3]
    span = max(np.linalg.norm(a - b) for a in means for b in means)
    first = fixed_line(jnp.asarray(means), direction=axis)
    np.testing.assert_allclose(first.length(), span, rtol=1e-5)
    np.testing.assert_allclose(first(0.5), means.mean(0), atol=1e-5)
    np.testing.assert_allclose((first(1.0) - first(0.0)) / span, axis, atol=1e-6)
    later = fixed_line(jnp.asarray(9 * means), None, first)
    np.testing.assert_allclose(later(1.0) - later(0.0), first(1.0) - first(0.0), atol=1e-5)
    np.testing.assert_allclose(fixed_line(0 * jnp.asarray(means), min_length=0.4).length(), 0.4, rtol=1e-6)
    np.testing.assert_allclose(fixed_line(jnp.asarray(means), length=2.5).length(), 2.5, rtol=1e-6)


# Curves of higher degree.


def test_bezier_takes_the_means_as_control_points():
    np.testing.assert_array_equal(bezier(jnp.asarray(_means())).control[0], _means())


@pytest.mark.parametrize("name", THROUGH_MEANS)
@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (7, 5)], ids=str)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_interpolating_curves_meet_every_mean_in_order(name, shape, seed):
    classes = shape[0]
    means = np.random.default_rng(seed).normal(size=shape).astype("f4")
    curve = THROUGH_MEANS[name](jnp.asarray(means))
    t = np.linspace(0, 1, classes)
    if name == "bezier_interpolating":
        steps = np.linalg.norm(np.diff(means, axis=0), axis=1)
        t = np.concatenate([[0], np.cumsum(steps + 0.1 * steps.mean())])
        t /= t[-1]
    np.testing.assert_allclose(curve(jnp.asarray(t, jnp.float32)), means, atol=2e-3 * np.abs(means).max())


@pytest.mark.parametrize("classes", [2, 3, 6, 9])
def test_lagrange_is_scipys_polynomial(classes):
    with jax.enable_x64(True):
        means = _means(classes).astype("f8")
        authority = BarycentricInterpolator(np.linspace(0, 1, classes), means)
        t = np.linspace(0, 1, 33)
        np.testing.assert_allclose(lagrange(jnp.asarray(means))(t), authority(t), rtol=1e-8, atol=1e-9)


def test_bezier_interpolating_is_scipys_polynomial_at_given_parameters():
    with jax.enable_x64(True):
        means, places = _means(5).astype("f8"), np.array([0, 0.1, 0.35, 0.7, 1])
        curve = bezier_interpolating(jnp.asarray(means), parameters=jnp.asarray(places))
        t = np.linspace(0, 1, 33)
        np.testing.assert_allclose(curve(t), BarycentricInterpolator(places, means)(t), rtol=1e-8, atol=1e-9)


def test_spline_is_smooth_at_the_joints_and_ends_without_curvature():
    curve = spline(jnp.asarray(_means(6, 3)))
    control = np.asarray(curve.control)
    np.testing.assert_array_equal(control[:-1, -1], control[1:, 0])
    np.testing.assert_allclose(control[:-1, -1] - control[:-1, -2], control[1:, 1] - control[1:, 0], atol=1e-5)
    np.testing.assert_allclose(curve.second_derivative(jnp.array([0.0, 1.0])), 0, atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 10, width=32), min_size=7, max_size=7))
def test_spline_of_rising_numbers_rises(steps):
    means = np.cumsum(np.array([0.0, *steps]))[:, None].astype("f4")
    values = np.asarray(spline(jnp.asarray(means))(jnp.linspace(0, 1, 97)))[:, 0]
    assert (np.diff(values) >= -1e-5 * (1 + means[-1, 0])).all()


def test_spline_through_evenly_spaced_means_is_catmull_rom():
    angle = np.linspace(0, 2, 6)
    means = np.stack([np.cos(angle), np.sin(angle)], -1).astype("f4")
    tangents = spline(jnp.asarray(means)).derivative(jnp.linspace(0, 1, 6))[1:-1] / 5
    np.testing.assert_allclose(tangents, (means[2:] - means[:-2]) / 2, atol=1e-5)


@pytest.mark.parametrize("name", ["bezier", "lagrange"])
def test_an_absent_class_lies_between_its_neighbours(name):
    means, present = _means(), np.array([True, True, False, True, True])
    filled = means.copy()
    filled[2] = (means[1] + means[3]) / 2
    curve = CURVES[name](jnp.asarray(np.where(present[:, None], means, np.nan)), jnp.asarray(present))
    np.testing.assert_allclose(curve.control, CURVES[name](jnp.asarray(filled)).control, rtol=1e-4, atol=1e-4)


def test_what_is_refused():
    for name in CURVES:
        with pytest.raises(ValueError, match="class_means"):
            CURVES[name](jnp.zeros((0, 3)))
