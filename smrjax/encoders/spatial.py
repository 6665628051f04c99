"""Convolution whose weight gradient, on a CPU, is a matrix product for a few images at a time.

XLA takes the weight gradient for a convolution with a window as large as the image, which is two to four times slower
than its convolution of the image itself. Here all k² shifts of the narrower side (the image or the gradient of the
result) lie side by side, so that one product gives all k² weights, and only as much of them at a time as stays in a
cache. Where windows step by s, blocks of s x s pixels become channels first and windows of blocks then step by one.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from smrjax.encoders.depthwise import Pads

#: Bytes of shifted copies at a time.
CACHE = 2**21


def conv_plain(x: jax.Array, kernel: jax.Array, *, strides: int, pads: Pads, groups: int = 1) -> jax.Array:
    """XLA's convolution: x [B, H, W, I], kernel [k, k, I / groups, O] -> [B, H', W', O]."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def conv_patches(x: jax.Array, kernel: jax.Array, *, strides: int, pads: Pads) -> jax.Array:
    """`conv_plain` as one product of matrices: what each window sees, side by side, times the kernel.

    For results of a few pixels, on which XLA's own takes up to 100 times as long on a CPU.
    """
    size = kernel.shape[0]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = ((n - size) // strides + 1 for n in x.shape[1:3])
    rows, columns = (n * strides - strides + 1 for n in (height, width))
    seen = [x[:, i : i + rows : strides, j : j + columns : strides] for i in range(size) for j in range(size)]
    products = jnp.concatenate(seen, -1).reshape(-1, size**2 * x.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return products.reshape(-1, height, width, kernel.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv_spatial(x: jax.Array, kernel: jax.Array, strides: int, pads: Pads) -> jax.Array:
    """`conv_plain` with another weight gradient.

    Args:
        x: [B, H, W, I].
        kernel: [k, k, I, O].
        strides: Step of the window.
        pads: Rows and columns of zeros around the image.

    Returns:
        [B, H', W', O].
    """
    return conv_plain(x, kernel, strides=strides, pads=pads)


def _forward(
    x: jax.Array, kernel: jax.Array, strides: int, pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return conv_plain(x, kernel, strides=strides, pads=pads), (x, kernel)


def _backward(
    strides: int, pads: Pads, residual: tuple[jax.Array, jax.Array], ct: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residual
    (x_ct,) = jax.linear_transpose(lambda x: conv_plain(x, kernel, strides=strides, pads=pads), x)(ct)
    return x_ct, _kernel_gradient(x, ct, kernel.shape[0], strides, pads).astype(kernel.dtype)


conv_spatial.defvjp(_forward, _backward)


def _kernel_gradient(x: jax.Array, ct: jax.Array, size: int, strides: int, pads: Pads) -> jax.Array:
    batch, height, width, outputs = ct.shape
    reach = -(-size // strides)
    rows, columns = height + reach - 1, width + reach - 1
    depth = strides**2 * x.shape[3]
    shifts = [(i, j) for i in range(reach) for j in range(reach)]

    def product(x: jax.Array, ct: jax.Array) -> jax.Array:
        blocks = _blocks(x, rows, columns, strides, pads)
        if outputs < depth:
            moved = [jnp.pad(ct, ((0, 0), (i, rows - height - i), (j, columns - width - j), (0, 0))) for i, j in shifts]
            sums = _contract(blocks, jnp.concatenate(moved, -1)).reshape(depth, len(shifts), outputs).swapaxes(0, 1)
        else:
            moved = [blocks[:, i : i + height, j : j + width] for i, j in shifts]
            sums = _contract(jnp.concatenate(moved, -1), ct)
        return sums.reshape(-1)

    a_copy = rows * columns * len(shifts) * min(outputs, depth) * ct.dtype.itemsize
    together = max((n for n in range(1, batch + 1) if batch % n == 0 and n * a_copy <= CACHE), default=1)

    def add(k: jax.Array, total: jax.Array) -> jax.Array:
        some = (lax.dynamic_slice_in_dim(a, k * together, together) for a in (x, ct))
        return total + product(*some)

    start = jnp.zeros(len(shifts) * depth * outputs, jnp.promote_types(ct.dtype, jnp.float32))
    total = lax.fori_loop(0, batch // together, add, start)
    woven = total.reshape(reach, reach, strides, strides, -1, outputs).swapaxes(1, 2)
    return woven.reshape(reach * strides, reach * strides, -1, outputs)[:size, :size]


def _blocks(x: jax.Array, rows: int, columns: int, strides: int, pads: Pads) -> jax.Array:
    """Blocks of strides x strides pixels of the padded image as channels: [B, rows, columns, strides² I]."""
    (top, _), (left, _) = pads
    batch, height, width, channels = x.shape
    # What no window reaches is cut off (a negative padding).
    far = (rows * strides - height - top, columns * strides - width - left)
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, far[0], 0), (left, far[1], 0), (0, 0, 0)))
    x = x.reshape(batch, rows, strides, columns, strides, channels).swapaxes(2, 3)
    return x.reshape(batch, rows, columns, strides**2 * channels)


def _contract(a: jax.Array, b: jax.Array) -> jax.Array:
    """Sum over all pixels of all images: [..., I], [..., O] -> [I, O], at least in float32."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.matmul(a.reshape(-1, a.shape[-1]).T, b.reshape(-1, b.shape[-1]), preferred_element_type=wide)
