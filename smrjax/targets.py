"""Places of the classes of a lineage along its curve: t from 0 (youngest) to 1 (oldest stage).

Every function takes the number of samples of each class, Int[C] in maturity order, and returns Float[C], strictly
increasing from 0 to 1 whatever the counts are; one class alone gets t=[0]. Only shapes are read from Python, so all may
be jitted. Counts may be given in float as well.
"""

import jax
import jax.numpy as jnp


def uniform(counts: jax.Array) -> jax.Array:
    """Equal steps (SMR, eq. 1).

    >>> print(uniform(jnp.array([10, 200, 3])))
    [0.  0.5 1. ]
    """
    return _places(jnp.ones_like(_checked(counts)[1:]))


def frequency(counts: jax.Array) -> jax.Array:
    """Steps by the mean log relative frequency of the two classes they join (SMR, eq. 2, as printed).

    The paper says that classes with few samples get the smaller ranges. The logarithm of a relative frequency is
    negative, though, so the formula as printed gives them the *larger* ones; `log_count` does what the sentence says.
    Frequencies are relative to the lineage. If a class is empty, all counts are raised by one.

    >>> print(*(f"{t:.4f}" for t in frequency(jnp.array([11973, 11994, 6557, 3055, 9968, 29424]))))
    0.0000 0.1683 0.3645 0.6245 0.8650 1.0000
    """
    counts = _checked(counts)
    counts = counts + (counts.min() <= 0)
    return _places(_halved(jnp.log(counts.sum()) - jnp.log(counts)))


def log_count(counts: jax.Array) -> jax.Array:
    """Steps by the mean log(1 + n) of the two classes they join: classes with few samples get smaller ranges.

    >>> print(*(f"{t:.4f}" for t in log_count(jnp.array([11973, 11994, 6557, 3055, 9968, 29424]))))
    0.0000 0.2075 0.4084 0.5942 0.7846 1.0000
    """
    return _places(_halved(jnp.log1p(_checked(counts))))


def linear(counts: jax.Array) -> jax.Array:
    """Steps by the mean count of the two classes they join: in proportion to how many cells are seen on the way.

    >>> print(linear(jnp.array([10, 10, 50])))
    [0.   0.25 1.  ]
    """
    return _places(_halved(_checked(counts)))


TARGETS = {"uniform": uniform, "frequency": frequency, "log_count": log_count, "linear": linear}

# Smallest step as a share of the mean step, so that no two classes share a place. It takes effect between neighbours
# that are both empty, and in `linear` where both are a thousand times rarer than the rest.
SMALLEST_STEP = 1e-3


def _checked(counts: jax.Array) -> jax.Array:
    counts = jnp.asarray(counts)
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"counts must be [classes] with one class at least, got shape {counts.shape}")
    return counts.astype(jnp.promote_types(counts.dtype, jnp.float32))


def _halved(weights: jax.Array) -> jax.Array:
    return (weights[:-1] + weights[1:]) / 2


def _places(steps: jax.Array) -> jax.Array:
    if not steps.size:
        return jnp.zeros(1, steps.dtype)
    mean = steps.mean()
    steps = jnp.where(mean > 0, jnp.maximum(steps, SMALLEST_STEP * mean), 1)
    ends = jnp.cumsum(steps)
    # Compiled, x / x may miss 1 by a rounding, so the last place is written down.
    return jnp.concatenate([jnp.zeros(1, steps.dtype), ends[:-1] / ends[-1], jnp.ones(1, steps.dtype)])
