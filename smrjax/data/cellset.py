"""Decoded cells with their labels: what every data set becomes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CellSet:
    """Cells, ready for training.

    Attributes:
        images: UInt8[N, S, S, 3], an array or a read-only memory map.
        labels: Int32[N], positions in ``classes``.
        names: Of the cells: a path below the folder, or an example's id.
        classes: Codes of the classes.
        groups: Int32[N], the slide or patient of each cell, or None where unknown.
        folds: Int32[N], the fold of each cell where the data prescribe it, or None.
        maturity: Float32[N], true maturity within the lineage (0 youngest, 1 oldest), NaN for cells without
            one, or None where unknown for all.
        digest: Hexadecimal hash of content and size: two equal digests mean equal cells.
        name: Of the data set.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    groups: np.ndarray | None
    folds: np.ndarray | None
    maturity: np.ndarray | None
    digest: str
    name: str

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.labels)


def select(cells: CellSet, groups: Sequence[Sequence[str]], names: Sequence[str]) -> CellSet:
    """The cells of some classes, under new labels.

    Args:
        cells: All cells.
        groups: For each new class, codes of the classes that it is made of.
        names: Codes of the new classes.

    Returns:
        Those cells, in their order; images are copied into memory unless all are kept.

    Raises:
        ValueError: for a code that there is not, or that is in two groups.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((3, 2, 2, 3), np.uint8)
        >>> cells = CellSet(images, np.arange(3), ("0", "1", "2"), ("A", "B", "C"), None, None, None, "", "few")
        >>> select(cells, [["C"], ["A"]], ["C", "A"]).labels.tolist()
        [1, 0]
    """
    new = np.full(len(cells.classes), -1, np.int32)
    for label, group in enumerate(groups):
        for code in group:
            index = cells.classes.index(code)
            if new[index] >= 0:
                raise ValueError(f"class {code} is in two groups")
            new[index] = label
    rows = np.flatnonzero(new[cells.labels] >= 0)
    labels = new[cells.labels[rows]]

    def own(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[rows]

    content = hashlib.sha256(repr((cells.digest, tuple(names))).encode() + rows.tobytes() + labels.tobytes())
    return CellSet(
        images=cells.images if len(rows) == len(cells) else cells.images[rows],
        labels=labels,
        names=tuple(cells.names[i] for i in rows),
        classes=tuple(names),
        groups=own(cells.groups),
        folds=own(cells.folds),
        maturity=own(cells.maturity),
        digest=content.hexdigest(),
        name=cells.name,
    )
