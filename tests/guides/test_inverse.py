"""From the plane back into the embedding: alignment in closed form, and results that stay among the cells."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import nnls
from scipy.spatial import Delaunay

from smrjax.guides.inverse import _stratified, align, fit_into, inverse_rbf, inverse_umap

ALL = jnp.ones(6, bool)


def turned(places, seed=1):
    """The same places turned, mirrored, scaled and shifted."""
    angle = np.random.default_rng(seed).uniform(0, 6)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return 3.7 * places @ rotation @ np.diag([1, -1]) + [5, -2]


def test_align_undoes_rotation_reflection_scale_and_shift():
    places = np.random.default_rng(0).normal(size=(6, 2))
    np.testing.assert_allclose(align(jnp.asarray(turned(places)), jnp.asarray(places), ALL), places, atol=1e-5)


def test_align_turns_as_scipy_does_and_keeps_the_radius():
    rng = np.random.default_rng(2)
    guide, places = rng.normal(size=(2, 6, 2))
    laid = np.asarray(align(jnp.asarray(guide), jnp.asarray(places), ALL))
    a, b = guide - guide.mean(0), places - places.mean(0)
    expected = a @ orthogonal_procrustes(a, b)[0] * np.linalg.norm(b) / np.linalg.norm(a) + places.mean(0)
    np.testing.assert_allclose(laid, expected, atol=1e-5)
    np.testing.assert_allclose(align(guide, places, np.ones(6, bool)), expected, atol=1e-12)


def test_align_goes_by_the_classes_that_are_there():
    places = np.random.default_rng(3).normal(size=(6, 2))
    guide, present = turned(places), np.array([1, 1, 1, 1, 0, 1], bool)
    broken = np.where(present[:, None], places, np.nan)
    laid = align(jnp.asarray(guide), jnp.asarray(broken), jnp.asarray(present))
    np.testing.assert_allclose(laid, places, atol=1e-5)


@pytest.mark.parametrize("case", ["guide in a point", "places in a point", "nobody"])
def test_align_is_finite(case):
    rng = np.random.default_rng(4)
    guide, places, present = rng.normal(size=(6, 2)), rng.normal(size=(6, 2)), np.ones(6, bool)
    if case == "guide in a point":
        guide[:] = 1
    elif case == "places in a point":
        places[:] = 1
    else:
        present[:] = False
    laid = align(jnp.asarray(guide), jnp.asarray(places), jnp.asarray(present))
    assert np.isfinite(laid).all()
    if case == "places in a point":
        np.testing.assert_allclose(laid, 1, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 1e-3, 30.0]))
def test_rbf_stays_within_the_hull_of_the_class_means(seed, scale):
    rng = np.random.default_rng(seed)
    means, guide = scale * rng.normal(size=(6, 9)), rng.normal(size=(6, 2))
    present = rng.random(6) < 0.8
    present[0] = True
    poisoned = np.where(present[:, None], means, np.nan)
    lifted = np.asarray(inverse_rbf(jnp.asarray(poisoned), jnp.asarray(present), jnp.asarray(guide)), float)
    hull = np.vstack([means[present].T / scale, np.ones(present.sum())])
    for place in lifted / scale:
        # A mixture of class means with weights that sum to one.
        assert nnls(hull, np.append(place, 1))[1] < 1e-4


def test_rbf_of_a_guide_that_fits_gives_every_class_its_own_mean():
    rng = np.random.default_rng(5)
    flat = 4 * rng.normal(size=(6, 2))
    axes = np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    means = flat @ axes
    lifted = inverse_rbf(jnp.asarray(means), ALL, jnp.asarray(turned(flat)))
    apart = np.linalg.norm(np.asarray(lifted)[:, None] - means, axis=-1)
    np.testing.assert_array_equal(apart.argmin(1), np.arange(6))


def test_rbf_of_coincident_means_is_that_point_with_finite_gradients():
    value = inverse_rbf(jnp.ones((6, 9)), ALL, jnp.asarray(np.random.default_rng(6).normal(size=(6, 2))))
    np.testing.assert_allclose(value, 1, atol=1e-5)
    assert np.isfinite(inverse_rbf(jnp.zeros((6, 9)), jnp.zeros(6, bool), jnp.ones((6, 2)))).all()


def test_rbf_keeps_places_of_one_class_each_apart():
    """Fifteen classes on a ring, means all equally far apart: no two classes end in one place."""
    rng = np.random.default_rng(9)
    angle = 2 * np.pi * np.arange(15) / 15
    means = jnp.asarray(rng.normal(size=(15, 256)) / 16)
    ring = jnp.asarray(np.stack([np.cos(angle), np.sin(angle)], 1))
    lifted = np.asarray(inverse_rbf(means, jnp.ones(15, bool), ring))
    apart = np.linalg.norm(lifted[:, None] - lifted, axis=-1)[np.triu_indices(15, 1)]
    assert apart.min() > 0.1 * np.median(apart)


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(7)
    y = np.repeat(np.arange(4), 30)
    return (5 * np.eye(4, 6)[y] + 0.3 * rng.normal(size=(120, 6))).astype("f4"), y


def test_umap_stays_within_the_range_of_the_cells_and_repeats_itself(clusters):
    z, y = clusters
    guide = np.random.default_rng(8).normal(size=(5, 2))
    lifted = inverse_umap(z, y, guide, samples=100, seed=3)
    assert lifted.shape == (5, 6) and lifted.dtype == z.dtype
    assert (lifted >= z.min(0)).all() and (lifted <= z.max(0)).all()
    np.testing.assert_array_equal(lifted, inverse_umap(z, y, guide, samples=100, seed=3))


def test_umap_of_a_guide_like_the_cells_puts_every_class_among_its_own(clusters):
    """A square of four classes over UMAP's plane of four clusters comes back near the clusters of its corners."""
    z, y = clusters
    square = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], float)
    means = np.array([z[y == c].mean(0) for c in range(4)])
    best = 0
    for order in ([0, 1, 2, 3], [0, 1, 3, 2], [0, 2, 1, 3]):  # all squares up to rotation and reflection
        lifted = inverse_umap(z, y, square[order], samples=120, seed=3)
        nearest = np.linalg.norm(lifted[:, None] - means, axis=-1).argmin(1)
        best = max(best, (nearest == np.arange(4)).sum())
    assert best >= 3


