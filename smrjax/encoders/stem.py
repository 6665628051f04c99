"""What DenseNet and ResNet have in common: how images are normalised, and the first convolution."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Conv, max_pool

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(images: jax.Array) -> jax.Array:
    """Images as torchvision's networks want them: mean 0 and deviation 1 of each colour over ImageNet.

    Args:
        images: Float[..., 3], RGB in 0..255.

    Returns:
        Float[..., 3].

    Example:
        >>> normalise(255 * jnp.array(IMAGENET_MEAN)).round(6).tolist()
        [0.0, 0.0, 0.0]
    """
    return (images / 255 - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)


class Stem(nn.Module):
    """First convolution, stride 2."""

    features: int
    kernel_size: int
    pool: bool
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, 3] -> [B, H / 2 or H / 4, W / 2 or W / 4, features]."""
        size = self.kernel_size
        x = Conv(self.features, size, strides=2, padding=size // 2, dtype=self.dtype, name="conv")(x)
        x = nn.relu(self.norm("norm", train)(x))
        return max_pool(x) if self.pool else x
