"""The guided method: eqs. 1, 2 and 4 of GUIDES put together by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.guides.inverse import inverse_rbf
from smrjax.losses import guide_distance, triplet_margin
from smrjax.losses.distance import match_scale
from smrjax.method import class_means, guided
from tests.train import toy

GUIDE = np.random.default_rng(0).normal(size=(5, 2))


def batch(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(40) % 5
    return jnp.asarray(np.eye(5, 7)[y] + 0.5 * rng.normal(size=(40, 7)), jnp.float32), jnp.asarray(y)


def lifted(z, y, size=1.0):
    means, counts = class_means(z, y, 5)
    return np.asarray(inverse_rbf(means, counts > 0, jnp.asarray(GUIDE, jnp.float32), size=size))


def test_places_follow_the_recursion_of_equation_1():
    method = guided(GUIDE, inverse="rbf", kappa=0.2)
    expected, goal = None, None
    for seed in range(4):
        z, y = batch(seed)
        goal = jax.jit(method.refit)(z, y, goal, jax.random.key(seed))
        new = lifted(z, y)
        expected = new if expected is None else 0.2 * expected + 0.8 * new
        np.testing.assert_allclose(goal["anchors"], expected, rtol=1e-4, atol=1e-5)


def test_between_two_lifts_places_stay():
    method, goal, seen = guided(GUIDE, inverse="rbf", every=2), None, []
    for seed in range(4):
        goal = method.refit(*batch(seed), goal, jax.random.key(0))
        seen.append(np.asarray(goal["anchors"]))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert np.abs(seen[1] - seen[2]).max() > 1e-3


@pytest.mark.parametrize("l1", ["mean", "sum"])
def test_umap_loss_is_equation_2(l1):
    z, y = batch(1)
    method = guided(GUIDE, inverse="rbf", alpha=0.4, margin=0.1, l1=l1)
    goal = method.refit(z, y, None, jax.random.key(0))
    pull = np.abs(np.asarray(z) - np.asarray(goal["anchors"])[np.asarray(y)])
    pull = pull.mean() if l1 == "mean" else pull.sum(1).mean()
    triplets = float(triplet_margin(z, y, margin=0.1, normalize=False))
    assert float(method.loss(z, y, goal, {})[0]) == pytest.approx(0.4 * pull + 0.6 * triplets, rel=1e-5)


def test_distance_loss_is_equation_4_with_the_guide_in_the_unit_of_the_embedding():
    z, y = batch(2)
    method = guided(GUIDE, loss="distance", alpha=0.4)
    goal = method.refit(z, y, None, jax.random.key(0))
    scaled = match_scale(jnp.asarray(GUIDE, jnp.float32), z, y)
    np.testing.assert_allclose(goal["guide"], scaled, rtol=1e-6)
    triplets = float(triplet_margin(z, y, margin=0.1, normalize=False))
    expected = 0.4 * float(guide_distance(z, y, scaled)) + 0.6 * triplets
    assert float(method.loss(z, y, goal, {})[0]) == pytest.approx(expected, rel=1e-5)


def test_a_growing_guide_reaches_its_size():
    method, goal = guided(GUIDE, loss="distance", grow=3), None
    z, y = batch(3)
    sizes = []
    for _ in range(4):
        goal = method.refit(z, y, goal, jax.random.key(0))
        sizes.append(float(jnp.abs(goal["guide"]).sum()))
    np.testing.assert_allclose(np.array(sizes) / sizes[-1], [1 / 3, 2 / 3, 1, 1], rtol=1e-5)


@pytest.mark.parametrize("inverse", ["rbf", "umap"])
def test_lifted_places_of_a_growing_guide_spread(inverse):
    """They start near one point and reach, at the last of three refits, the places of a guide that does not grow."""
    z, y = batch(3)
    options = {"inverse": inverse, "kappa": 0.0, "samples": 40}
    growing, whole = guided(GUIDE, grow=3, **options), guided(GUIDE, **options)
    goal, spread = None, []
    for _ in range(3):
        goal = growing.refit(z, y, goal, jax.random.key(0))
        spread.append(float(jnp.linalg.norm(goal["anchors"] - goal["anchors"].mean(0))))
    assert spread[0] < 0.85 * spread[2]
    np.testing.assert_allclose(goal["anchors"], whole.refit(z, y, None, jax.random.key(0))["anchors"], atol=1e-5)


def test_umap_has_its_shape_before_it_runs():
    method = guided(GUIDE, inverse="umap", samples=40)
    assert not method.compiled and guided(GUIDE, inverse="rbf").compiled
    z, y = batch(4)
    shapes = jax.eval_shape(lambda z, y, key: method.refit(z, y, None, key), z, y, jax.random.key(0))
    goal = method.refit(z, y, None, jax.random.key(0))
    assert shapes["anchors"].shape == goal["anchors"].shape == (5, 7)
    low, high = z.min(0), z.max(0)
    assert (goal["anchors"] >= low).all() and (goal["anchors"] <= high).all()


def test_umap_never_runs_within_a_compiled_program():
    """Called back from one it waits, on a machine with one core, for the thread that the program runs on."""
    umap, rbf = guided(np.eye(4, 2), inverse="umap"), guided(np.eye(4, 2), inverse="rbf")
    assert toy.learner(umap).refit is umap.refit
    assert toy.learner(rbf).refit is not rbf.refit


@pytest.mark.parametrize("wrong", [{"loss": "l2"}, {"inverse": "pca"}, {"l1": "max"}])
def test_unknown_names_are_refused(wrong):
    with pytest.raises(ValueError, match="is none of"):
        guided(GUIDE, **wrong)
