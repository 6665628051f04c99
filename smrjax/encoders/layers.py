"""Convolution, pooling and BatchNorm of the encoders; the only file that knows which form is fast where.

All images are NHWC and all kernels HWIO. On a CPU some forms of the same convolution are 2 to 200 times faster
than XLA's own: a 1x1 one as a matrix product, a depthwise one as a sum of shifted slices, a grouped one as a few plain
ones, the weight gradient of any other as a matrix product of shifted slices, and all of one that gives a few pixels
only. Elsewhere XLA's is right.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from smrjax.encoders.depthwise import Pads, conv_depthwise
from smrjax.encoders.grouped import conv_grouped
from smrjax.encoders.spatial import conv_patches, conv_plain, conv_spatial

Padding = int | str

#: Images of so many pixels a side gain by `conv_spatial`; smaller ones would only compile longer.
WIDE = 16


def pads_of(size: tuple[int, ...], kernel: int, strides: int, padding: Padding) -> Pads:
    """Rows and columns to add around an image.

    Args:
        size: Height and width.
        kernel: Side of the window.
        strides: Step of the window.
        padding: A number for every side (torch), or "SAME" (TensorFlow: the odd one goes to the far side).

    Returns:
        ((top, bottom), (left, right)).

    Example:
        >>> pads_of((64, 63), 3, 2, "SAME")
        ((0, 1), (1, 1))
    """
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    height, width = lax.padtype_to_pads(size, (kernel, kernel), (strides, strides), padding)
    return (int(height[0]), int(height[1])), (int(width[0]), int(width[1]))


def conv_pointwise(x: jax.Array, kernel: jax.Array, *, strides: int) -> jax.Array:
    """A 1x1 convolution without padding as a matrix product: kernel [1, 1, I, O]."""
    x = x[:, ::strides, ::strides]
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], kernel.shape[-1])


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int = 1,
    padding: Padding = 0,
    depthwise: bool = False,
    groups: int = 1,
) -> jax.Array:
    """A convolution without bias, in the form that is fast on the default backend.

    Args:
        x: Float[B, H, W, I].
        kernel: Float[k, k, I / groups, O], or [k, k, 1, I] if depthwise.
        strides: Step of the window.
        padding: See `pads_of`.
        depthwise: One filter a channel.
        groups: So many shares of the channels are convolved each by itself.

    Returns:
        Float[B, H', W', O].

    Example:
        >>> convolve(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), strides=2, padding=1)[0, ..., 0].tolist()
        [[4.0, 6.0], [6.0, 9.0]]
    """
    size = kernel.shape[0]
    pads = pads_of(x.shape[1:3], size, strides, padding)
    if jax.default_backend() == "cpu":
        if depthwise:
            return conv_depthwise(x, kernel, strides, pads)
        if groups > 1:
            return conv_grouped(x, kernel, groups, partial(convolve, strides=strides, padding=padding))
        if size == 1 and pads == ((0, 0), (0, 0)):
            return conv_pointwise(x, kernel, strides=strides)
        across = min((n + sum(pad) - size) // strides + 1 for n, pad in zip(x.shape[1:3], pads, strict=True))
        if across <= size:
            return conv_patches(x, kernel, strides=strides, pads=pads)
        if min(x.shape[1:3]) >= WIDE:
            return conv_spatial(x, kernel, strides, pads)
    return conv_plain(x, kernel, strides=strides, pads=pads, groups=x.shape[-1] if depthwise else groups)


def max_pool(x: jax.Array) -> jax.Array:
    """Largest of each 3x3 window, stride 2, padding 1, as in torch.

    Args:
        x: [B, H, W, C].

    Returns:
        [B, ceil(H / 2), ceil(W / 2), C]. On a CPU the gradient of equal entries is shared among them.
    """
    if jax.default_backend() != "cpu":
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    # Rows, then columns: the gradient is 10 times faster than that of XLA's own or of a maximum of nine slices.
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    height, width = ((n - 3) // 2 * 2 + 1 for n in x.shape[1:3])
    x = jnp.maximum(jnp.maximum(x[:, :height:2], x[:, 1 : 1 + height : 2]), x[:, 2 : 2 + height : 2])
    return jnp.maximum(jnp.maximum(x[:, :, :width:2], x[:, :, 1 : 1 + width : 2]), x[:, :, 2 : 2 + width : 2])


def halve(x: jax.Array) -> jax.Array:
    """Mean of each 2x2 window: [B, H, W, C] -> [B, H // 2, W // 2, C], a last odd row or column left out."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def he_normal(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """The numbers of Flax's ``he_normal`` for a convolution's kernel, drawn as a matrix.

    XLA on a CPU compiles threefry's counter over four axes for 11 s and over two for half a second.
    """
    matrix = (math.prod(shape[:-1]), shape[-1])
    return nn.initializers.he_normal()(key, matrix, dtype).reshape(shape)


class Conv(nn.Module):
    """`convolve` with a float32 kernel, and bias where asked for, computed in ``dtype``."""

    features: int
    kernel_size: int = 1
    strides: int = 1
    padding: Padding = 0
    depthwise: bool = False
    dtype: Any = jnp.float32
    groups: int = 1
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, I] -> [B, H', W', features]."""
        seen = 1 if self.depthwise else x.shape[-1] // self.groups
        kernel = self.param("kernel", he_normal, (self.kernel_size, self.kernel_size, seen, self.features), jnp.float32)
        x = convolve(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=self.padding,
            depthwise=self.depthwise,
            groups=self.groups,
        )
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)


