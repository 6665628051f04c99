"""Neighbourhood probabilities of t-SNE at a given perplexity (van der Maaten & Hinton 2008, eqs. 1 and 2)."""

import jax
import jax.numpy as jnp
from jax import lax

# Bounds of log(precision x mean squared distance): far outside of what float32 distances can tell apart.
_REACH = 25.0
_MAX_ROUNDS = 50


def squared_distances(z: jax.Array) -> jax.Array:
    """Squared Euclidean distances, Float[N, N], at least 0; z Float[N, D].

    >>> print(squared_distances(jnp.array([[0.0, 0.0], [3.0, 4.0]])))
    [[ 0. 25.]
     [25.  0.]]
    """
    norm = (z * z).sum(1)
    square = norm[:, None] + norm[None, :] - 2 * jnp.matmul(z, z.T, precision=lax.Precision.HIGHEST)
    return jnp.maximum(square, 0) * (1 - jnp.eye(len(z), dtype=z.dtype))


@jax.jit
def conditional_affinities(square: jax.Array, perplexity: float | jax.Array) -> jax.Array:
    """p(j | i): how likely point i picks j as its neighbour, under a Gaussian as wide as the perplexity asks.

    Solves entropy(p(. | i)) = log(perplexity) for the logarithm of each Gaussian's precision: Newton steps of
    at most 1.5, kept inside a bracket that every evaluation shrinks, or a bisection where the step would
    leave it.

    Args:
        square: Squared distances, Float[N, N], N >= 2.
        perplexity: Wanted exp(entropy) of every row, from 1 to N - 1. A row with more than that many points
            at its nearest distance (duplicates) cannot reach it and spreads evenly over those.

    Returns:
        Float[N, N], 0 on the diagonal, rows sum to 1; the perplexity of a row is right to about 1e-3. Scaling
        all distances changes nothing.

    >>> corners = squared_distances(jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    >>> p = conditional_affinities(corners, 2.5)
    >>> print(f"{jnp.exp(-(p[0, 1:] * jnp.log(p[0, 1:])).sum()):.3f}")
    2.500
    """
    n = len(square)
    self_pair = jnp.eye(n, dtype=bool)
    # Relative to the nearest neighbour, whose weight is then 1: the sum of a row never underflows.
    square = square - jnp.where(self_pair, jnp.inf, square).min(1, keepdims=True)
    square = jnp.where(self_pair, 0, square)
    mean = square.sum(1, keepdims=True) / (n - 1)
    square = square / jnp.where(mean > 0, mean, 1)
    target = jnp.log(jnp.asarray(perplexity, square.dtype))
    tolerance = 1e-5 if square.dtype == jnp.float32 else 1e-10

    def weights(log_beta: jax.Array) -> jax.Array:
        return jnp.where(self_pair, 0, jnp.exp(-jnp.exp(log_beta)[:, None] * square))

    def excess(log_beta: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Entropy above the target, and its slope in log(beta)."""
        w = weights(log_beta)
        beta, total = jnp.exp(log_beta), w.sum(1)
        first, second = (w * square).sum(1) / total, (w * square * square).sum(1) / total
        return jnp.log(total) + beta * first - target, -beta * beta * (second - first * first)

    def unfinished(state: tuple) -> jax.Array:
        _, low, high, error, _, rounds = state
        open_rows = (jnp.abs(error) > tolerance) & (high - low > tolerance)
        return open_rows.any() & (rounds < _MAX_ROUNDS)

    def improve(state: tuple) -> tuple:
        log_beta, low, high, error, slope, rounds = state
        low = jnp.where(error > 0, log_beta, low)
        high = jnp.where(error > 0, high, log_beta)
        falling = slope < -1e-12
        step = log_beta - jnp.clip(error / jnp.where(falling, slope, -1), -1.5, 1.5)
        inside = falling & (step > low) & (step < high)
        log_beta = jnp.where(inside, step, (low + high) / 2)
        return log_beta, low, high, *excess(log_beta), rounds + 1

    start = jnp.zeros(n, square.dtype)
    bound = jnp.full(n, _REACH, square.dtype)
    log_beta, *_ = lax.while_loop(unfinished, improve, (start, -bound, bound, *excess(start), jnp.int32(0)))
    w = weights(log_beta)
    return w / w.sum(1, keepdims=True)


@jax.jit
def joint_affinities(z: jax.Array, perplexity: float | jax.Array) -> jax.Array:
    """Symmetric joint probabilities (p(j | i) + p(i | j)) / 2N of all pairs.

    Args:
        z: Points, Float[N, D], N >= 2.
        perplexity: Wanted perplexity, lowered to (N - 1) / 3, but not under 1, for few points.

    Returns:
        Float[N, N], symmetric, 0 on the diagonal, sums to 1.

    >>> p = joint_affinities(jnp.array([[0.0], [1.0], [5.0]]), 30.0)
    >>> print(f"{p.sum():.3f} {p[0, 1] > p[0, 2]}")
    1.000 True
    """
    n = len(z)
    p = conditional_affinities(squared_distances(z), jnp.clip(perplexity, 1.0, max(1.0, (n - 1) / 3)))
    return (p + p.T) / (2 * n)
