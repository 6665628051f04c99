"""Augmentation on the device: stain jitter, then one affine warp for crop, rotation, flip and zoom."""

import math

import jax
import jax.numpy as jnp
import numpy as np
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
        stain: Strength of `stain_jitter`.

    Returns:
        Float32[B, H, W, 3] with values 0..255.
    """
    if keys.ndim == 0:
        keys = jax.random.split(keys, images.shape[0])
    shape = (images.shape[1], images.shape[2])
    pairs = jax.vmap(jax.random.split)(keys)
    pixels = images.astype(jnp.float32)
    if stain:
        # Before the warp and not after it: XLA would fuse the warp into all three channels of the jitter
        # and do it again for each.
        pixels = stain_jitter(pixels, pairs[:, 0], strength=stain)
    if not (rotation or flips or crop or zoom):
        return pixels
    matrices, offsets = jax.vmap(
        lambda key: _random_affine(key, shape, rotation=rotation, flips=flips, crop=crop, zoom=zoom)
    )(pairs[:, 1])
    return affine_warp(pixels, matrices, offsets)


def _random_affine(
    key: jax.Array, shape: tuple[int, int], *, rotation: bool, flips: bool, crop: float, zoom: float
) -> tuple[jax.Array, jax.Array]:
    angle_key, flip_key, crop_key, zoom_key = jax.random.split(key, 4)
    size = jnp.array(shape, jnp.float32)
    angle = jax.random.uniform(angle_key, maxval=2 * math.pi) if rotation else jnp.float32(0)
    mirror = jnp.where(jax.random.bernoulli(flip_key), -1.0, 1.0) if flips else jnp.float32(1)
    scale = jnp.exp(-jax.random.uniform(zoom_key, minval=-zoom, maxval=zoom)) if zoom else jnp.float32(1)
    reach = [round(crop * side) for side in shape]
    shift = jax.random.randint(crop_key, (2,), -jnp.array(reach), jnp.array(reach) + 1).astype(jnp.float32)
    c, s = jnp.cos(angle), jnp.sin(angle)
    matrix = scale * jnp.stack([jnp.stack([c, -s * mirror]), jnp.stack([s, c * mirror])])
    centre = (size - 1) / 2
    return matrix, centre - (matrix * centre).sum(-1) + shift


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


def stain_jitter(images: jax.Array, keys: jax.Array, *, strength: float) -> jax.Array:
    """Each image as if stained a little more or less by each dye, and lit a little differently.

    Amounts of dye are proportional to optical density (Beer-Lambert); densities are unmixed into methylene
    blue, eosin and a rest, each scaled by exp(strength * normal), mixed again, and shifted by strength / 2
    * normal a channel (the light). White stays nearly white.

    Args:
        images: Float[B, H, W, 3] with values 0..255.
        keys: Key[B].
        strength: Standard deviation of the log amount of each dye.

    Returns:
        Float32[B, H, W, 3] with values 0..255.
    """
    batch, height, width, _ = images.shape
    draws = strength * jax.vmap(lambda key: jax.random.normal(key, (2, 3)))(keys)
    mix = jnp.einsum("ij,bj,jk->bki", _UNMIX, jnp.exp(draws[:, 0]), _DYES, precision="highest")
    density = math.log(256) - jnp.log(images + 1)
    # A product of matrices, channels first: nothing is fused across it, and it is quick on a CPU.
    density = jnp.einsum(
        "bki,bip->bkp", mix, density.transpose(0, 3, 1, 2).reshape(batch, 3, -1), precision="highest"
    )
    density += draws[:, 1, :, None] / 2
    pixels = jnp.clip(256 * jnp.exp(-density) - 1, 0, 255).reshape(batch, 3, height, width)
    return pixels.transpose(0, 2, 3, 1)


def dihedral(images: jax.Array, k: int) -> jax.Array:
    """One of the eight flips and quarter turns of square images, without interpolation.

    Args:
        images: [B, S, S, C] of any type.
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
    return jnp.rot90(mirrored, k % 4, axes=(1, 2))
