"""RegNetY-32GF as torchvision builds it (Radosavovic et al. 2020, arXiv:2003.13678).

Its widths and depths follow from the paper's section 3.3 with 20 layers, w_0 = 232, w_a = 115.89 and w_m = 2.53.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Conv, Head, batch_norm, run_stages
from smrjax.encoders.stem import IMAGENET, Channels, Stem, normalise


class SqueezeExcite(nn.Module):
    """Channels weighed by what two linear layers make of their means."""

    squeezed: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C]."""
        means = x.mean((1, 2), dtype=jnp.float32)
        hidden = nn.relu(nn.Dense(self.squeezed, dtype=self.dtype, name="linear1")(means))
        return x * nn.sigmoid(nn.Dense(x.shape[-1], dtype=self.dtype, name="linear2")(hidden))[:, None, None]


class Residual(nn.Module):
    """1x1, grouped 3x3, squeeze and excitation, 1x1; the input is added before the last relu.

    The "Y block": all three convolutions have ``features`` channels, and the squeezed ones are a quarter of the
    input's. Where the shape changes, a 1x1 convolution and BatchNorm bring the input to the new one.
    """

    features: int
    group_width: int
    strides: int
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), features]."""
        conv, norm = partial(Conv, self.features, dtype=self.dtype), partial(self.norm, train=train)
        groups, squeezed = self.features // self.group_width, round(x.shape[-1] / 4)
        shortcut = x
        x = nn.relu(norm("norm1")(conv(name="conv1")(x)))
        x = conv(kernel_size=3, strides=self.strides, padding=1, groups=groups, name="conv2")(x)
        x = SqueezeExcite(squeezed, self.dtype, name="excite")(nn.relu(norm("norm2")(x)))
        x = norm("norm3")(conv(name="conv3")(x))
        if self.strides > 1 or shortcut.shape[-1] != self.features:
            shortcut = norm("shortcut_norm")(conv(strides=self.strides, name="shortcut_conv")(shortcut))
        return nn.relu(x + shortcut)


class Block(nn.Module):
    """Residual layers of one width; the first one strides."""

    layers: int
    features: int
    group_width: int
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), features]."""
        for index in range(1, self.layers + 1):
            strides = 2 if index == 1 else 1
            x = Residual(self.features, self.group_width, strides, self.norm, self.dtype, name=f"layer{index}")(
                x, train
            )
        return x


class RegNetY(nn.Module):
    """Images -> embeddings and named stages.

    Attributes:
        embedding_dim: Size of the embedding; 0 for the pooled features themselves.
        dropout: On the pooled features.
        dtype: Of the computation; parameters, statistics and embeddings are float32.
        frozen_stages: So many stages keep their weights and BatchNorm averages.
        axis_name: Device axis over which BatchNorm shares its statistics in training, or None.
        first_stage: Leave out so many stages; images are then what the last of these returned for them.
        channels: Statistics of the colours that images are normalised by.
        layers: Residual layers of each block.
        widths: Their channels.
        group_width: Channels of a group of the 3x3 convolutions; divides all widths.
        stem_features: Channels of the first convolution.
    """

    embedding_dim: int = 256
    dropout: float = 0.05
    dtype: Any = jnp.float32
    frozen_stages: int = 0
    axis_name: str | None = None
    first_stage: int = 0
    channels: Channels = IMAGENET
    layers: tuple[int, ...] = (2, 5, 12, 1)
    widths: tuple[int, ...] = (232, 696, 1392, 3712)
    group_width: int = 232
    stem_features: int = 32

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, and of the top-level parameter groups, in order."""
        return ("stem", *(f"block{i + 1}" for i in range(len(self.layers))), "head")

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Embed images.

        Args:
            images: Float[B, H, W, 3], RGB in 0..255.
            train: BatchNorm over the batch and dropout; needs ``mutable=["batch_stats"]`` and a "dropout" key.

        Returns:
            Embeddings Float32[B, embedding_dim], not normalised, and by name the feature map after each stage but
            the head (a compiled function returns them sorted; ``stage_names`` keeps the order);
            after the last block it is the one that the head pools.
        """
        norm = partial(batch_norm, epsilon=1e-5, momentum=0.1, axis_name=self.axis_name, dtype=self.dtype)
        stem = Stem(self.stem_features, 3, False, norm, self.dtype, name="stem")
        blocks = [
            Block(n, width, self.group_width, norm, self.dtype, name=f"block{i}")
            for i, (n, width) in enumerate(zip(self.layers, self.widths, strict=True), start=1)
        ]
        head = Head(self.embedding_dim, self.dropout, self.axis_name, name="head")
        x = images if self.first_stage else normalise(images, self.channels)
        return run_stages(self.stage_names, [stem, *blocks, head], x, train, self.frozen_stages, self.first_stage)


regnet_y_32gf = RegNetY
#: For tests, as `densenet.densenet_tiny`.
regnet_tiny = partial(RegNetY, layers=(1, 2), widths=(8, 16), group_width=8, stem_features=16)