def batch_norm(
    name: str, train: bool, *, epsilon: float, momentum: float, axis_name: str | None, dtype: Any
) -> nn.Module:
    """Flax's BatchNorm with torch's numbers.

    Args:
        name: Of the parameters.
        train: Statistics of the batch, shared over ``axis_name``, or the running ones.
        epsilon: Added to the variance.
        momentum: Share of the new statistics in the running ones, as torch counts it.
        axis_name: Device axis of a pmap, or None.
        dtype: Of the result; statistics are float32.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=1 - momentum,
        epsilon=epsilon,
        dtype=dtype,
        axis_name=axis_name,
        name=name,
    )


def drop_rows(key: jax.Array, x: jax.Array, rate: float, axis_name: str | None) -> jax.Array:
    """Dropout; each device of an axis drops what one device alone would drop of its rows.

    Args:
        key: The same on all devices.
        x: [B, C], this device's rows.
        rate: Share set to zero; the rest grows to keep the mean.
        axis_name: Device axis, or None.

    Returns:
        [B, C].
    """
    rows, features = x.shape
    devices = 1 if axis_name is None else lax.axis_size(axis_name)
    keep = jax.random.bernoulli(key, 1 - rate, (devices * rows, features))
    if axis_name is not None:
        keep = lax.dynamic_slice_in_dim(keep, lax.axis_index(axis_name) * rows, rows)
    return jnp.where(keep, x / (1 - rate), 0)


class Head(nn.Module):
    """Global mean, dropout and a linear layer, in float32 whatever the features are.

    Attributes:
        features: Size of the embedding; 0 for the pooled features themselves.
        dropout: Share of the pooled features set to zero in training.
        axis_name: Device axis; see `drop_rows`.
    """

    features: int
    dropout: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, features], or [B, C] for features 0."""
        pooled = x.mean((1, 2), dtype=jnp.float32)
        if train and self.dropout:
            pooled = drop_rows(self.make_rng("dropout"), pooled, self.dropout, self.axis_name)
        return nn.Dense(self.features)(pooled) if self.features else pooled


def run_stages(
    names: tuple[str, ...], stages: list[Any], x: jax.Array, train: bool, frozen: int, first: int
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Run an encoder's stages in order, the first ``frozen`` ones as they are.

    Args:
        names: Of the stages; the last one is the head.
        stages: ``stage(x, train) -> x``.
        x: Normalised images, or what stage ``first - 1`` returned for them.
        train: For the stages that are not frozen.
        frozen: So many stages use their running BatchNorm averages and get no gradient.
        first: Leave so many stages out.

    Returns:
        What the head returns, and by name what the other stages return.

    Raises:
        ValueError: if ``frozen`` or ``first`` would include the head, or is negative.
    """
    for name, value in (("frozen_stages", frozen), ("first_stage", first)):
        if not 0 <= value < len(names):
            raise ValueError(f"{name}={value} is not in 0..{len(names) - 1}: the stages are {', '.join(names)}")
    outputs: dict[str, jax.Array] = {}
    for index, (name, stage) in enumerate(zip(names, stages, strict=True), start=1):
        if index <= first:
            continue
        x = stage(x, train and index > frozen)
        if index == frozen:
            x = jax.lax.stop_gradient(x)
        outputs[name] = x
    return outputs.pop(names[-1]), outputs
