"""Colours of one laboratory's images brought to those of another's (Reinhard et al. 2001)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Pixels at a time: few enough for the caches of a processor.
CHUNK = 1 << 16

#: Bins of lightness, 0 to 100, in which pixels are counted and thresholds lie.
BINS = 128

#: No deviation is taken for less, in units of Lab, of which two or three are just seen: nothing is divided by 0.
LEAST_DEVIATION = 1.0

# sRGB (IEC 61966-2-1): bytes to linear light, and linear light in 65,536 steps to bytes.
_CODES = np.arange(256) / 255
_TO_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_LIGHT = np.arange(65536) / 65535
_TO_BYTES = np.round(255 * np.where(_LIGHT <= 0.0031308, 12.92 * _LIGHT, 1.055 * _LIGHT ** (1 / 2.4) - 0.055)).astype(
    np.uint8
)
# Linear light to XYZ as shares of white (D65, 2 degrees), and the cube roots of those to CIE Lab.
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])
_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float64)
_LAB_OFFSET = np.array([-16.0, 0, 0])
# Below this share of white, Lab goes on as a line where the cube root would be too steep.
_KNEE = 6 / 29


@dataclass(frozen=True)
class StainStatistics:
    """Of the colours of a set of images, in CIE Lab; `dataclasses.asdict` of it is JSON.

    Attributes:
        mean: Of L, a and b.
        deviation: Of L, a and b, at least 1.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


def statistics_of(stored: Any) -> StainStatistics:
    """The inverse of `dataclasses.asdict`, after a file.

    Raises:
        ValueError: if they are no such statistics; TypeError or KeyError likewise.

    Example:
        >>> statistics_of({"mean": [60, 10, -8], "deviation": [12, 5, 6]})
        StainStatistics(mean=(60.0, 10.0, -8.0), deviation=(12.0, 5.0, 6.0))
    """
    values = np.array([stored["mean"], stored["deviation"]], np.float64)
    if values.shape != (2, 3) or not np.isfinite(values).all() or (values[1] <= 0).any():
        raise ValueError(f"colours of mean {stored['mean']} and deviation {stored['deviation']}")
    mean, deviation = values.tolist()
    return StainStatistics(tuple(mean), tuple(deviation))


def stain_statistics(images: np.ndarray) -> StainStatistics:
    """Mean and deviation of lightness and both colour axes, of dark, middle and bright pixels in equal parts.

    Reinhard et al. 2001 take all pixels alike. But where cells are larger or lie closer they fill more of an image, and
    such a set would be made paler for being fuller. So pixels are first split by lightness into three (Otsu 1979, with
    two thresholds): nuclei; cytoplasm and red cells; background. Each part weighs a third, whatever of the images it
    fills.

    Args:
        images: UInt8[N, H, W, 3], an array or a memory map, read once; some hundred of a set are enough, one is
            possible.

    Raises:
        ValueError: for no images, or what are none.

    Example:
        >>> black, grey, white = (np.full((1, 8, 8, 3), level, np.uint8) for level in (0, 119, 255))
        >>> found = stain_statistics(np.concatenate([black, grey, white, white, white]))
        >>> round(found.mean[0]), round(found.deviation[0])
        (50, 41)
    """
    _check(images)
    # Of every bin of lightness: pixels, sums of L, a and b, sums of their squares.
    sums = np.zeros((7, BINS))
    for _, _, pixels in _chunks(images):
        lab = _roots(pixels) @ _TO_LAB.T.astype(np.float32) + _LAB_OFFSET.astype(np.float32)
        home = np.clip(lab[:, 0] * (BINS / 100), 0, BINS - 1).astype(np.int64)
        rows = (None, *lab.T, *np.square(lab).T)
        sums += np.stack([np.bincount(home, row, BINS) for row in rows])
    first, second = two_thresholds(sums[0])
    parts = np.stack([part.sum(axis=1) for part in np.split(sums, [first, second], axis=1)])
    parts = parts[parts[:, 0] > 0]
    parts = parts / parts[:, :1]
    mean, square = parts[:, 1:4].mean(axis=0), parts[:, 4:].mean(axis=0)
    deviation = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), LEAST_DEVIATION)
    return StainStatistics(_three(mean), _three(deviation))


