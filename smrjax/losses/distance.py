"""Distance loss of a guide: embeddings as far apart as the places of their classes (GUIDES, eqs. 3 and 4)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

#: Side of the square parts of the table of distances, each of which stays in the cache of a core.
TILE = 128
#: Dimensions (forward) or cells (backward) unrolled at a time.
CHUNK = 16


@jax.jit
def guide_distance(z: jax.Array, y: jax.Array, guide: jax.Array) -> jax.Array:
    """Mean over all pairs of how far their distance is from that of their classes in the guide.

    ``2 / (B (B - 1)) Σ_{j < i} | |z_i - z_j|₁ - |g_i - g_j|₁ |`` (GUIDES, eqs. 3 and 4, without the triplet term): two
    cells of one class belong together, others as far apart as their classes. Memory grows with B², not with B² D.

    Args:
        z: Embeddings, Float[B, D].
        y: Labels, Int[B].
        guide: Place of every class, Float[C, 2], in the unit of the embedding (`match_scale`).

    Returns:
        A scalar, 0 for fewer than two cells. The gradient is that of the absolute values, 0 at their kinks.

    >>> z, guide = jnp.array([[0.0, 0.0], [1.0, 1.0], [4.0, 0.0]]), jnp.array([[0.0, 0.0], [3.0, 0.0]])
    >>> print(guide_distance(z, jnp.array([0, 0, 1]), guide))  # |2 - 0|, |4 - 3|, |4 - 3|
    1.3333334
    """
    count = z.shape[0]
    if count < 2:
        return (z * 0).sum()
    # From the places of the cells: fused into the sum below, where looking up each pair of classes is not.
    apart = sum(jnp.abs(place[:, None] - place) for place in guide[y].T)
    # The diagonal is zero on both sides, so the sum over all pairs is twice that over j < i.
    return jnp.abs(l1_distances(z) - apart).sum() / (count * (count - 1))


def match_scale(guide: jax.Array, z: jax.Array, y: jax.Array) -> jax.Array:
    """A guide in the unit of an embedding: its distances (L1) sum up to those of all pairs of cells of two classes.

    Cells, not class means: means lie closer together than the cells around them, so that a loss on cells would draw the
    classes nearer and nearer with every refit.

    Args:
        guide: Float[C, 2].
        z: Embeddings, Float[N, D].
        y: Labels, Int[N], 0 to C - 1.

    Returns:
        Float[C, 2]; the guide itself where all cells are of one class or their classes share one place.
    """
    share = jnp.zeros(len(guide), z.dtype).at[y].add(1) / len(z)
    z = z - z.mean(0)  # the sums below cancel what all cells have in common, but for its rounding
    apart = jnp.abs(guide[:, None] - guide).sum(-1)
    of_guide = (share[:, None] * share * apart).sum()
    of_cells = _mean_l1(z, jnp.zeros_like(y), share.sum()[None]) - _mean_l1(z, y, share)
    known = (of_guide > 0) & (of_cells > 0)
    return guide * jnp.where(known, of_cells / jnp.where(of_guide > 0, of_guide, 1), 1)


def _mean_l1(z: jax.Array, y: jax.Array, share: jax.Array) -> jax.Array:
    """Sum of the L1 distances of all ordered pairs within a class, over N²; exact in O(N D log N).

    In one dimension the k-th of n ordered values is added k times and taken away n - 1 - k times.
    """
    count = len(z)
    table = jnp.broadcast_to(y[:, None], z.shape)
    _, ordered = lax.sort((table, z), dimension=0, num_keys=2)
    own = jnp.sort(y)
    rank = jnp.arange(count) - jnp.searchsorted(own, own, side="left")
    weight = (2 * rank + 1) / count - share[own]
    return 2 * (weight[:, None] * ordered).sum() / count


@jax.custom_vjp
def l1_distances(z: jax.Array) -> jax.Array:
    """L1 distances of all pairs, Float[B, B], of Float[B, D]."""
    count = len(z)
    size = max(1, min(TILE, count))
    padded = _pad(_pad(z, size, 0), CHUNK, 1)
    across = -(-count // size)
    columns = padded.reshape(across, size, -1).swapaxes(1, 2).reshape(across, -1, CHUNK, size)
    above, left = np.triu_indices(across)  # a pair of tiles has the distances of both of its orders

    def tile(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        def add(total: jax.Array, chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            a, b = chunk
            for k in range(CHUNK):
                total = total + jnp.abs(a[k][:, None] - b[k])
            return total, None

        return lax.scan(add, jnp.zeros((size, size), z.dtype), (columns[pair[0]], columns[pair[1]]))[0]

    tiles = lax.map(tile, (jnp.asarray(above), jnp.asarray(left)))
    place = np.zeros((across, across), int)
    place[above, left] = place[left, above] = np.arange(len(above))
    below = np.tri(across, k=-1, dtype=bool)[:, :, None, None]
    whole = jnp.where(below, tiles[place].swapaxes(2, 3), tiles[place])
    return whole.swapaxes(1, 2).reshape(len(padded), -1)[:count, :count]


def _forward(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    return l1_distances(z), z


def _backward(z: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    # dL/dz_i = Σ_j (W_ij + W_ji) sign(z_i - z_j), a chunk of cells j at a time.
    weights = _pad(cotangent + cotangent.T, CHUNK, 0).reshape(-1, CHUNK, len(z))
    others = _pad(z, CHUNK, 0).reshape(-1, CHUNK, z.shape[1])

    def add(total: jax.Array, chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        other, weight = chunk
        for k in range(CHUNK):
            apart, w = z - other[k], weight[k][:, None]
            # Half the time of w * jnp.sign(apart).
            total = total + jnp.where(apart > 0, w, jnp.where(apart < 0, -w, 0))
        return total, None

    return (lax.scan(add, jnp.zeros_like(z), (others, weights))[0],)


l1_distances.defvjp(_forward, _backward)


def _pad(x: jax.Array, multiple: int, axis: int) -> jax.Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, -x.shape[axis] % multiple)
    return jnp.pad(x, widths)
