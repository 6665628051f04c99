"""Decoded cells with their labels: what every data set becomes."""

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
