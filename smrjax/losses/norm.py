"""Penalty on the length of the embeddings (GUIDES, section on the experimental setup)."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.jit, static_argnames="squared")
def norm_penalty(z: jax.Array, *, squared: bool = True) -> jax.Array:
    """Squared Euclidean length of each embedding as it leaves the encoder, before any normalisation.

    GUIDES weighs the norm of the embedding by 0.001. We read the squared norm (weight decay on the output: smooth at 0
    and free of a pull that stays the same however short the vector); ``squared=False`` is the letter. The factor is
    left to the caller.

    Args:
        z: Embeddings, Float[B, D].
        squared: Whether to square.

    Returns:
        Float[B]; the gradient at z = 0 is 0 in both readings.

    >>> print(norm_penalty(jnp.array([[3.0, 4.0]])), norm_penalty(jnp.array([[3.0, 4.0]]), squared=False))
    [25.] [5.]
    """
    square = (z * z).sum(-1)
    if squared:
        return square
    # The inner where keeps sqrt away from 0, where its derivative is infinite and 0 * inf would be NaN.
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
