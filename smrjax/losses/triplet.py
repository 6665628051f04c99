"""Triplet margin loss over every triplet of a batch that violates the margin, exact in O(B²) memory.

A triplet is an anchor a, a positive p of the same class and a negative n of another one; it violates the
margin where d(a, p) + margin > d(a, n). With all distances d at hand, let c be, at a positive, the number of
its violating negatives, and, at a negative, minus the number of positives that it violates. With T violating
triplets,

    loss = sum(c * d) / T + margin        and        d loss / d d = c / T,

so that no array of B³ entries is needed and nothing is differentiated through the counting.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

# Rows counted together: their distances and counts stay in the cache of one core up to B = 1024 or so.
_BLOCK = 64


@partial(jax.jit, static_argnames="normalize")
def triplet_margin(z: jax.Array, y: jax.Array, *, margin: float = 0.1, normalize: bool = True) -> jax.Array:
    """Mean of d(a, p) - d(a, n) + margin over the triplets where it is positive, and 0 where there are none.

    Source: SMR, section III-B, and GUIDES, eq. 2 (all triplets that violate the margin). Euclidean distances;
    those below the rounding error of the dtype (duplicates) count as 0 and have a zero gradient.

    Args:
        z: Embeddings, Float[B, D], any B and D.
        y: Labels, Int[B]. A cell with a negative label is padding: it takes part in nothing, whatever its z.
        margin: How much farther than the positive the negative has to be, in units of the distance.
        normalize: Scale each embedding to length 1 first. False is the letter of the papers.

    Returns:
        A scalar, at least float32. Its gradient holds the set of violating triplets fixed and is 0, never
        NaN, where that set is empty (one class, no two cells of a class, all apart already).

    Raises:
        ValueError: if the shapes are not [B, D] and [B].

    >>> z = jnp.array([[0.0, 0.0], [3.0, 4.0], [0.0, 4.95]])
    >>> y = jnp.array([0, 0, 1])
    >>> print(f"{triplet_margin(z, y, normalize=False):.2f}")  # (5 - 4.95 + 0.1 + 5 - 3.148 + 0.1) / 2
    1.05
    """
    return triplet_margin_with_active(z, y, margin=margin, normalize=normalize)[0]


@partial(jax.jit, static_argnames="normalize")
def triplet_margin_with_active(
    z: jax.Array, y: jax.Array, *, margin: float = 0.1, normalize: bool = True
) -> tuple[jax.Array, jax.Array]:
    """`triplet_margin` and, for the log, the share of all triplets that violate the margin.

    Args:
        z: Embeddings, Float[B, D].
        y: Labels, Int[B]; negative for padding.
        margin: As in `triplet_margin`.
        normalize: As in `triplet_margin`.

    Returns:
        The loss and the share in [0, 1] (0 where there is no triplet at all), both scalars.

    Raises:
        ValueError: if the shapes are not [B, D] and [B].

    >>> z = jnp.array([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0], [1.0, 0.1]])
    >>> loss, active = triplet_margin_with_active(z, jnp.array([0, 0, 1, 1]))
    >>> print(loss, active)  # the classes are a right angle apart
    0.0 0.0
    """
    if z.ndim != 2 or y.shape != z.shape[:1]:
        raise ValueError(f"embeddings must be [B, D] and labels [B], got {z.shape} and {y.shape}")
    z = z.astype(jnp.promote_types(z.dtype, jnp.float32))
    if z.shape[0] < 3:
        return jnp.zeros((), z.dtype), jnp.zeros((), z.dtype)
    real = y >= 0
    z = jnp.where(real[:, None], z, 0.0)
    d = _distances(_unit(z) if normalize else z, real)
    counts, possible = _counts(lax.stop_gradient(d), y, margin)
    counts = counts.astype(d.dtype)
    violating = jnp.maximum(counts, 0).sum()
    weight = counts / jnp.maximum(violating, 1)
    loss = (weight * d).sum(1).sum() + margin * (violating > 0)
    return loss, violating / jnp.maximum(possible, 1)


def _unit(z: jax.Array) -> jax.Array:
    """Rows scaled to length 1; a row of zeros stays, and its gradient is 0."""
    square = (z * z).sum(1, keepdims=True)
    return z * jnp.where(square > 0, lax.rsqrt(jnp.where(square > 0, square, 1)), 0)


def _distances(z: jax.Array, real: jax.Array) -> jax.Array:
    """Euclidean distances Float[B, B] whose gradient is finite at 0."""
    # Distances do not feel a shift, their rounding error does: collapsed embeddings lie far from the origin.
    z = z - lax.stop_gradient(jnp.where(real[:, None], z, 0).sum(0) / jnp.maximum(real.sum(), 1))
    z = jnp.where(real[:, None], z, 0.0)
    norm = (z * z).sum(1)
    norms = norm[:, None] + norm[None, :]
    square = norms - 2 * jnp.matmul(z, z.T, precision=lax.Precision.HIGHEST)
    # Where the difference is rounding error alone, a square root would magnify it into a random pull.
    # Written so that a NaN is not "near": a NaN embedding must show in the loss.
    near = (square <= 16 * jnp.finfo(z.dtype).eps * norms) | jnp.eye(len(z), dtype=bool)
    return jnp.where(near, 0, jnp.sqrt(jnp.where(near, 1, square)))


def _counts(d: jax.Array, y: jax.Array, margin: float) -> tuple[jax.Array, jax.Array]:
    """Signed counts c of the module's text, Int[B, B], and the number of all triplets.

    With rows sorted by class, the k-th fellow of every cell is met in the k-th round: (size of the largest
    class - 1) rounds of B² comparisons. A sort of the rows instead is 4 to 15 times slower at B = 64 to 512
    on a CPU.
    """
    n = len(y)
    # Sums over comparisons take a small batch less time than a sort and searches.
    index = jnp.arange(n)
    same = y[:, None] == y
    start = (y < y[:, None]).sum(1)
    size = same.sum(1)
    place = (same & (index < index[:, None])).sum(1)
    order = jnp.zeros(n, index.dtype).at[start + place].set(index)
    size = jnp.where(y < 0, 1, size)  # alone in its class: never part of a positive pair
    rounds = size.max()
    other = ~same & (y >= 0)
    negative = jnp.where(other, d, jnp.inf)

    blocks = -(-n // _BLOCK)
    height = -(-n // blocks)
    row = jnp.arange(height)

    def block(rows: tuple[jax.Array, ...]) -> jax.Array:
        d, negative, start, size, place = rows

        def fellow(k: jax.Array, counts: jax.Array) -> jax.Array:
            column = order[start + (place + k) % size]
            reach = jnp.where(k < size, d[row, column] + margin, -jnp.inf)
            hit = (reach[:, None] > negative).astype(jnp.int32)
            return (counts - hit).at[row, jnp.where(k < size, column, n)].set(hit.sum(1, dtype=jnp.int32), mode="drop")

        return lax.fori_loop(1, rounds, fellow, jnp.zeros(d.shape, jnp.int32))

    def split(x: jax.Array) -> jax.Array:
        # Rows added to fill the last block are alone in their class (size 1), so nothing is counted in them.
        filled = jnp.pad(x, ((0, blocks * height - n),) + ((0, 0),) * (x.ndim - 1), constant_values=1)
        return filled.reshape(blocks, height, *x.shape[1:])

    counts = lax.map(block, tuple(split(x) for x in (d, negative, start, size, place)))
    possible = ((size - 1).astype(d.dtype) * other.sum(1).astype(d.dtype)).sum()
    return counts.reshape(-1, n)[:n], possible
