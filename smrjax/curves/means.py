"""Class means as the fits need them: absent classes left out without a change of shape."""

import jax
import jax.numpy as jnp

from smrjax.curves.curve import Curve


def all_present(class_means: jax.Array, present: jax.Array | None) -> jax.Array:
    """`present` as a boolean mask, Bool[C]; everything is present where nothing is said."""
    if class_means.ndim != 2 or not class_means.shape[0]:
        raise ValueError(f"class_means must be [classes, dimensions] with one class at least: {class_means.shape}")
    return jnp.ones(class_means.shape[0], bool) if present is None else jnp.asarray(present, bool)


def masked_mean(class_means: jax.Array, present: jax.Array) -> jax.Array:
    """Mean over the present classes, Float[D]; zeros where there is none."""
    # where, not a product: the mean of an empty class may be NaN.
    return jnp.where(present[:, None], class_means, 0).sum(0) / jnp.maximum(present.sum(), 1)


def fill_absent(class_means: jax.Array, present: jax.Array) -> jax.Array:
    """Class means with the absent ones on the straight line through the two nearest present stages.

    Between two present stages that is linear interpolation by stage; before the first and after the last it goes on
    along the line through the two stages next to them. So a present class keeps its stage and thereby its target, and
    no two control points coincide that did not before. One present class is repeated; none at all gives zeros.

    Args:
        class_means: Float[C, D]; rows of absent classes are never read and may be NaN.
        present: Bool[C].

    Returns:
        Float[C, D].
    """
    stages = jnp.arange(class_means.shape[0])
    means = jnp.where(present[:, None], class_means, 0)
    # Rank of the present stages, then for each stage the pair of neighbours to go by.
    order = jnp.argsort(jnp.where(present, stages, stages.size + stages))
    count = present.sum()
    left = jnp.clip(jnp.cumsum(present) - 1, 0, jnp.maximum(count - 2, 0))
    a, b = order[left], order[jnp.minimum(left + 1, jnp.maximum(count - 1, 0))]
    share = (stages - a) / jnp.where(b == a, 1, b - a)
    share = jnp.where(b == a, 0, share).astype(means.dtype)[:, None]
    return jnp.where(present[:, None], means, means[a] + share * (means[b] - means[a]))


def keep_if_empty(curve: Curve, present: jax.Array, previous: Curve | None) -> Curve:
    """The previous curve where no class at all is present, else the new one."""
    if previous is None:
        return curve
    return Curve(jnp.where(present.any(), curve.control, previous.control))
