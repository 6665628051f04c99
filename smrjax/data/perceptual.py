"""A perceptual hash of cells: alike for copies that were turned, mirrored, moved a little, recoded or brightened.

As in the hash of Zauner 2010 (Implementation and benchmarking of perceptual image hash functions, section 3.2.1), bits
are the signs of the low frequencies of a small grey image. Two things are added, because cells have no up and crops are
not cut at the same pixel. Waves are taken about the dark mass in the middle, not about the middle of the image. And a
flip only changes the signs of odd waves, a quarter turn swaps the axes besides, so one set of coefficients gives the
hashes of all eight views.
"""

import numpy as np

#: Flips and quarter turns of a square, in the order of `smrjax.data.augment.dihedral`.
VIEWS = 8
#: Waves along each axis; all but the constant one give a bit.
WAVES = 11
#: Bits of a hash.
BITS = WAVES * WAVES - 1
#: Side of the grey image, in pixels.
SIDE = 32
# The mass that counts is near the middle, within so much of the image's side (a Gaussian's deviation) …
_REACH = 0.15
# … and is found from the middle in so many steps.
_STEPS = 12
# Waves are full within this distance of it, and fade to nothing at half a side.
_FLAT = 0.3
# Images at a time: few enough for the caches of a processor.
_CHUNK = 32


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Images as means over equal areas, or as they are where they are no larger.

    Args:
        images: UInt8[n, S, S, 3].
        side: Pixels a side, at most.

    Returns:
        Float32[n, side or S, side or S, 3].

    Example:
        >>> shrunk(np.arange(16, dtype=np.uint8).repeat(3).reshape(1, 4, 4, 3), 2)[0, ..., 0].tolist()
        [[2.5, 4.5], [10.5, 12.5]]
    """
    n, size = images.shape[:2]
    if size <= side:
        return images.astype(np.float32)
    area, out = _areas(size, side), np.empty((n, side, side, 3), np.float32)
    for start in range(0, n, _CHUNK):
        some = images[start : start + _CHUNK]
        rows = area @ some.astype(np.float32).reshape(len(some), size, 3 * size)
        columns = rows.reshape(len(some), side, size, 3).swapaxes(2, 3).reshape(-1, size) @ area.T
        out[start : start + _CHUNK] = columns.reshape(len(some), side, 3, side).swapaxes(2, 3)
    return out


def hashes(images: np.ndarray) -> np.ndarray:
    """The hashes of all views of some cells.

    Args:
        images: UInt8[n, S, S, 3].

    Returns:
        UInt64[n, VIEWS, 2]: [:, k] is the hash of ``dihedral(images, k)``, `BITS` bits and then zeros.

    Example:
        >>> found = hashes(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8))
        >>> int(np.bitwise_count(found[0, 0] ^ found[1, 0]).sum()) > 30
        True
    """
    bits = np.concatenate(
        [_signs(shrunk(images[i : i + _CHUNK], SIDE).mean(-1)) for i in range(0, len(images), _CHUNK)]
        or [np.zeros((0, WAVES, WAVES), bool)]
    )
    odd = np.arange(WAVES) % 2 == 1
    views = []
    for k in range(VIEWS):
        # A mirror turns the sign of a wave that is odd along it; the steps are those of `dihedral`.
        view = bits ^ odd if k >= 4 else bits
        if k % 2:
            view = view.swapaxes(1, 2)
        if k % 4 in (1, 2):
            view = view ^ odd[:, None]
        if k % 4 in (2, 3):
            view = view ^ odd
        views.append(view.reshape(len(bits), -1)[:, 1:])
    every = np.stack(views, 1)
    padded = np.pad(every, ((0, 0), (0, 0), (0, -BITS % 64)))
    return np.packbits(padded, axis=-1).view(np.uint64)


def _areas(size: int, side: int) -> np.ndarray:
    """Share of each of ``size`` pixels in each of ``side`` equal areas, Float32[side, size]."""
    edges = np.linspace(0, size, side + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(overlap, 0) * (side / size)).astype(np.float32)


def _signs(grey: np.ndarray) -> np.ndarray:
    """Whether each wave about the dark mass is positive, Bool[n, WAVES, WAVES], of grey images Float32[n, s, s]."""
    side = grey.shape[1]
    places = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    # Darker than nearly all of the image: a measure that brightness scales, and that no single pixel decides.
    light = np.quantile(grey.reshape(len(grey), -1), 0.9, axis=1).astype(np.float32)
    mass = np.maximum(light[:, None, None] - grey, 0)
    centre = np.zeros((len(grey), 2, 1), np.float32)
    for _ in range(_STEPS):
        near = np.exp(-0.5 * np.square((places - centre) / _REACH))
        weighed = mass * near[:, 0, :, None] * near[:, 1, None, :]
        total = weighed.sum((1, 2)) + 1e-6
        centre = (np.stack([weighed.sum(2) @ places, weighed.sum(1) @ places], 1) / total[:, None])[..., None]
    away = places - centre
    fade = np.cos(np.pi * np.clip((np.abs(away) - _FLAT) / (1 - 2 * _FLAT), 0, 0.5)) ** 2
    waves = np.cos(np.pi * np.arange(WAVES, dtype=np.float32)[:, None] * (away[:, :, None] + 0.5))
    down, across = np.moveaxis(fade[:, :, None] * waves, 1, 0)
    weight = fade[:, 0, :, None] * fade[:, 1, None, :]
    level = (grey * weight).sum((1, 2)) / weight.sum((1, 2))
    return down @ (grey - level[:, None, None]) @ across.swapaxes(1, 2) > 0
