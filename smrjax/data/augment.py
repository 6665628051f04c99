"""Augmentation on the device: stain jitter, then one affine warp for crop, rotation, flip and zoom."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.ndimage import map_coordinates

# Optical densities of methylene blue and eosin, the two dyes of the Romanowsky stains (May-Gruenwald-Giemsa,
# Pappenheim), measured for colour deconvolution (Ruifrok and Johnston 2001; the "Giemsa" set of ImageJ).
# The third row is what neither dye explains.
_DYES = np.array([[0.834750233, 0.513556283, 0.196330403], [0.092789, 0.954111, 0.283111]])
_DYES = np.vstack([_DYES, np.cross(*_DYES) / np.linalg.norm(np.cross(*_DYES))])
_UNMIX = np.linalg.inv(_DYES)


def augment(
    images: jax.Array,
    keys: jax.Array,
    *,
    rotation: bool = True,
    flips: bool = True,
    crop: float = 16 / 224,
    zoom: float = 0.05,
    stain: float = 0.05,
) -> jax.Array:
    """Random views of some cells.

    The crop is the one of 16 pixels of reflected padding at 224 px, scaled with the image: a shift by whole
    pixels before the rotation. Amounts are ours, SMR does not state them.

    Args:
        images: UInt8[B, H, W, 3] (or float with values 0..255).
        keys: One random key, or one for each image (Key[B]: a view then depends on its own key alone, not
            on the batch or the device that it is in).
        rotation: Rotate by any angle.
        flips: Mirror left-right with probability one half (with rotations, that covers up-down).
        crop: Reach of the shift as a share of the side.
        zoom: Reach of the magnification, as the logarithm of the factor; small, because size tells maturity.
        stain: Standard deviation of the log amount of each dye, and four times that of the light (see `restain`).

    Returns:
        Float32[B, H, W, 3] with values 0..255.
    """
    if keys.ndim == 0:
        keys = jax.random.split(keys, images.shape[0])
    # All chance of an image in one call: each call of a random function takes long to compile on a CPU.
    draws = jax.vmap(lambda key: jax.random.uniform(key, (11,)))(keys)
    values = images.astype(jnp.float32)
    if stain:
        normal = math.sqrt(2) * lax.erf_inv((2 * draws[:, 5:] - 1) * (1 - 1e-6))
        values = restain(to_density(values), jnp.exp(stain * normal[:, :3]), stain / 4 * normal[:, 3:])
    if rotation or flips or crop or zoom:
        angle = 2 * math.pi * draws[:, 0] * rotation
        mirror = jnp.where((draws[:, 1] < 0.5) & flips, -1.0, 1.0)
        scale = jnp.exp(zoom * (2 * draws[:, 2] - 1))
        size = jnp.array(images.shape[1:3], jnp.float32)
        reach = jnp.round(crop * size)
        shift = jnp.floor(draws[:, 3:5] * (2 * reach + 1)) - reach
        matrices = _matrices(angle, mirror, scale)
        centre = (size - 1) / 2
        # Between the two halves of the jitter: densities are interpolated. After or before both, XLA on a CPU
        # fuses gather and exponential and does one of them many times (30 ms instead of 6 for 64 images of
        # 64 px).
        values = affine_warp(values, matrices, centre - (matrices * centre).sum(-1) + shift)
    return from_density(values) if stain else values


def _matrices(angle: jax.Array, mirror: jax.Array, scale: jax.Array) -> jax.Array:
    """Rotation by an angle after mirroring columns (mirror -1) and magnifying, as maps to the image: [B, 2, 2]."""
    c, s = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    return jnp.stack([jnp.stack([c, -s * mirror], -1), jnp.stack([s, c * mirror], -1)], axis=-2)


def affine_warp(images: jax.Array, matrices: jax.Array, offsets: jax.Array) -> jax.Array:
    """Images seen through an affine map: out[p] = in[M p + offset], bilinear, mirrored beyond the border.

    The border is that of ``np.pad(mode="reflect")`` (the edge pixel is not repeated), SciPy's
    ``mode="mirror"``.

    Args:
        images: Float[B, H, W, C].
        matrices: Float[B, 2, 2], from (row, column) of the result to (row, column) of the image.
        offsets: Float[B, 2] in pixels.

    Returns:
        Float[B, H, W, C].
    """
    rows = jnp.arange(images.shape[1], dtype=jnp.float32)[:, None]
    columns = jnp.arange(images.shape[2], dtype=jnp.float32)[None]

    def warp(image: jax.Array, matrix: jax.Array, offset: jax.Array) -> jax.Array:
        places = [matrix[i, 0] * rows + matrix[i, 1] * columns + offset[i] for i in range(2)]
        channel = lambda values: map_coordinates(values, places, order=1, mode="mirror")  # noqa: E731
        return jax.vmap(channel, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(warp)(images, matrices, offsets)


def to_density(images: jax.Array) -> jax.Array:
    """Optical density of grey levels 0..255, log(256 / (x + 1)): 0 for white, 5.5 for black; any shape."""
    return math.log(256) - jnp.log(images + 1)


def from_density(densities: jax.Array) -> jax.Array:
    """Grey levels 0..255 of optical densities; the inverse of `to_density`, clipped to its range."""
    return jnp.clip(256 * jnp.exp(-densities) - 1, 0, 255)


def restain(densities: jax.Array, dyes: jax.Array, light: jax.Array) -> jax.Array:
    """Images as if stained with other amounts of dye, under another light.

    The amount of a dye is proportional to its optical density (Beer-Lambert); densities are unmixed into
    methylene blue, eosin and a rest, each is scaled, and they are mixed again.

    Args:
        densities: Float[B, H, W, 3], see `to_density`.
        dyes: Float[B, 3], factors of the three amounts.
        light: Float[B, 3], added to the density of each channel.

    Returns:
        Float[B, H, W, 3].
    """
    batch, height, width, _ = densities.shape
    mix = jnp.einsum("ij,bj,jk->bki", _UNMIX, dyes, _DYES, precision="highest")
    # Channels first, as a product of matrices: four times as fast as channels last on a CPU.
    planes = densities.transpose(0, 3, 1, 2).reshape(batch, 3, -1)
    planes = jnp.einsum("bki,bip->bkp", mix, planes, precision="highest") + light[:, :, None]
    return planes.reshape(batch, 3, height, width).transpose(0, 2, 3, 1)


def dihedral(images: Any, k: int) -> Any:
    """One of the eight flips and quarter turns of square images, without interpolation.

    Args:
        images: [B, S, S, C] of any type, of numpy (a view comes back) or JAX.
        k: 0 to 7: k % 4 quarter turns, mirrored left-right first from 4 on; 0 changes nothing.

    Returns:
        [B, S, S, C].

    Example:
        >>> import numpy as np
        >>> dihedral(np.arange(4).reshape(1, 2, 2, 1), 1)[0, ..., 0].tolist()
        [[1, 3], [0, 2]]
    """
    if not 0 <= k < 8:
        raise ValueError(f"k must be 0 to 7, not {k}")
    mirrored = images[:, :, ::-1] if k >= 4 else images
    if k % 2:
        mirrored = mirrored.swapaxes(1, 2)
    return mirrored[:, :: -1 if k % 4 in (1, 2) else 1, :: -1 if k % 4 in (2, 3) else 1]
