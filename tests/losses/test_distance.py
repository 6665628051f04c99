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


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_match_scale_makes_distances_of_cells_of_two_classes_equal(offset):
    """Against the sum over all pairs, written out; far from the origin too."""
    rng = np.random.default_rng(3)
    guide, y = rng.normal(size=(5, 2)), np.array([0, 1, 1, 3, 3, 3, 3, 4, 0, 3])
    z = rng.normal(size=(10, 7))
    scaled = np.asarray(match_scale(jnp.asarray(guide), jnp.asarray(z + offset, jnp.float32), jnp.asarray(y)))
    pairs = [(i, j) for i in range(10) for j in range(10) if y[i] != y[j]]
    of_cells = sum(np.abs(z[i] - z[j]).sum() for i, j in pairs)
    assert sum(np.abs(scaled[y[i]] - scaled[y[j]]).sum() for i, j in pairs) == pytest.approx(of_cells, rel=1e-4)
    np.testing.assert_allclose(scaled[1] / scaled[0], guide[1] / guide[0], rtol=1e-5)


@pytest.mark.parametrize("y", [np.arange(6) % 5, np.zeros(6, int)])
def test_match_scale_leaves_a_guide_without_a_size_alone(y):
    z = jnp.asarray(np.random.default_rng(4).normal(size=(6, 7)))
    np.testing.assert_array_equal(match_scale(jnp.ones((5, 2)), z, jnp.asarray(y)), np.ones((5, 2)))


def test_classes_stay_apart_over_many_refits():
    """A guide scaled to the class means instead draws them together, refit by refit."""
    rng = np.random.default_rng(5)
    y = jnp.asarray(np.arange(48) % 6)
    guide = jnp.asarray(rng.normal(size=(6, 2)))
    z = jnp.asarray(rng.normal(size=(6, 32))[np.asarray(y)] + 2 * rng.normal(size=(48, 32)))

    def apart(z):
        means = jnp.stack([z[y == c].mean(0) for c in range(6)])
        return float(jnp.abs(means[:, None] - means).sum(-1).mean())

    pull = jax.jit(jax.grad(guide_distance))
    before = apart(z)
    for _ in range(8):
        scaled = match_scale(guide, z, y)
        for _ in range(20):
            z = z - 0.3 * pull(z, y, scaled)
    assert apart(z) > 0.8 * before
