"""How all encoders normalise images, and the first convolution of DenseNet and ResNet."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Conv, max_pool


class Channels(NamedTuple):
    """Statistics of the colours of a set of images, as shares of full brightness.

    Attributes:
        mean: Of red, green and blue.
        deviation: Standard deviation of the three.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


#: What torchvision's networks are trained with.
IMAGENET = Channels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalise(images: jax.Array, channels: Channels) -> jax.Array:
    """Images whose colours have mean 0 and deviation 1 over the set that the statistics are of.

    Args:
        images: Float[..., 3], RGB in 0..255.
        channels: Statistics.

    Returns:
        Float[..., 3].

    Example:
        >>> normalise(255 * jnp.array(IMAGENET.mean), IMAGENET).round(6).tolist()
        [0.0, 0.0, 0.0]
    """
    return (images / 255 - jnp.array(channels.mean)) / jnp.array(channels.deviation)


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