def test_a_place_that_umap_does_not_find_is_the_class_mean(clusters, monkeypatch, caplog):
    import umap

    z, y = clusters
    real = umap.UMAP.inverse_transform

    def broken(self, places):
        lifted = real(self, places)
        lifted[1] = np.nan
        return lifted

    monkeypatch.setattr(umap.UMAP, "inverse_transform", broken)
    lifted = inverse_umap(z, y, np.random.default_rng(8).normal(size=(4, 2)), samples=60)
    np.testing.assert_allclose(lifted[1], z[y == 1].mean(0), rtol=1e-5)
    assert "1 of 4 classes" in caplog.text


def test_places_are_shrunk_into_the_hull():
    rng = np.random.default_rng(10)
    hull = Delaunay(rng.normal(size=(50, 2)))
    centre = hull.points.mean(0)
    places = 100 * rng.normal(size=(6, 2))
    fitted = fit_into(hull, places, 1.0)
    assert (hull.find_simplex(fitted) >= 0).all()
    np.testing.assert_allclose(fit_into(hull, places, 0.5) - centre, 0.5 * (fitted - centre))
    near = centre + 1e-3 * (places - centre) / np.abs(places - centre).max()
    np.testing.assert_allclose(fit_into(hull, near, 1.0), near)


@pytest.mark.parametrize("count", [1, 3])
def test_umap_of_hardly_any_cells_is_their_mean(clusters, count):
    z, y = clusters[0][:count], clusters[1][:count]
    np.testing.assert_allclose(inverse_umap(z, y, np.ones((5, 2))), np.broadcast_to(z.mean(0), (5, 6)), rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(9, 200))
def test_samples_are_stratified(counts, samples):
    """Exactly as many as asked for, a cell of every class, and each class near its share."""
    y = np.repeat(np.arange(len(counts)), counts)
    rows = _stratified(np.random.default_rng(0).permutation(y), samples, 3)
    labels = np.random.default_rng(0).permutation(y)[rows]
    assert len(set(rows)) == len(rows) == min(samples, len(y))
    taken = np.bincount(labels, minlength=len(counts))
    assert (taken > 0).all()
    share = len(rows) / len(y)
    assert (np.abs(taken - share * np.array(counts)) <= len(counts)).all()
