"""Views as networks are trained with on photographs: a random part of the image, enlarged, turned and mirrored (BM)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.data.augment import affine_warp

#: Boxes tried before the whole image is taken, as torchvision does.
TRIES = 10


def resized_crop(
    images: jax.Array,
    keys: jax.Array,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    rotation: bool = True,
    flips: bool = True,
) -> jax.Array:
    """Random parts of some images at the images' own size, rotated by 0 to 180 degrees and mirrored (BM, section 2.3).

    One bilinear map does it all. So where a rotated part reaches beyond its box, what is seen is the image around the
    box (mirrored at the image's border), not the black of a rotation of the part alone.

    Args:
        images: UInt8[B, H, W, 3] (or float with values 0..255).
        keys: One random key, or one for each image, Key[B].
        area: Smallest and largest share of the image that a part has; (1, 1) with an aspect of (1, 1) leaves square
            images whole.
        aspect: Smallest and largest width of a part as a share of its height, drawn evenly on a logarithmic scale.
        rotation: Rotate by an angle between 0 and 180 degrees.
        flips: Mirror left-right and top-bottom, each with probability one half.

    Returns:
        Float32[B, H, W, 3] with values 0..255.
    """
    if keys.ndim == 0:
        keys = jax.random.split(keys, images.shape[0])
    draws = jax.vmap(lambda key: jax.random.uniform(key, (2 * TRIES + 5,)))(keys)
    size = jnp.array(images.shape[1:3], jnp.float32)
    boxes = _boxes(draws[:, : 2 * TRIES].reshape(-1, TRIES, 2), size, area, aspect)
    place, angle, mirror = draws[:, -5:-3], math.pi * rotation * draws[:, -3], draws[:, -2:]
    # Pixels count from the centre of the first: a box of height h from row r on is centred at r + (h - 1) / 2.
    middle = place * (size - boxes) + (boxes - 1) / 2
    c, s = jnp.cos(angle), jnp.sin(angle)
    turn = jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)
    signs = jnp.where((mirror < 0.5) & flips, -1.0, 1.0)
    matrices = (boxes / size)[:, :, None] * turn * signs[:, None, :]
    return affine_warp(images.astype(jnp.float32), matrices, middle - matrices @ ((size - 1) / 2))


def _boxes(draws: jax.Array, size: jax.Array, area: tuple[float, float], aspect: tuple[float, float]) -> jax.Array:
    """Height and width of a box for every image: the first of those drawn that fits, or else the largest in the middle.

    Args:
        draws: Uniform Float[B, TRIES, 2].
        size: Height and width of the images, Float[2].
        area: See `resized_crop`.
        aspect: See `resized_crop`.

    Returns:
        Float[B, 2].
    """
    low, high = np.log(aspect)
    pixels = (area[0] + (area[1] - area[0]) * draws[..., 0]) * size.prod()
    width_to_height = jnp.exp(low + (high - low) * draws[..., 1])
    tried = jnp.sqrt(jnp.stack([pixels / width_to_height, pixels * width_to_height], -1))
    fits = (tried <= size * (1 + 1e-6)).all(-1)
    first = jnp.take_along_axis(tried, fits.argmax(1)[:, None, None], axis=1)[:, 0]
    ratio = jnp.clip(size[1] / size[0], *aspect)
    largest = jnp.minimum(size, jnp.stack([size[1] / ratio, size[0] * ratio]))
    return jnp.where(fits.any(1)[:, None], jnp.minimum(first, size), largest)
