"""Vision transformer ViT-L/32 as torchvision builds it (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from smrjax.encoders.layers import Head, run_stages
from smrjax.encoders.stem import IMAGENET, Channels, normalise
from smrjax.errors import InputError


class Table(nn.Module):
    """Learned numbers that every image gets alike."""

    shape: tuple[int, ...]
    initial: nn.initializers.Initializer
    dtype: Any

    @nn.compact
    def __call__(self) -> jax.Array:
        """() -> [shape]."""
        return self.param("table", self.initial, self.shape, jnp.float32).astype(self.dtype)


class Patches(nn.Module):
    """A linear layer on each patch, the class token before them, and to all of them their positions."""

    patch: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, 3] -> [B, 1 + H / patch * W / patch, width]."""
        batch, height, width, colours = x.shape
        size = self.patch
        if height % size or width % size:
            raise InputError(f"images of {height} x {width} px cannot be cut into patches of {size} px: use a multiple")
        # Within a patch in torch's order: colour, row, column.
        x = x.reshape(batch, height // size, size, width // size, size, colours).transpose(0, 1, 3, 5, 2, 4)
        x = nn.Dense(self.width, dtype=self.dtype, name="patches")(x.reshape(batch, -1, size**2 * colours))
        first = Table((1, 1, self.width), nn.initializers.zeros, self.dtype, name="class_token")()
        x = jnp.concatenate([jnp.broadcast_to(first, (batch, 1, self.width)), x], 1)
        return x + Table((1, *x.shape[1:]), nn.initializers.normal(0.02), self.dtype, name="positions")()


class Attention(nn.Module):
    """Every token looks at all tokens, in several heads."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, N, C] -> [B, N, C]."""
        batch, tokens, width = x.shape
        glorot = nn.initializers.xavier_uniform()
        x = nn.Dense(3 * width, dtype=self.dtype, kernel_init=glorot, name="in_proj")(x)
        query, key, value = jnp.moveaxis(x.reshape(batch, tokens, 3, self.heads, -1), 2, 0)
        x = jax.nn.dot_product_attention(query, key, value).reshape(batch, tokens, width)
        # What torch gives every linear layer: uniform within 1 / fan-in ** 0.5.
        uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        return nn.Dense(width, dtype=self.dtype, kernel_init=uniform, name="out_proj")(x)


class Layer(nn.Module):
    """Attention and two linear layers with GELU, each after LayerNorm and added to what it was given."""

    heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, N, C] -> [B, N, C]."""
        x = x + Attention(self.heads, self.dtype, name="attention")(LayerNorm(self.dtype, name="norm1")(x))
        glorot, small = nn.initializers.xavier_uniform(), nn.initializers.normal(1e-6)
        dense = partial(nn.Dense, dtype=self.dtype, kernel_init=glorot, bias_init=small)
        y = dense(self.hidden, name="linear1")(LayerNorm(self.dtype, name="norm2")(x))
        y = dense(x.shape[-1], name="linear2")(nn.gelu(y, approximate=False))
        return x + y


@jax.custom_vjp
def standardise(x: jax.Array) -> jax.Array:
    """Mean 0 and variance 1 of each token, 1e-6 added to the variance.

    The gradient ends in a division: XLA takes products and sums for so cheap that it computes them anew wherever they
    are used, in each layer those of all layers after it, which made a step on a CPU three times as long.
    """
    return _forward(x)[0]


def _forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    x = x - x.mean(-1, keepdims=True)
    deviation = jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    x = x / deviation
    return x, (x, deviation)


def _backward(residual: tuple[jax.Array, jax.Array], ct: jax.Array) -> tuple[jax.Array]:
    x, deviation = residual
    return ((ct - ct.mean(-1, keepdims=True) - x * (ct * x).mean(-1, keepdims=True)) / deviation,)


standardise.defvjp(_forward, _backward)


class LayerNorm(nn.Module):
    """`standardise` in float32, a scale and a bias."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, N, C] -> [B, N, C]."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        return (standardise(x.astype(jnp.float32)) * scale + bias).astype(self.dtype)


class Block(nn.Module):
    """Some layers, and LayerNorm after the last one of all.

    Layers are counted through all blocks, as torchvision counts them.
    """

    first: int
    layers: int
    heads: int
    hidden: int
    last: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, N, C] -> [B, N, C]."""
        for index in range(self.first, self.first + self.layers):
            x = Layer(self.heads, self.hidden, self.dtype, name=f"layer{index}")(x)
        return LayerNorm(self.dtype, name="norm")(x) if self.last else x


class VisionTransformer(nn.Module):
    """Images of one size -> embeddings and named stages.

    The parameters belong to the size of the images that ``init`` was given; weights of another size get their position
    embeddings interpolated when they are loaded.

    Attributes:
        embedding_dim: Size of the embedding; 0 for the class token itself.
        dropout: On the class token, before the embedding layer (torchvision's layers have none either).
        dtype: Of the computation; parameters and embeddings are float32.
        frozen_stages: So many stages keep their weights.
        axis_name: Device axis, for dropout; nothing else knows of other images.
        first_stage: Leave out so many stages; images are then what the last of these returned for them.
        channels: Statistics of the colours that images are normalised by.
        blocks: Layers of each block; the blocks are there to freeze and look at, the network knows nothing of them.
        width: Channels of a token.
        heads: Of the attention.
        hidden: Channels between a layer's linear layers.
        patch: Pixels of a patch's side; divides both sides of an image.
    """

    embedding_dim: int = 256
    dropout: float = 0.05
    dtype: Any = jnp.float32
    frozen_stages: int = 0
    axis_name: str | None = None
    first_stage: int = 0
    channels: Channels = IMAGENET
    blocks: tuple[int, ...] = (6, 6, 6, 6)
    width: int = 1024
    heads: int = 16
    hidden: int = 4096
    patch: int = 32

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, and of the top-level parameter groups, in order."""
        return ("stem", *(f"block{i + 1}" for i in range(len(self.blocks))), "head")

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Embed images.

        Args:
            images: Float[B, H, W, 3], RGB in 0..255.
            train: Dropout; needs a "dropout" key.

        Returns:
            Embeddings Float32[B, embedding_dim], not normalised, and by name the tokens after each stage but the head
            (a compiled function returns them sorted; ``stage_names`` keeps the order). They are [B, 1 + h * w, width],
            the class token first, which has to travel on; ``x[:, 1:].reshape(B, h, w, -1)`` is a feature map of the h
            patches down and w across. The head sees the class token of the last block alone.

        Raises:
            InputError: if images cannot be cut into whole patches.
        """
        stem = Patches(self.patch, self.width, self.dtype, name="stem")
        blocks = [
            Block(
                sum(self.blocks[:i]) + 1,
                layers,
                self.heads,
                self.hidden,
                i + 1 == len(self.blocks),
                self.dtype,
                name=f"block{i + 1}",
            )
            for i, layers in enumerate(self.blocks)
        ]
        head = Head(self.embedding_dim, self.dropout, self.axis_name, name="head")

        def class_token(x: jax.Array, train: bool) -> jax.Array:
            return head(x[:, :1, None], train)

        stages = [stem, *blocks, class_token]
        x = images if self.first_stage else normalise(images, self.channels)
        return run_stages(self.stage_names, stages, x, train, self.frozen_stages, self.first_stage)


vit_l_32 = VisionTransformer
#: For tests, as `densenet.densenet_tiny`.
vit_tiny = partial(VisionTransformer, blocks=(1, 2), width=12, heads=3, hidden=20, patch=4)
