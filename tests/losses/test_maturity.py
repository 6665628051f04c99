"""Pulls along a curve against closed forms on lines, a dense search in float64, and finite differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import comb

from smrjax.curves import CURVES, Curve, bezier
from smrjax.losses import normal, projected, tsne

MEANS = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 0.0], [3.0, 2.0, 1.0], [4.0, 0.0, 3.0]])
LINE = Curve(jnp.array([[[1.0, 1.0], [4.0, 5.0]]]))  # length 5, direction (0.6, 0.8)


def bernstein_curve(t):
    t = np.asarray(t, np.float64)[..., None]
    return sum(comb(3, k) * t**k * (1 - t) ** (3 - k) * MEANS[k] for k in range(4))


@partial(jax.jit, static_argnames=("which", "options"))
def loss_and_pull(z, curve, t, which, options=()):
    def total(z):
        loss = which(z, curve, t, **dict(options))
        return loss.sum(), loss

    (_, loss), pull = jax.value_and_grad(total, has_aux=True)(z)
    return loss, pull


def cells(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return bernstein_curve(rng.random(n)) + 0.3 * rng.normal(size=(n, 3)), rng.choice([0.0, 0.2, 0.5, 1.0], n)


@pytest.mark.parametrize("l1, reduce", [("mean", np.mean), ("sum", np.sum)])
def test_normal_matches_the_bernstein_polynomials(l1, reduce):
    z, t = cells()
    got = jax.jit(normal, static_argnames="l1")(jnp.asarray(z), bezier(jnp.asarray(MEANS)), jnp.asarray(t), l1=l1)
    np.testing.assert_allclose(got, reduce(np.abs(z - bernstein_curve(t)), axis=1), rtol=1e-5, atol=1e-6)


def test_normal_pulls_every_coordinate_alike_and_not_at_all_on_the_target():
    z = jnp.array([[2.5, 2.0], [2.5, 4.0]])  # the line's middle is (2.5, 3)
    _, pull = loss_and_pull(z, LINE, jnp.full(2, 0.5), normal)
    np.testing.assert_array_equal(pull, [[0, -0.5], [0, 0.5]])


@pytest.mark.parametrize("ends", ["extend", "clamp"])
def test_projected_matches_the_closed_form_on_a_line(ends):
    rng = np.random.default_rng(1)
    z, t = rng.normal(size=(40, 2)) * 6, rng.random(40)
    place = (z - [1, 1]) @ [0.6, 0.8] / 5
    assert place.min() < 0 and place.max() > 1
    if ends == "clamp":
        place = np.clip(place, 0, 1)
    got = projected(jnp.asarray(z), LINE, jnp.asarray(t), ends=ends)
    np.testing.assert_allclose(got, np.abs(place - t), atol=1e-5)
    far = projected(jnp.asarray(z), LINE, jnp.asarray(t), ends=ends, scale="length")
    np.testing.assert_allclose(far, 5 * np.abs(place - t), atol=1e-4)


def test_projected_matches_a_dense_search_on_a_curve():
    z, t = cells()
    grid = np.linspace(0, 1, 20001)
    place = grid[((z[:, None] - bernstein_curve(grid)) ** 2).sum(2).argmin(1)]
    got = projected(jnp.asarray(z), bezier(jnp.asarray(MEANS)), jnp.asarray(t), ends="clamp")
    np.testing.assert_allclose(got, np.abs(place - t), atol=1e-4)
    length = np.linalg.norm(np.diff(bernstein_curve(grid), axis=0), axis=1).sum()
    long = projected(jnp.asarray(z), bezier(jnp.asarray(MEANS)), jnp.asarray(t), ends="clamp", scale="length")
    np.testing.assert_allclose(long, length * np.abs(place - t), atol=1e-3)


def test_projected_gradient_matches_finite_differences():
    with jax.enable_x64(True):
        z, t = cells(12, seed=2)
        curve = bezier(jnp.asarray(MEANS))

        def run(z):
            loss, pull = loss_and_pull(jnp.asarray(z), curve, jnp.asarray(t), projected, (("scale", "length"),))
            return float(loss.sum()), pull

        _, pull = run(z)
        for i, j in ((0, 0), (3, 1), (7, 2), (11, 0)):
            e = np.zeros_like(z)
            e[i, j] = 1e-6
            assert float(pull[i, j]) == pytest.approx((run(z + e)[0] - run(z - e)[0]) / 2e-6, abs=1e-6)


def test_cells_beyond_an_end_are_pulled_back_only_where_the_curve_goes_on():
    z, t = jnp.array([[7.0, 9.0], [-2.0, -3.0]]), jnp.array([1.0, 0.0])

    def pull(ends):
        return loss_and_pull(z, LINE, t, projected, (("ends", ends),))[1]

    np.testing.assert_allclose(pull("extend"), [[0.12, 0.16], [-0.12, -0.16]], rtol=1e-5)
    assert not pull("clamp").any()


@pytest.mark.parametrize("name", list(CURVES))
def test_finite_on_every_curve_for_spread_and_for_coincident_class_means(name):
    z, t = jnp.asarray(np.random.default_rng(0).normal(size=(9, 3)), jnp.float32), jnp.linspace(0, 1, 9)
    for means in (jnp.asarray(MEANS, jnp.float32), jnp.ones((4, 3))):
        curve = CURVES[name](means)
        for which, options in ((normal, ()), (projected, (("scale", "length"),))):
            loss, pull = loss_and_pull(z, curve, t, which, options)
            assert np.isfinite(loss).all() and np.isfinite(pull).all()


def test_reduced_losses_are_the_same_functions_behind_the_network():
    z = jax.random.normal(jax.random.key(0), (60, 6))
    params = tsne.fit(tsne.init_network(jax.random.key(1), 6, widths=(16,)), z, jax.random.key(2), steps=5)
    curve = Curve(jnp.array([[[-1.0, 0.0], [1.0, 0.0]]]))
    plane, t = np.asarray(tsne.embed(params, z)), jnp.full(60, 0.25)

    @jax.jit
    def reduced(z):
        def losses(z):
            return normal(tsne.embed(params, z), curve, t), projected(tsne.embed(params, z), curve, t)

        return losses(z), jax.grad(lambda z: sum(x.sum() for x in losses(z)))(z)

    (eq5, eq5_projected), grad = reduced(z)
    np.testing.assert_allclose(eq5, (np.abs(plane[:, 0] + 0.5) + np.abs(plane[:, 1])) / 2, rtol=1e-5)
    np.testing.assert_allclose(eq5_projected, np.abs((plane[:, 0] + 1) / 2 - 0.25), atol=1e-5)
    assert jnp.isfinite(grad).all() and (jnp.abs(grad).max(1) > 0).all()


def test_empty_batch():
    assert normal(jnp.ones((0, 2)), LINE, jnp.ones(0)).shape == (0,)
    assert projected(jnp.ones((0, 2)), LINE, jnp.ones(0)).shape == (0,)


def test_unknown_options_are_told():
    z, t = jnp.ones((2, 2)), jnp.zeros(2)
    with pytest.raises(ValueError, match="l1 .* 'max'"):
        normal(z, LINE, t, l1="max")
    with pytest.raises(ValueError, match="scale .* 'arc'"):
        projected(z, LINE, t, scale="arc")
    with pytest.raises(ValueError):
        projected(z, LINE, t, ends="bounce")
