"""Perplexity calibration against scikit-learn's, and points that make it hard."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import _t_sne, _utils

from smrjax.losses.affinities import conditional_affinities, joint_affinities, squared_distances


def points(kind, n=150):
    rng = np.random.default_rng(1)
    if kind == "isotropic":
        return rng.normal(size=(n, 64))
    if kind == "clusters":
        return 30 * rng.normal(size=(5, 16))[rng.integers(0, 5, n)] + rng.normal(size=(n, 16))
    if kind == "outlier":
        return np.concatenate([rng.normal(size=(n - 1, 4)), np.full((1, 4), 1000.0)])
    return rng.normal(size=(n, 5)) @ rng.normal(size=(5, 64)) + 0.3 * rng.normal(size=(n, 64))


def perplexities(p):
    p = np.asarray(p, np.float64)
    return np.exp(-(p * np.log(np.where(p > 0, p, 1))).sum(1))


def test_squared_distances_match_scipy():
    z = points("isotropic", 20).astype(np.float32)
    np.testing.assert_allclose(
        jax.jit(squared_distances)(jnp.asarray(z)), squareform(pdist(z, "sqeuclidean")), rtol=1e-4
    )


@pytest.mark.parametrize("kind", ["isotropic", "clusters", "outlier", "low rank"])
@pytest.mark.parametrize("perplexity", [5.0, 30.0])
def test_conditional_affinities_match_scikit_learn(kind, perplexity):
    d = squareform(pdist(points(kind), "sqeuclidean")).astype(np.float32)
    p = conditional_affinities(jnp.asarray(d), perplexity)
    np.testing.assert_allclose(perplexities(p), perplexity, atol=1e-3)
    theirs = _utils._binary_search_perplexity(d, perplexity, 0)
    reached = np.abs(perplexities(theirs) - perplexity) < 1e-2  # its search gives up on a far outlier
    assert reached.sum() >= len(d) - 1
    np.testing.assert_allclose(p[reached], theirs[reached], atol=2e-5)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert not jnp.diagonal(p).any()


def test_joint_affinities_match_scikit_learn():
    z = points("low rank").astype(np.float32)
    d = squareform(pdist(z, "sqeuclidean"))
    p = joint_affinities(jnp.asarray(z), 30.0)
    np.testing.assert_allclose(p, squareform(_t_sne._joint_probabilities(d, 30.0, 0)), atol=1e-6)
    np.testing.assert_allclose(p, p.T, rtol=1e-6)
    assert float(p.sum()) == pytest.approx(1, rel=1e-5)


def test_float64_reaches_the_perplexity_to_eight_digits():
    with jax.enable_x64(True):
        p = conditional_affinities(squared_distances(jnp.asarray(points("clusters"))), 12.0)
        np.testing.assert_allclose(perplexities(p), 12, rtol=1e-8)


@given(st.floats(1e-6, 1e6), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_scale_of_the_points_does_not_matter(scale, seed):
    z = np.random.default_rng(seed).normal(size=(24, 3)).astype(np.float32)
    a, b = joint_affinities(jnp.asarray(z), 30.0), joint_affinities(jnp.asarray(z * np.float32(scale)), 30.0)
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_few_points_lower_the_perplexity():
    z = jnp.asarray(points("isotropic", 16), jnp.float32)
    np.testing.assert_array_equal(joint_affinities(z, 30.0), joint_affinities(z, 5.0))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_duplicates_share_evenly(n):
    p = joint_affinities(jnp.ones((n, 4)), 30.0)
    np.testing.assert_allclose(p, (1 - np.eye(n)) / (n * (n - 1)), rtol=1e-5)


def test_duplicates_beyond_the_perplexity_stay_finite():
    apart = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    p = conditional_affinities(squared_distances(jnp.concatenate([jnp.zeros((40, 3)), apart])), 10.0)
    np.testing.assert_allclose(p[0, 1:40], 1 / 39, rtol=1e-4)
    # Those in the outskirts have all forty as their nearest neighbours, at one distance.
    split = np.linalg.norm(apart[:, None] - apart, axis=2) + 1e9 * np.eye(40)
    inner = split.min(1) < np.linalg.norm(apart, axis=1)
    assert inner.sum() > 20
    np.testing.assert_allclose(perplexities(p)[40:][inner], 10.0, atol=1e-3)