def two_thresholds(histogram: np.ndarray) -> tuple[int, int]:
    """Where a histogram falls into three parts that differ most, by the variance between them (Otsu 1979).

    Args:
        histogram: Float[n], at least three bins.

    Returns:
        First bin of the second and of the third part; the lowest of equally good ones. Where fewer than three bins hold
        anything, some part is empty.
    """
    n = len(histogram)
    weight = np.concatenate([[0.0], np.cumsum(histogram)])
    moment = np.concatenate([[0.0], np.cumsum(histogram * np.arange(n))])

    def part(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        w, m = weight[high] - weight[low], moment[high] - moment[low]
        return np.divide(m**2, w, out=np.zeros(w.shape), where=w > 0)

    # Of all pairs with a bin or more in each part; the variance within has the same sum of squares less these.
    first, second = (cut + 1 for cut in np.triu_indices(n - 1, 1))
    none, all_ = np.zeros_like(first), np.full_like(first, n)
    best = int((part(none, first) + part(first, second) + part(second, all_)).argmax())
    return int(first[best]), int(second[best])


def normalise_stain(images: np.ndarray, own: StainStatistics, reference: StainStatistics) -> np.ndarray:
    """Images in other colours: in CIE Lab, each axis moved and stretched from one mean and deviation to another.

    Colours that no screen has are cut off. Reinhard et al. 2001 work in the space l-alpha-beta; here it is Lab, as is
    usual for stained cells.

    Args:
        images: UInt8[n, H, W, 3].
        own: Of the set, the slide or the image from which the images are.
        reference: Of the images that a model knows.

    Returns:
        UInt8[n, H, W, 3].

    Raises:
        ValueError: for what are no images.
    """
    if len(images):
        _check(images)
    scale = np.array(reference.deviation) / own.deviation
    # All from one cube root to the next is one affine map of these.
    to_lab, from_lab, shift = _TO_LAB, np.linalg.inv(_TO_LAB), np.array(reference.mean) - scale * own.mean
    through = (from_lab * scale @ to_lab).astype(np.float32)
    offset = (from_lab @ (scale * _LAB_OFFSET + shift - _LAB_OFFSET)).astype(np.float32)
    back = np.linalg.inv(_TO_XYZ).T.astype(np.float32)
    out = np.empty(images.shape, np.uint8)
    flat = out.reshape(-1, 3)
    for start, end, pixels in _chunks(images):
        roots = _roots(pixels) @ through.T
        roots += offset
        xyz = np.where(roots > _KNEE, roots**3, 3 * _KNEE**2 * (roots - 4 / 29))
        light = xyz @ back
        light *= 65535
        light += 0.5
        flat[start:end] = _TO_BYTES[np.clip(light, 0, 65535, out=light).astype(np.uint16)]
    return out


def _chunks(images: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """First and last pixel, and pixels, of some whole images at a time."""
    pixels = images.shape[1] * images.shape[2]
    step = max(CHUNK // max(pixels, 1), 1)
    for i in range(0, len(images), step):
        some = np.asarray(images[i : i + step])
        yield i * pixels, (i + len(some)) * pixels, some.reshape(-1, 3)


def _roots(pixels: np.ndarray) -> np.ndarray:
    """Cube roots of X, Y and Z as shares of white, with the line of Lab near black: Float32[n, 3]."""
    xyz = _TO_LINEAR[pixels] @ _TO_XYZ.T.astype(np.float32)
    return np.where(xyz > _KNEE**3, np.cbrt(xyz), xyz / (3 * _KNEE**2) + 4 / 29)


def _three(values: np.ndarray) -> tuple[float, float, float]:
    first, second, third = values.tolist()
    return first, second, third


def _check(images: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        raise ValueError(f"images {images.shape} {images.dtype}: expected UInt8[n, H, W, 3], at least one")
