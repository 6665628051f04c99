"""EfficientNet-Lite0: no squeeze-and-excitation, relu6, stem and top not scaled, TensorFlow's padding.

Layout and numbers of the published TensorFlow model (Tan and Le 2019, arXiv:1905.11946; "lite" of 2020).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Conv, Head, batch_norm, run_stages
from smrjax.encoders.stem import Channels, normalise

#: What its published weights were trained with: (pixel - 127) / 128.
LITE = Channels((127 / 255,) * 3, (128 / 255,) * 3)

#: Of each block: repeats, kernel, stride of the first repeat, expansion, channels out.
LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class ConvNorm(nn.Module):
    """Convolution and BatchNorm, relu6 unless linear."""

    features: int
    norm: Callable[..., nn.Module]
    dtype: Any
    kernel_size: int = 1
    strides: int = 1
    depthwise: bool = False
    linear: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), features]."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.strides,
            "SAME",
            self.depthwise,
            dtype=self.dtype,
            name="conv",
        )(x)
        x = self.norm("norm", train)(x)
        return x if self.linear else nn.relu6(x)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection, and the input added where shapes allow."""

    features: int
    kernel_size: int
    strides: int
    expansion: int
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), features]."""
        inputs, channels = x, x.shape[-1] * self.expansion
        if self.expansion > 1:
            x = ConvNorm(channels, self.norm, self.dtype, name="expand")(x, train)
        x = ConvNorm(channels, self.norm, self.dtype, self.kernel_size, self.strides, depthwise=True, name="depthwise")(
            x, train
        )
        x = ConvNorm(self.features, self.norm, self.dtype, linear=True, name="project")(x, train)
        return x + inputs if x.shape == inputs.shape else x


class Block(nn.Module):
    """Inverted residuals of one row of `LITE0`; the first one strides."""

    repeats: int
    kernel_size: int
    strides: int
    expansion: int
    features: int
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), features]."""
        for index in range(1, self.repeats + 1):
            strides = self.strides if index == 1 else 1
            x = InvertedResidual(
                self.features,
                self.kernel_size,
                strides,
                self.expansion,
                self.norm,
                self.dtype,
                name=f"layer{index}",
            )(x, train)
        return x


class EfficientNetLite0(nn.Module):
    """Images -> embeddings and named stages.

    Attributes:
        embedding_dim: Size of the embedding; 0 for the pooled features themselves.
        dropout: On the pooled features.
        dtype: Of the computation; parameters, statistics and embeddings are float32.
        frozen_stages: So many stages keep their weights and BatchNorm averages.
        axis_name: Device axis over which BatchNorm shares its statistics in training, or None.
        first_stage: Leave out so many stages; images are then what the last of these returned for them.
        channels: Statistics of the colours that images are normalised by.
    """

    embedding_dim: int = 256
    dropout: float = 0.05
    dtype: Any = jnp.float32
    frozen_stages: int = 0
    axis_name: str | None = None
    first_stage: int = 0
    channels: Channels = LITE

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, and of the top-level parameter groups, in order."""
        return ("stem", *(f"block{i + 1}" for i in range(len(LITE0))), "top", "head")

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Embed images.

        Args:
            images: Float[B, H, W, 3], RGB in 0..255.
            train: BatchNorm over the batch and dropout; needs ``mutable=["batch_stats"]`` and a "dropout" key.

        Returns:
            Embeddings Float32[B, embedding_dim], not normalised, and by name the feature map after each stage but
            the head (a compiled function returns them sorted; ``stage_names`` keeps the order);
            "top" is the one that the head pools.
        """
        norm = partial(batch_norm, epsilon=1e-3, momentum=0.01, axis_name=self.axis_name, dtype=self.dtype)
        stages = [
            ConvNorm(32, norm, self.dtype, kernel_size=3, strides=2, name="stem"),
            *(Block(*row, norm, self.dtype, name=f"block{i}") for i, row in enumerate(LITE0, start=1)),
            ConvNorm(1280, norm, self.dtype, name="top"),
            Head(self.embedding_dim, self.dropout, self.axis_name, name="head"),
        ]
        x = images if self.first_stage else normalise(images, self.channels)
        return run_stages(self.stage_names, stages, x, train, self.frozen_stages, self.first_stage)
