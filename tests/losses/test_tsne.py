"""Parametric t-SNE against scikit-learn's objective and trustworthiness, and the ends of its fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import squareform
from sklearn.manifold import _t_sne, trustworthiness

from smrjax.losses import tsne
from smrjax.losses.affinities import joint_affinities

WIDTHS = (64, 64, 128)


@jax.jit
def embed_gradient(params, z):
    return jax.grad(lambda z: tsne.embed(params, z)[:, 0].sum())(z)


def clusters(n=200, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 5
    return jnp.asarray(3 * rng.normal(size=(5, dim))[y] + rng.normal(size=(n, dim)), jnp.float32), y


def divergence(params, z):
    """KL of a fitted network over all points, by scikit-learn, in t-SNE's own scale."""
    plane = np.asarray(tsne.embed(params, z), np.float64) / float(params["output"]["scale"])
    p = squareform(np.asarray(joint_affinities(z, 30.0), np.float64), checks=False)
    return _t_sne._kl_divergence(plane.ravel(), p, 1, len(z), 2)[0]


@pytest.fixture(scope="module")
def fitted():
    z, _ = clusters()
    start = tsne.init_network(jax.random.key(0), 16, widths=WIDTHS)
    first = tsne.fit(start, z, jax.random.key(1), steps=60, batch_size=128)
    second = tsne.fit(first, z, jax.random.key(2), steps=60, batch_size=128)
    return z, start, first, second


def test_objective_and_gradient_match_scikit_learn():
    rng = np.random.default_rng(0)
    plane = 4 * rng.normal(size=(30, 2))
    with jax.enable_x64(True):
        p = joint_affinities(jnp.asarray(rng.normal(size=(30, 5))), 8.0)
        value, grad = jax.value_and_grad(tsne.kl_divergence)(jnp.asarray(plane), p)
        expected, slope = _t_sne._kl_divergence(plane.ravel(), squareform(np.asarray(p), checks=False), 1, 30, 2)
    assert float(value) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(np.ravel(grad), slope, rtol=1e-7, atol=1e-12)


def test_network_has_the_papers_layers():
    layers = tsne.init_network(jax.random.key(0), 256)["layers"]
    assert [layer["kernel"].shape for layer in layers] == [(256, 500), (500, 500), (500, 2000), (2000, 2)]


def test_fit_descends_from_where_it_was(fitted):
    z, start, first, second = fitted
    kl = [divergence(params, z) for params in (start, first, second)]
    assert kl[0] > 1.5 * kl[1] > 1.5 * kl[2]


def test_fit_keeps_neighbourhoods(fitted):
    z, start, _, second = fitted
    assert trustworthiness(z, np.asarray(tsne.embed(second, z)), n_neighbors=10) > 0.9
    assert trustworthiness(z, np.asarray(tsne.embed(start, z)), n_neighbors=10) < 0.9


def test_layout_carries_over_to_cells_that_were_not_fitted(fitted):
    z, *_, second = fitted
    more, y = clusters(400)
    more = more[200:]
    plane, old = np.asarray(tsne.embed(second, more)), np.asarray(tsne.embed(second, z))
    means = np.stack([old[np.arange(200) % 5 == k].mean(0) for k in range(5)])
    nearest = np.linalg.norm(plane[:, None] - means, axis=2).argmin(1)
    assert (nearest == y[200:]).mean() > 0.9


def test_layout_is_centred_with_unit_radius_whatever_the_scale_of_z(fitted):
    z, start, first, _ = fitted
    for params, x in (
        (first, z),
        (tsne.fit(start, 1e-3 * z + 5, jax.random.key(1), steps=60, batch_size=128), 1e-3 * z + 5),
    ):
        plane = np.asarray(tsne.embed(params, x), np.float64)
        np.testing.assert_allclose(plane.mean(0), 0, atol=1e-3)
        assert np.sqrt((plane**2).sum(1).mean()) == pytest.approx(1, rel=1e-3)


def test_same_key_same_network_and_one_compilation_for_a_shape(fitted):
    z, start, first, _ = fitted
    before = tsne.fit._cache_size()
    again = tsne.fit(start, z, jax.random.key(1), steps=60, batch_size=128)
    assert tsne.fit._cache_size() == before
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), start) == jax.tree.map(lambda x: (x.shape, x.dtype), first)


def test_gradient_flows_through_the_layout_into_the_embeddings(fitted):
    z, *_, second = fitted
    one = z[:1]

    def first_axis(x):
        return tsne.embed(second, x)[0, 0]

    grad = embed_gradient(second, one)
    along = grad / jnp.linalg.norm(grad)
    slope = (first_axis(one + 1e-2 * along) - first_axis(one - 1e-2 * along)) / 2e-2
    assert float(slope) == pytest.approx(float(jnp.linalg.norm(grad)), rel=0.1)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_cells_leave_the_network_alone(n):
    params = tsne.init_network(jax.random.key(0), 4, widths=(8,))
    after = tsne.fit(params, jnp.ones((n, 4)), jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, params, after)


@pytest.mark.parametrize("n", [3, 20])
def test_duplicates_and_few_cells_stay_finite(n):
    params = tsne.init_network(jax.random.key(0), 4, widths=(8,))
    for z in (jnp.ones((n, 4)), jnp.zeros((n, 4)).at[0, 0].set(1.0)):
        after = tsne.fit(params, z, jax.random.key(1), steps=5)
        assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(after))
        assert jnp.isfinite(embed_gradient(after, z)).all()
