"""Cells that are in a set twice: the same pixels, or the same picture turned, moved a little, recoded or brightened."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from smrjax.data.augment import dihedral
from smrjax.data.perceptual import VIEWS, hashes, shrunk
from smrjax.data.pool import Images

#: Pairs whose hashes differ in so many of 120 bits at most are compared by their pixels …
NEAR_HASH = 20
#: … and are duplicates where these differ by no more than this share of their contrast.
NEAR_PIXELS = 0.3
#: Side of the images that are compared pixel by pixel, at most.
SIDE = 64
# Grey levels of contrast below which an image shows nothing that another could repeat.
_CONTRAST = 1.0
# Rows and columns of the table of hashes at a time, few enough for a processor's caches, and images.
_BLOCK = 128
_COLUMNS = 2048
_CHUNK = 256


@dataclass(frozen=True)
class Duplicates:
    """Pairs of cells of which one repeats the other.

    Attributes:
        first: Rows, Int64[p], ascending.
        second: Rows, Int64[p], each above ``first``.
        difference: Float32[p]: 0 for the same pixels, at most `NEAR_PIXELS`.
        exact: Whether all pixels are the same, Bool[p]. Of several such cells each is paired with the first one, and
            that one alone with near duplicates.
    """

    first: np.ndarray
    second: np.ndarray
    difference: np.ndarray
    exact: np.ndarray

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.first)


def find_duplicates(
    images: Images,
    *,
    among: int | None = None,
    workers: int = 2,
    on_cells: Callable[[int], object] = lambda cells: None,
) -> Duplicates:
    """All pairs of duplicates, whatever their labels.

    Exact ones are found by a hash of their pixels. For the others every pair of `perceptual.hashes` is looked at, in
    all eight flips and quarter turns, and `difference` decides about those that are near. Both limits were chosen on
    real cells, see `benchmarks/RESULTS.md`. Images of one colour alone have no near duplicates.

    Args:
        images: UInt8[N, S, S, 3], an array, a memory map or several of them; read once, candidates once more.
        among: Of near duplicates, only those are looked for of which one is among so many first cells; None for all.
        workers: Threads.
        on_cells: Called with numbers of cells as they are done; they sum up to N.

    Returns:
        Pairs by rows; time grows with N times ``among``, memory with N.
    """
    digests, codes, flat = [], [], []

    def look(start: int) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        some = np.ascontiguousarray(images[start : start + _CHUNK])
        contrast = shrunk(some, SIDE).std((1, 2)).max(1)
        return [hashlib.blake2b(image, digest_size=16).digest() for image in some], hashes(some), contrast < _CONTRAST

    with ThreadPoolExecutor(workers) as threads:
        for own, code, bare in threads.map(look, range(0, len(images), _CHUNK)):
            digests += own
            codes.append(code)
            flat.append(bare)
        first_of: dict[bytes, int] = {}
        original = np.array([first_of.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64)
        copies = np.flatnonzero(original < np.arange(len(original)))
        rows = np.setdiff1d(np.flatnonzero(~np.concatenate(flat or [np.zeros(0, bool)])), copies)
        count = len(rows) if among is None else int(np.searchsorted(rows, among))
        on_cells(len(images) - count)
        found = [(original[copies], copies, np.zeros(len(copies), np.float32))]
        if count:
            code = np.concatenate(codes)[rows]
            del codes

            def compare(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                one, other, view = near_hashes(code, start, min(start + _BLOCK, count))
                away = np.array(
                    [difference(images[rows[i]], images[rows[j]], k) for i, j, k in zip(one, other, view, strict=True)],
                    np.float32,
                )
                kept = away <= NEAR_PIXELS
                return rows[one[kept]], rows[other[kept]], away[kept]

            starts = range(0, count, _BLOCK)
            for start, pairs in zip(starts, threads.map(compare, starts), strict=True):
                found.append(pairs)
                on_cells(min(_BLOCK, count - start))
    first, second, away = (np.concatenate(column) for column in zip(*found, strict=True))
    exact = np.arange(len(first)) < len(copies)
    order = np.lexsort((second, first))
    return Duplicates(first[order], second[order], away[order], exact[order])


def near_hashes(code: np.ndarray, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of cells with near hashes, the first of which is in some rows and the second after it.

    Args:
        code: UInt64[N, VIEWS, 2], of `perceptual.hashes`.
        start: First of these rows.
        end: First after them.

    Returns:
        First and second, Int64[p], and the view of the second that is nearest to the first as it is, Int64[p].
    """
    found = []
    for left in range(start, len(code), _COLUMNS):
        own, others = code[start:end, None, 0], code[None, left : left + _COLUMNS]
        best = np.full((end - start, others.shape[1]), 255, np.uint8)
        view = np.zeros(best.shape, np.uint8)
        for k in range(VIEWS):
            away = np.bitwise_count(own[..., 0] ^ others[..., k, 0])
            away += np.bitwise_count(own[..., 1] ^ others[..., k, 1])
            better = away < best
            np.copyto(best, away, where=better)
            np.copyto(view, np.uint8(k), where=better)
        one, other = np.nonzero(best <= NEAR_HASH)
        later = other + left > one + start
        one, other = one[later], other[later]
        found.append((one + start, other + left, view[one, other].astype(np.int64)))
    one, other, nearest = (np.concatenate(column) for column in zip(*found, strict=True))
    return one, other, nearest


def difference(one: np.ndarray, other: np.ndarray, view: int) -> float:
    """How far two images are from being the same picture, whatever its brightness and contrast.

    The root mean square of what one image leaves unexplained of the other, as a share of its contrast: with r the
    correlation of their pixels, each colour less its mean, it is sqrt(1 - r²). The least over shifts of up to a 32nd
    of the side; on images of `SIDE` pixels at most, blurred a little, so that a shift by half a pixel costs nothing.

    Args:
        one: UInt8[S, S, 3].
        other: UInt8[S, S, 3].
        view: Which flip or quarter turn of the other one, as in `smrjax.data.augment.dihedral`.

    Returns:
        0 to 1; 1 also where one of them has no contrast.

    Example:
        >>> image = np.random.default_rng(0).integers(0, 200, (40, 40, 3), np.uint8)
        >>> round(difference(image, image[::-1, ::-1] + np.uint8(50), 2), 3)
        0.0
    """
    a, b = _blurred(shrunk(one[None], SIDE))[0], _blurred(shrunk(dihedral(other[None], view), SIDE))[0]
    side = len(a)
    reach = max(round(side / 32), 1)
    inner = side - 2 * reach
    if inner < 1:
        return 1.0
    a = _centred(a[reach : reach + inner, reach : reach + inner])
    moved = [b[dy : dy + inner, dx : dx + inner] for dy in range(2 * reach + 1) for dx in range(2 * reach + 1)]
    best = 0.0
    for shift in map(_centred, moved):
        energy = float(np.vdot(a, a)) * float(np.vdot(shift, shift))
        best = max(best, float(np.vdot(a, shift)) / energy**0.5 if energy > 0 else 0.0)
    return float(np.sqrt(max(1 - best**2, 0)))


def _centred(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels - pixels.mean((0, 1)))


def _blurred(images: np.ndarray) -> np.ndarray:
    """Means over three pixels along each axis: images one pixel smaller on each side."""
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
