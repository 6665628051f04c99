"""DenseNet-121 as torchvision builds it, and a small one for CPUs (Huang et al. 2017, arXiv:1608.06993)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Conv, Head, batch_norm, halve, run_stages
from smrjax.encoders.stem import IMAGENET, Channels, Stem, normalise


class DenseLayer(nn.Module):
    """BatchNorm, relu, 1x1 to a bottleneck; BatchNorm, relu, 3x3 to ``growth`` new channels."""

    growth: int
    bottleneck: int
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, growth]."""
        x = nn.relu(self.norm("norm1", train)(x))
        x = Conv(self.bottleneck * self.growth, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(self.norm("norm2", train)(x))
        return Conv(self.growth, 3, padding=1, dtype=self.dtype, name="conv2")(x)


class Transition(nn.Module):
    """BatchNorm, relu, 1x1 to half the channels, mean of 2x2."""

    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H // 2, W // 2, C // 2]."""
        x = nn.relu(self.norm("norm", train)(x))
        return halve(Conv(x.shape[-1] // 2, dtype=self.dtype, name="conv")(x))


class DenseBlock(nn.Module):
    """Dense layers, then the transition to the next block, or BatchNorm and relu after the last one."""

    layers: int
    growth: int
    bottleneck: int
    last: bool
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C'], or half of each unless last."""
        for index in range(1, self.layers + 1):
            layer = DenseLayer(self.growth, self.bottleneck, self.norm, self.dtype, name=f"layer{index}")
            x = jnp.concatenate([x, layer(x, train)], axis=-1)
        if self.last:
            return nn.relu(self.norm("norm", train)(x))
        return Transition(self.norm, self.dtype, name="transition")(x, train)


class DenseNet(nn.Module):
    """Images -> embeddings and named stages.

    Attributes:
        embedding_dim: Size of the embedding; 0 for the pooled features themselves.
        dropout: On the pooled features.
        dtype: Of the computation; parameters, statistics and embeddings are float32.
        frozen_stages: So many stages keep their weights and BatchNorm averages.
        axis_name: Device axis over which BatchNorm shares its statistics in training, or None.
        first_stage: Leave out so many stages; images are then what the last of these returned for them.
        channels: Statistics of the colours that images are normalised by.
        blocks: Layers of each block.
        growth: Channels that a layer adds.
        bottleneck: Channels between a layer's convolutions, in units of ``growth``.
        stem_features: Channels of the first convolution.
        stem_kernel: Its size.
        stem_pool: Max-pool after it.
    """

    embedding_dim: int = 256
    dropout: float = 0.05
    dtype: Any = jnp.float32
    frozen_stages: int = 0
    axis_name: str | None = None
    first_stage: int = 0
    channels: Channels = IMAGENET
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    growth: int = 32
    bottleneck: int = 4
    stem_features: int = 64
    stem_kernel: int = 7
    stem_pool: bool = True

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, and of the top-level parameter groups, in order."""
        return ("stem", *(f"block{i + 1}" for i in range(len(self.blocks))), "head")

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
        stem = Stem(self.stem_features, self.stem_kernel, self.stem_pool, norm, self.dtype, name="stem")
        blocks = [
            DenseBlock(n, self.growth, self.bottleneck, i == len(self.blocks), norm, self.dtype, name=f"block{i}")
            for i, n in enumerate(self.blocks, start=1)
        ]
        head = Head(self.embedding_dim, self.dropout, self.axis_name, name="head")
        x = images if self.first_stage else normalise(images, self.channels)
        return run_stages(self.stage_names, [stem, *blocks, head], x, train, self.frozen_stages, self.first_stage)


densenet121 = DenseNet
#: On 64 px cells the max-pool saved 60 % of the time and cost no accuracy (one run of ten epochs).
densenet_small = partial(DenseNet, blocks=(4, 4, 4), growth=12, stem_features=24, stem_kernel=3)
#: For tests: compiles in a third of the time, and learns little.
densenet_tiny = partial(DenseNet, blocks=(1, 1), growth=4, stem_features=8, stem_kernel=3)
