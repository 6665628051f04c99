"""Grad-CAM: which places of a feature map speak for a score (Selvaraju et al. 2017, ICCV, eqs. 1 and 2)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def gradcam(
    score: Callable[[jax.Array], jax.Array], features: jax.Array, *, grid: tuple[int, int] | None = None
) -> jax.Array:
    """Heat of each place: its features, weighted by the score's gradient averaged over all places, and no less than 0.

    The weight of channel k is the mean over places of d score / d features_k (eq. 1); the heat of a place is
    relu(sum_k weight_k features_k) there (eq. 2). What speaks against the score is cut off; the score's negative shows
    it instead.

    Tokens of a transformer are places too, but for the class token, which is neither averaged over nor shown. A head
    that sees the class token alone leaves the other tokens of the last layer without a gradient, so that the map there
    is zero everywhere: take an earlier layer, after which tokens still look at one another.

    Args:
        score: ``score(features) -> Float[B]``, whatever follows these features in a network; each cell's score depends
            on the cell's own features alone.
        features: Float[B, h, w, C], or tokens Float[B, 1 + h * w, C], the class token first. Where they are narrower
            than float32, averages and sums are float32 nevertheless.
        grid: (h, w) of tokens; by default that of a square image.

    Returns:
        Float[B, h, w], non-negative, in units of the score; all zero where the gradient is.

    Raises:
        ValueError: if features are neither, or tokens do not fill the grid.

    >>> features = jnp.array([[[[1.0, 0.0], [0.0, 2.0]]]])
    >>> gradcam(lambda x: (x.mean((1, 2)) * jnp.array([4.0, -2.0])).sum(-1), features)[0].tolist()
    [[2.0, 0.0]]
    """
    gradient = jax.grad(lambda x: score(x).sum())(features)
    wide = jnp.promote_types(features.dtype, jnp.float32)
    features, gradient = (_places(x.astype(wide), grid) for x in (features, gradient))
    return jax.nn.relu(jnp.einsum("bhwc,bc->bhw", features, gradient.mean((1, 2)), precision="highest"))


def _places(x: jax.Array, grid: tuple[int, int] | None) -> jax.Array:
    """Maps as they are, tokens as maps without the class token."""
    if x.ndim == 4:
        return x
    if x.ndim != 3:
        raise ValueError(f"features are [B, h, w, C] or [B, 1 + h * w, C], not {list(x.shape)}")
    tokens = x.shape[1] - 1
    height, width = grid or (round(tokens**0.5),) * 2
    if height * width != tokens or not tokens:
        raise ValueError(f"{tokens} tokens beside the class token are no image of {height} x {width}: give its grid")
    return x[:, 1:].reshape(len(x), height, width, -1)


def upsample(maps: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Maps at the size of the image, interpolated bilinearly between the centres of the places.

    Place i of n lies at (i + 1/2) / n of the side, as pixels do (torch's ``align_corners=False``); between the
    outermost centres and the border the map is constant.

    Args:
        maps: Float[B, h, w].
        size: Height and width, not smaller than h and w.

    Returns:
        Float[B, height, width].

    >>> upsample(jnp.array([[[0.0, 4.0]]]), (1, 4)).tolist()
    [[[0.0, 1.0, 3.0, 4.0]]]
    """
    return jax.image.resize(maps, (len(maps), *size), "linear", antialias=False)


def rescale(maps: jax.Array) -> jax.Array:
    """Each map divided by its largest value; one of zeros stays as it is.

    Zero stays zero ("nothing here speaks for it"), which a stretch from the smallest to the largest value would not
    keep. Maps then tell where, no longer how much.

    Args:
        maps: Float[B, H, W], non-negative.

    Returns:
        Float[B, H, W] in 0..1.

    >>> rescale(jnp.array([[[1.0, 4.0]], [[0.0, 0.0]]])).tolist()
    [[[0.25, 1.0]], [[0.0, 0.0]]]
    """
    largest = maps.max((1, 2), keepdims=True)
    return maps / jnp.where(largest > 0, largest, 1)
