"""Spatial Maturity Regression: pull each cell toward its stage's place on a curve (SMR, eqs. 3 to 5).

Both losses return one value per cell, without alpha: the caller masks the cells of other lineages, averages
and mixes with the triplet term. For the reduced loss (eq. 5) give the embeddings of
`smrjax.losses.tsne.embed` and a curve that was fitted to them; the reduced and projected loss is `projected` on
those.
"""

from functools import partial

import jax
import jax.numpy as jnp

from smrjax.curves import Curve, project


@partial(jax.jit, static_argnames="l1")
def normal(z: jax.Array, curve: Curve, t: jax.Array, *, l1: str = "mean") -> jax.Array:
    """L1 distance between each embedding and its target on the curve (SMR, eq. 3, without alpha and mean).

    Args:
        z: Embeddings, Float[B, D].
        curve: Curve of the lineage in the same space.
        t: Target of each cell, Float[B] in [0, 1]. Give cells outside the lineage any finite t and mask the
            result: a NaN there would reach the gradient of the masked loss.
        l1: "mean" over the D dimensions, so that alpha means the same in 256 and in 2 of them, or "sum", the
            letter of the paper, which with alpha = 0.2 overwhelms the triplet term in 256 dimensions.

    Returns:
        Float[B].

    Raises:
        ValueError: for another `l1`.

    >>> from smrjax.curves import bezier
    >>> line = bezier(jnp.array([[0.0, 0.0], [2.0, 4.0]]))
    >>> print(normal(jnp.array([[1.0, 3.0]]), line, jnp.array([0.5])))  # from (1, 3) to (1, 2)
    [0.5]
    """
    if l1 not in ("mean", "sum"):
        raise ValueError(f'l1 must be "mean" or "sum", got {l1!r}')
    distance = _absolute(z - curve(t))
    return distance.mean(-1) if l1 == "mean" else distance.sum(-1)


@partial(jax.jit, static_argnames=("ends", "scale"))
def projected(z: jax.Array, curve: Curve, t: jax.Array, *, ends: str = "extend", scale: str = "parameter") -> jax.Array:
    """Distance along the curve between each embedding's nearest point and its target (SMR, eq. 4, likewise).

    Directions across the curve stay free. The gradient reaches z through the nearest point.

    Args:
        z: Embeddings, Float[B, D].
        curve: Curve of the lineage in the same space.
        t: Target of each cell, Float[B] in [0, 1]; as in `normal`, finite for masked cells too.
        ends: "extend" goes on along the curve's end tangents, so that a cell beyond an end still feels a
            pull; "clamp" gives such a cell the end itself and no gradient.
        scale: "parameter" is |p(z) - t|, as printed. "length" multiplies by the curve's length, which makes
            it comparable with the triplet term and indifferent to how long the curve is.

    Returns:
        Float[B].

    Raises:
        ValueError: for another `scale` (and, from `project`, another `ends`).

    >>> from smrjax.curves import bezier
    >>> line = bezier(jnp.array([[0.0, 0.0], [4.0, 0.0]]))
    >>> z, t = jnp.array([[1.0, 3.0], [5.0, -2.0]]), jnp.array([0.5, 1.0])
    >>> print(projected(z, line, t), projected(z, line, t, ends="clamp"))
    [0.25 0.25] [0.25 0.  ]
    >>> print(projected(z, line, t, scale="length").round(5))
    [1. 1.]
    """
    if scale not in ("parameter", "length"):
        raise ValueError(f'scale must be "parameter" or "length", got {scale!r}')
    distance = _absolute(project(curve, z, ends=ends) - t)
    return distance * curve.length() if scale == "length" else distance


def _absolute(x: jax.Array) -> jax.Array:
    """|x| with the derivative 0 at 0, where that of `jnp.abs` is 1: a cell on its target is left there."""
    return x * jax.lax.stop_gradient(jnp.sign(x))
