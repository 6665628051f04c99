"""ResNets and ResNeXt-50 as torchvision builds them (He et al. 2016, arXiv:1512.03385; Xie et al. 2017, 1611.05431).

A bottleneck strides in its 3x3 convolution, not in the first 1x1 one as in the paper ("v1.5"); so do the published
weights.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Conv, Head, batch_norm, run_stages
from smrjax.encoders.stem import IMAGENET, Channels, Stem, normalise


class Residual(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1 to four times the channels; the input is added before the last relu.

    Where the shape changes, a 1x1 convolution and BatchNorm bring the input to the new one. The 3x3 convolution of a
    bottleneck is in ``groups`` of ``group_width`` channels.
    """

    width: int
    groups: int
    group_width: int
    strides: int
    bottleneck: bool
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), width, or four times that]."""
        features = 4 * self.width if self.bottleneck else self.width
        middle = self.groups * self.group_width
        # Channels, kernel, stride and groups of each convolution.
        plain = [(self.width, 3, self.strides, 1), (features, 3, 1, 1)]
        narrow = [(middle, 1, 1, 1), (middle, 3, self.strides, self.groups), (features, 1, 1, 1)]
        rows = narrow if self.bottleneck else plain
        shortcut = x
        for index, (channels, size, strides, groups) in enumerate(rows, start=1):
            conv = Conv(channels, size, strides, size // 2, dtype=self.dtype, groups=groups, name=f"conv{index}")
            x = self.norm(f"norm{index}", train)(conv(x))
            if index < len(rows):
                x = nn.relu(x)
        if shortcut.shape != x.shape:
            shortcut = Conv(features, 1, self.strides, dtype=self.dtype, name="shortcut_conv")(shortcut)
            shortcut = self.norm("shortcut_norm", train)(shortcut)
        return nn.relu(x + shortcut)


class Block(nn.Module):
    """Residual layers of one width; the first one strides."""

    layers: int
    width: int
    groups: int
    group_width: int
    strides: int
    bottleneck: bool
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), width, or four times that]."""
        for index in range(1, self.layers + 1):
            x = Residual(
                self.width,
                self.groups,
                self.group_width,
                self.strides if index == 1 else 1,
                self.bottleneck,
                self.norm,
                self.dtype,
                name=f"layer{index}",
            )(x, train)
        return x


class ResNet(nn.Module):
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
        bottleneck: Three convolutions a layer instead of two.
        width: Channels of the first block's 3x3 convolutions, and of the stem; each later block has twice as many.
        groups: Of the 3x3 convolutions of bottlenecks ("cardinality").
        group_width: Channels of a group in the first block, twice as many in each later one; 0 for ``width``.
    """

    embedding_dim: int = 256
    dropout: float = 0.05
    dtype: Any = jnp.float32
    frozen_stages: int = 0
    axis_name: str | None = None
    first_stage: int = 0
    channels: Channels = IMAGENET
    layers: tuple[int, ...] = (2, 2, 2, 2)
    bottleneck: bool = False
    width: int = 64
    groups: int = 1
    group_width: int = 0

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
        stem = Stem(self.width, 7, True, norm, self.dtype, name="stem")
        blocks = [
            Block(
                n,
                self.width * 2**i,
                self.groups,
                (self.group_width or self.width) * 2**i,
                1 if i == 0 else 2,
                self.bottleneck,
                norm,
                self.dtype,
                name=f"block{i + 1}",
            )
            for i, n in enumerate(self.layers)
        ]
        head = Head(self.embedding_dim, self.dropout, self.axis_name, name="head")
        x = images if self.first_stage else normalise(images, self.channels)
        return run_stages(self.stage_names, [stem, *blocks, head], x, train, self.frozen_stages, self.first_stage)


resnet18 = ResNet
resnet50 = partial(ResNet, layers=(3, 4, 6, 3), bottleneck=True)
resnet152 = partial(ResNet, layers=(3, 8, 36, 3), bottleneck=True)
resnext50_32x4d = partial(resnet50, groups=32, group_width=4)
#: For tests, as `densenet.densenet_tiny`.
resnet_tiny = partial(ResNet, layers=(1, 2), bottleneck=True, width=8)
resnext_tiny = partial(resnet_tiny, groups=6, group_width=2)
