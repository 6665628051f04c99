"""All violating triplets against loops over triplets in float64, finite differences, and the ends."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smrjax.losses import triplet_margin, triplet_margin_with_active


@partial(jax.jit, static_argnames="normalize")
def both(z, y, margin=0.1, normalize=True):
    """((loss, active), gradient)."""

    def loss(z):
        return triplet_margin_with_active(z, y, margin=margin, normalize=normalize)

    return jax.value_and_grad(loss, has_aux=True)(z)


def sample(n, classes, dim=8, seed=0, spread=0.7):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(classes, dim))[y] + spread * rng.normal(size=(n, dim)), y


def cube(z, y, margin, normalize):
    """Terms d(a, p) - d(a, n) + margin of every triplet, float64 [B, B, B], NaN where it is no triplet.

    pytorch-metric-learning's formula: its TripletMarginLoss with all triplets and the mean of the non-zero
    terms.
    """
    z = np.asarray(z, np.float64)
    if normalize:
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
    d = np.linalg.norm(z[:, None] - z[None], axis=2)
    same = y[:, None] == y[None]
    triplet = (same & ~np.eye(len(y), dtype=bool))[:, :, None] & ~same[:, None, :]
    return np.where(triplet, d[:, :, None] - d[:, None, :] + margin, np.nan)


def expected(z, y, margin=0.1, normalize=True):
    terms = cube(z, y, margin, normalize)
    possible, hit = np.isfinite(terms), np.nan_to_num(terms, nan=-1.0) > 0
    return terms[hit].mean() if hit.any() else 0.0, hit.sum() / max(possible.sum(), 1)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n, classes", [(3, 2), (60, 15), (131, 4)])
def test_matches_the_cube_of_all_triplets(n, classes, normalize):
    z, y = sample(n, classes, seed=n)
    (loss, active), _ = both(jnp.asarray(z, jnp.float32), jnp.asarray(y), normalize=normalize)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose((loss, active), expected(z, y, normalize=normalize), rtol=1e-5, atol=1e-6)


def test_matches_a_loop_written_triplet_by_triplet():
    z, y = sample(9, 3, dim=3)
    losses = []
    for a, p, n in product(range(9), repeat=3):
        if a != p and y[a] == y[p] != y[n]:
            losses.append(np.sqrt(((z[a] - z[p]) ** 2).sum()) - np.sqrt(((z[a] - z[n]) ** 2).sum()) + 0.3)
    losses = np.array(losses)
    loss = triplet_margin(jnp.asarray(z, jnp.float32), jnp.asarray(y), margin=0.3, normalize=False)
    assert 0 < (losses > 0).sum() < len(losses)
    np.testing.assert_allclose(loss, losses[losses > 0].mean(), rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_gradient_matches_finite_differences_at_a_fixed_set_of_triplets(normalize):
    z, y = sample(23, 4, dim=5)
    hit = np.nan_to_num(cube(z, y, 0.1, normalize), nan=-1.0) > 0

    def held(z):
        return cube(z, y, 0.1, normalize)[hit].mean()

    with jax.enable_x64(True):
        _, grad = both(jnp.asarray(z), jnp.asarray(y), normalize=normalize)
    step = 1e-6
    for i, j in product((0, 5, 22), range(5)):
        e = np.zeros_like(z)
        e[i, j] = step
        assert float(grad[i, j]) == pytest.approx((held(z + e) - held(z - e)) / (2 * step), abs=1e-8)


@pytest.mark.parametrize(
    "y",
    [
        pytest.param([0] * 6, id="one class"),
        pytest.param([0, 1, 2, 3, 4, 5], id="no positives"),
        pytest.param([0, 0, 0, 1, 1, 1], id="all apart already"),
        pytest.param([-1] * 6, id="padding alone"),
    ],
)
def test_is_zero_with_a_zero_gradient_where_nothing_violates(y):
    z = jnp.repeat(jnp.eye(2, 5), 3, axis=0)  # two places, exact duplicates within each
    (loss, active), grad = both(z, jnp.array(y))
    assert (float(loss), float(active)) == (0.0, 0.0)
    assert not grad.any()


@pytest.mark.parametrize("point", [0.0, 1.0, 1e-30, 1e4])
@pytest.mark.parametrize("normalize", [True, False])
def test_collapsed_batch_costs_the_margin_and_has_a_finite_gradient(point, normalize):
    (loss, active), grad = both(jnp.full((70, 16), point), jnp.arange(70) % 3, normalize=normalize)
    assert float(loss) == pytest.approx(0.1, abs=1e-6)
    assert float(active) == 1.0
    assert jnp.isfinite(grad).all()
    assert not (normalize and point > 0.1 and jnp.abs(grad).max() > 1e-3)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_batches_too_small_for_a_triplet(n):
    (loss, active), grad = both(jnp.ones((n, 4)), jnp.arange(n))
    assert (float(loss), float(active)) == (0.0, 0.0)
    assert grad.shape == (n, 4) and not grad.any()


def test_padding_rows_take_part_in_nothing_even_when_they_hold_nan():
    z, y = sample(50, 5, seed=3)
    pad = np.array([0, 17, 49])
    z, y = jnp.asarray(z, jnp.float32).at[pad].set(jnp.nan), jnp.asarray(y).at[pad].set(-1)
    kept = np.delete(np.arange(50), pad)
    (loss, active), grad = both(z, y)
    np.testing.assert_allclose((loss, active), expected(z[kept], np.asarray(y[kept])), rtol=1e-5)
    assert not grad[pad].any()
    assert jnp.isfinite(grad).all() and jnp.abs(grad[kept]).max() > 0


def test_a_nan_in_a_real_cell_shows():
    z, y = sample(12, 3)
    assert jnp.isnan(triplet_margin(jnp.asarray(z).at[4, 0].set(jnp.nan), jnp.asarray(y)))


def test_embeddings_far_from_the_origin_keep_their_distances_in_float32():
    z, y = sample(40, 4, seed=1)
    far = (z / 100 + 30).astype(np.float32)  # collapsed: 30 away, 0.01 apart
    loss = triplet_margin(jnp.asarray(far), jnp.asarray(y), margin=0.01, normalize=False)
    assert float(loss) == pytest.approx(expected(far, y, 0.01, normalize=False)[0], rel=1e-4)


def test_vmap_equals_one_by_one():
    z, y = zip(*(sample(20, k, seed=k) for k in (2, 3, 9)), strict=True)
    got = jax.vmap(triplet_margin)(jnp.asarray(z, jnp.float32), jnp.asarray(y))
    np.testing.assert_allclose(got, [expected(a, b)[0] for a, b in zip(z, y, strict=True)], rtol=1e-5)


def test_half_precision_embeddings_are_counted_in_float32():
    z, y = sample(30, 4)
    z = jnp.asarray(z, jnp.bfloat16)
    loss = triplet_margin(z, jnp.asarray(y))
    assert loss.dtype == jnp.float32
    assert float(loss) == pytest.approx(expected(z, y)[0], rel=1e-4)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=70), st.integers(0, 999), st.floats(0, 3))
@settings(max_examples=30, deadline=None)
def test_any_labels_and_margins_in_float64(labels, seed, margin):
    y = np.resize(labels, 70)  # more rows than one block holds
    z = np.random.default_rng(seed).normal(size=(70, 2))
    with jax.enable_x64(True):
        (loss, active), _ = both(jnp.asarray(z), jnp.asarray(y), margin)
        assert loss.dtype == jnp.float64
        np.testing.assert_allclose((loss, active), expected(z, y, margin), rtol=1e-9, atol=1e-12)


def test_memory_grows_with_the_square_of_the_batch():
    n = 320
    shapes = jax.ShapeDtypeStruct((n, 8), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)
    stats = jax.jit(jax.value_and_grad(triplet_margin)).lower(*shapes).compile().memory_analysis()
    if stats is None:
        pytest.skip("this backend does not tell its memory")
    assert stats.temp_size_in_bytes < 16 * 4 * n**2 < n**3


def test_wrong_shapes_are_told():
    with pytest.raises(ValueError, match=r"\[B, D\].*\(4, 2\).*\(3,\)"):
        triplet_margin(jnp.ones((4, 2)), jnp.zeros(3, int))
