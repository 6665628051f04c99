"""The distance loss against a float64 double loop and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.losses import guide_distance
from smrjax.losses.distance import l1_distances, match_scale


def case(count, dim, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dim)), rng.integers(0, 4, count), rng.normal(size=(4, 2))


def double_loop(z, y, guide):
    total, pairs = 0.0, 0
    for i in range(len(z)):
        for j in range(i):
            total += abs(np.abs(z[i] - z[j]).sum() - np.abs(guide[y[i]] - guide[y[j]]).sum())
            pairs += 1
    return total / pairs


@pytest.mark.parametrize("count, dim", [(2, 1), (5, 3), (33, 16), (40, 17), (70, 256)])
def test_value_and_gradient(count, dim):
    z, y, guide = case(count, dim)
    assert float(guide_distance(jnp.asarray(z, jnp.float32), y, guide)) == pytest.approx(
        double_loop(z, y, guide), rel=1e-5
    )
    with jax.enable_x64(True):
        gradient = jax.grad(guide_distance)(jnp.asarray(z), jnp.asarray(y), jnp.asarray(guide))
        for i, k in np.random.default_rng(1).integers(0, (count, dim), (6, 2)):
            sides = []
            for sign in (1, -1):
                moved = z.copy()
                moved[i, k] += sign * 1e-7
                sides.append(double_loop(moved, y, guide))
            assert float(gradient[i, k]) == pytest.approx((sides[0] - sides[1]) / 2e-7, abs=1e-6)


def test_gradient_of_all_distances_is_that_of_the_plain_table():
    with jax.enable_x64(True):
        z = jnp.asarray(case(37, 9)[0])
        weight = jnp.asarray(np.random.default_rng(2).normal(size=(37, 37)))
        plain = jax.grad(lambda z: (weight * jnp.abs(z[:, None] - z).sum(-1)).sum())(z)
        own = jax.grad(lambda z: (weight * l1_distances(z)).sum())(z)
        np.testing.assert_allclose(own, plain, rtol=1e-12, atol=1e-12)


def test_a_perfect_embedding_has_no_loss_and_a_finite_gradient():
    guide = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    y = jnp.array([0, 1, 1, 2, 0])
    value, gradient = jax.value_and_grad(guide_distance)(guide[y], y, guide)
    assert value == 0 and np.isfinite(gradient).all()


@pytest.mark.parametrize("count", [0, 1])
def test_without_a_pair_there_is_no_loss(count):
    z, y, guide = case(count, 3)
    value, gradient = jax.value_and_grad(guide_distance)(jnp.asarray(z), jnp.asarray(y), jnp.asarray(guide))
    assert value == 0 and (gradient == 0).all()


def test_match_scale_makes_mean_class_distances_equal():
    rng = np.random.default_rng(3)
    guide, means, present = rng.normal(size=(5, 2)), rng.normal(size=(5, 7)), np.array([1, 1, 0, 1, 1], bool)
    means[2] = np.nan
    scaled = np.asarray(match_scale(jnp.asarray(guide), jnp.asarray(means), jnp.asarray(present)))
    here = np.flatnonzero(present)
    mean = [np.mean([np.abs(p[a] - p[b]).sum() for a in here for b in here]) for p in (scaled, means)]
    assert mean[0] == pytest.approx(mean[1], rel=1e-5)
    np.testing.assert_allclose(scaled[1] / scaled[0], guide[1] / guide[0], rtol=1e-5)
    point = match_scale(jnp.ones((5, 2)), jnp.asarray(means), jnp.asarray(present))
    np.testing.assert_array_equal(point, np.ones((5, 2)))
