"""Weights of a vision transformer that was trained on colours of another scale."""

from collections.abc import Mapping

import numpy as np

from smrjax.encoders.stem import IMAGENET


def scaled_to_imagenet(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict whose first layer sees colours as `stem.normalise` gives them by ImageNet's statistics.

    The transformers of the original paper, which timm has, see colours in -1..1. Their first layer is linear and knows
    no padding, so that the change of scale goes into its weights and the network stays the same function of images.

    Args:
        state: Name -> array.

    Returns:
        The same but for timm's ``patch_embed.proj``, if both its arrays are there and see three colours.

    Example:
        >>> grey = {"patch_embed.proj.weight": np.ones((1, 3, 1, 1)), "patch_embed.proj.bias": np.zeros(1)}
        >>> [round(float(weight), 3) for weight in scaled_to_imagenet(grey)["patch_embed.proj.weight"].flat]
        [0.458, 0.448, 0.45]
    """
    kernel, bias = (state.get(f"patch_embed.proj.{array}") for array in ("weight", "bias"))
    if kernel is None or bias is None or kernel.ndim < 2 or kernel.shape[1] != 3:
        return dict(state)
    mean, deviation = np.array(IMAGENET.mean), np.array(IMAGENET.deviation)
    by_colour = kernel.astype(np.float64).reshape(len(kernel), 3, -1)
    scaled = (by_colour * (2 * deviation)[:, None]).reshape(kernel.shape)
    # Of a pixel of 0 after `normalise`, which is 2 * mean - 1 here.
    offset = by_colour.sum(2) @ (2 * mean - 1)
    return {
        **state,
        "patch_embed.proj.weight": scaled.astype(np.float32),
        "patch_embed.proj.bias": (bias + offset).astype(np.float32),
    }
