"""VGG-19 with BatchNorm as torchvision builds it (Simonyan and Zisserman 2015, arXiv:1409.1556, configuration E)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from smrjax.encoders.layers import Conv, Head, batch_norm, drop_rows, run_stages
from smrjax.encoders.stem import IMAGENET, Channels, normalise

#: Convolutions of each block of configuration E.
LAYERS = (2, 2, 4, 4, 4)


def shares(size: int, cells: int) -> np.ndarray:
    """How much of each row goes into the mean of each cell, by torch's ``adaptive_avg_pool2d``.

    Cell i begins at row floor(i * size / cells) and ends before row ceil((i + 1) * size / cells); cells overlap where
    rows cannot be divided.

    Args:
        size: Rows there are.
        cells: Rows there shall be, fewer or more.

    Returns:
        Float32[cells, size], each row of sum 1.

    Example:
        >>> shares(3, 2)
        array([[0.5, 0.5, 0. ],
               [0. , 0.5, 0.5]], dtype=float32)
    """
    cell, row = np.arange(cells)[:, None], np.arange(size)
    within = (row >= cell * size // cells) & (row < -(-(cell + 1) * size // cells))
    return (within / within.sum(1, keepdims=True)).astype(np.float32)


def adaptive_mean(x: jax.Array, cells: int) -> jax.Array:
    """Means over cells x cells parts of an image: [B, H, W, C] -> [B, cells, cells, C]."""
    if x.shape[1:3] == (cells, cells):
        return x
    rows, columns = (jnp.asarray(shares(n, cells), x.dtype) for n in x.shape[1:3])
    return jnp.einsum("bhwc,ih,jw->bijc", x, rows, columns)


class Block(nn.Module):
    """3x3 convolutions with BatchNorm and relu, and the largest of each 2x2 window."""

    layers: int
    features: int
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H // 2, W // 2, features]."""
        for index in range(1, self.layers + 1):
            # The bias changes nothing before BatchNorm; the published weights have it.
            conv = Conv(self.features, 3, padding=1, dtype=self.dtype, use_bias=True, name=f"conv{index}")
            x = nn.relu(self.norm(f"norm{index}", train)(conv(x)))
        return halve_max(x)


def halve_max(x: jax.Array) -> jax.Array:
    """Largest of each 2x2 window: [B, H, W, C] -> [B, H // 2, W // 2, C], a last odd row or column left out."""
    height, width = (n // 2 * 2 for n in x.shape[1:3])
    x = x[:, :height, :width]
    x = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(x[:, :, ::2], x[:, :, 1::2])


class Hidden(nn.Module):
    """Means of 7x7 parts of the image, all in one vector, and two linear layers with relu, dropout between them."""

    features: int
    cells: int
    dropout: float
    axis_name: str | None
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, 1, 1, features]: an image of one pixel, which the head's mean leaves as it is."""
        # Torch's order: all pixels of the first channel, of the second, ...
        x = adaptive_mean(x, self.cells).transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        dense = partial(nn.Dense, self.features, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
        x = nn.relu(dense(name="linear1")(x))
        if train and self.dropout:
            x = drop_rows(self.make_rng("dropout"), x, self.dropout, self.axis_name)
        return nn.relu(dense(name="linear2")(x))[:, None, None]


class VGG(nn.Module):
    """Images -> embeddings and named stages.

    The embedding layer stands for the classifier's last linear layer; the two before it are the stage "hidden", which
    is most of the network (120 of 144 million parameters).

    Attributes:
        embedding_dim: Size of the embedding; 0 for the hidden features themselves.
        dropout: On the hidden features, after both layers (the published weights were trained with 0.5).
        dtype: Of the computation; parameters, statistics and embeddings are float32.
        frozen_stages: So many stages keep their weights and BatchNorm averages.
        axis_name: Device axis over which BatchNorm shares its statistics in training, or None.
        first_stage: Leave out so many stages; images are then what the last of these returned for them.
        channels: Statistics of the colours that images are normalised by.
        layers: Convolutions of each block.
        widths: Their channels.
        hidden: Size of both linear layers.
        cells: Rows and columns of the image of means that they see, whatever the size of the image.
    """

    embedding_dim: int = 256
    dropout: float = 0.05
    dtype: Any = jnp.float32
    frozen_stages: int = 0
    axis_name: str | None = None
    first_stage: int = 0
    channels: Channels = IMAGENET
    layers: tuple[int, ...] = LAYERS
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    cells: int = 7

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, and of the top-level parameter groups, in order."""
        return (*(f"block{i + 1}" for i in range(len(self.layers))), "hidden", "head")

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Embed images.

        Args:
            images: Float[B, H, W, 3], RGB in 0..255.
            train: BatchNorm over the batch and dropout; needs ``mutable=["batch_stats"]`` and a "dropout" key.

        Returns:
            Embeddings Float32[B, embedding_dim], not normalised, and by name the feature map after each stage but
            the head (a compiled function returns them sorted; ``stage_names`` keeps the order);
            after the last block it is the last one with places, that of "hidden" is [B, 1, 1, hidden].
        """
        norm = partial(batch_norm, epsilon=1e-5, momentum=0.1, axis_name=self.axis_name, dtype=self.dtype)
        blocks = [
            Block(n, width, norm, self.dtype, name=f"block{i}")
            for i, (n, width) in enumerate(zip(self.layers, self.widths, strict=True), start=1)
        ]
        hidden = Hidden(self.hidden, self.cells, self.dropout, self.axis_name, self.dtype, name="hidden")
        head = Head(self.embedding_dim, self.dropout, self.axis_name, name="head")
        x = images if self.first_stage else normalise(images, self.channels)
        return run_stages(self.stage_names, [*blocks, hidden, head], x, train, self.frozen_stages, self.first_stage)


vgg19_bn = VGG
#: For tests, as `densenet.densenet_tiny`; its weights have the names of VGG-19's first ones.
vgg_tiny = partial(VGG, layers=LAYERS[:2], widths=(6, 8), hidden=12, cells=3)
