"""Cells of several sets as one, without a copy of their images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np

from smrjax.data.cellset import CellSet


class Images(Protocol):
    """What is read by rows: an array, a memory map, or several of them (`Stacked`)."""

    def __len__(self) -> int:
        """Number of images."""

    @overload
    def __getitem__(self, rows: int, /) -> np.ndarray: ...
    @overload
    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


class Stacked:
    """Arrays along their first axis, as ``np.concatenate`` would have them.

    Args:
        arrays: UInt8[n, S, S, 3] each, of the same S.

    Example:
        >>> a, b = np.arange(3), np.arange(10, 14)
        >>> both = Stacked([a, b])
        >>> len(both), int(both[4]), both[2:5], both[5:9]
        (7, 11, array([ 2, 10, 11]), array([12, 13]))
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = arrays
        self._starts = np.cumsum([0, *map(len, arrays)])

    def __len__(self) -> int:
        """Rows of all arrays."""
        return int(self._starts[-1])

    def __getitem__(self, rows: int | slice, /) -> np.ndarray:
        """A row, or rows from one to another."""
        if isinstance(rows, slice):
            start, end, step = rows.indices(len(self))
            assert step == 1
            spans = zip(self._arrays, self._starts, strict=False)
            return np.concatenate([array[max(start - at, 0) : max(end - at, 0)] for array, at in spans])
        which = int(np.searchsorted(self._starts, rows, side="right")) - 1
        return self._arrays[which][rows - self._starts[which]]


@dataclass(frozen=True)
class Pool:
    """Cells of one or several sets, as the search for duplicates sees them.

    Attributes:
        images: UInt8[N, S, S, 3].
        names: Of each cell.
        classes: Code of each cell's class.
        slides: Of each cell; empty where unknown.
        digest: Hash of them all.
    """

    images: Images
    names: list[str]
    classes: list[str]
    slides: list[str]
    digest: str

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.names)


def pool_of(cells: CellSet, others: Mapping[str, CellSet]) -> Pool:
    """A run's cells, and after them those of other sets, whose cells' names and slides begin with the set's name."""
    names, slides = list(cells.names), _slides(cells)
    for name, other in others.items():
        names += [f"{name}: {one}" for one in other.names]
        slides += [slide and f"{name}: {slide}" for slide in _slides(other)]
    sets = [cells, *others.values()]
    classes = [one.classes[label] for one in sets for label in one.labels]
    if not others:
        return Pool(cells.images, names, classes, slides, cells.digest)
    digest = repr([cells.digest, *((name, other.digest) for name, other in others.items())])
    return Pool(Stacked([one.images for one in sets]), names, classes, slides, digest)


def _slides(cells: CellSet) -> list[str]:
    return [""] * len(cells) if cells.groups is None else [str(group) for group in cells.groups]
