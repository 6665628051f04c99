"""One fold of a run as the report reads it: its test cells and what was said of them, its embeddings and curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import InputError
from smrjax.files import read_flat, read_rows

#: Columns of predictions.csv beside path, classes and probabilities, where cells have a place on a curve.
PLACE = ("lineage", "raw_t")


@dataclass(frozen=True)
class Fold:
    """A finished fold.

    Attributes:
        number: Of the fold.
        folder: Of the fold.
        result: Content of its result.json.
        names: Of the n test cells.
        true: Int[n].
        predicted: Int[n].
        probabilities: Float[n, C], or None where the method has none.
        lineage: Of the predicted class, n names, "" outside.
        raw_t: Place on the curve of that lineage, Float[n]; NaN where there is none.
    """

    number: int
    folder: Path
    result: dict[str, Any]
    names: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None
    lineage: tuple[str, ...]
    raw_t: np.ndarray

    @cached_property
    def embeddings(self) -> dict[str, np.ndarray]:
        """Arrays of embeddings.npz, of all cells; none for a method without embeddings."""
        return _arrays(self.folder / "embeddings.npz")

    @cached_property
    def curves(self) -> dict[str, np.ndarray]:
        """Arrays of curves.npz; none for a method without lineages."""
        return _arrays(self.folder / "curves.npz")


def mean_over(folds: Sequence[Fold], name: str) -> np.ndarray | None:
    """Mean over folds of an array of their curves.npz, such as targets, which differ from fold to fold.

    None where a fold lacks it. Empty where folds hold unequally many: nothing says which of them belong together.
    """
    found = [fold.curves[name] for fold in folds if name in fold.curves]
    if len(found) < len(folds):
        return None
    return np.mean(found, axis=0) if len({np.shape(one) for one in found}) == 1 else np.zeros(0)


def read_fold(folder: Path, result: dict[str, Any], classes: tuple[str, ...]) -> Fold:
    """A finished fold from its folder.

    Args:
        folder: Of the fold.
        result: Content of its result.json.
        classes: Of the run.

    Raises:
        InputError: if its predictions are missing, damaged or of no cell.
    """
    path = folder / "predictions.csv"
    label = {code: i for i, code in enumerate(classes)}
    try:
        rows = read_rows(path)
        true, predicted = (np.array([label[row[name]] for row in rows], int) for name in ("true", "predicted"))
        names = tuple(row["path"] for row in rows)
        chances = None
        if rows and all(f"p_{code}" in rows[0] for code in classes):
            chances = np.array([[float(row[f"p_{code}"]) for code in classes] for row in rows])
        placed = bool(rows) and all(name in rows[0] for name in PLACE)
        lineage = tuple(row["lineage"] if placed else "" for row in rows)
        raw_t = np.array([float(row["raw_t"]) if placed and row["raw_t"] else np.nan for row in rows])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); train the fold again") from None
    if not rows:
        raise InputError(f"{path}: holds no cell; train the fold again")
    other = folder / "probabilities.npy"
    if chances is None and other.exists():
        try:
            chances = np.load(other, allow_pickle=False).astype(np.float64).reshape(len(rows), len(classes))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{other}: is damaged ({error}); train the fold again") from None
    number = int(folder.name[5:])
    return Fold(number, folder, result, names, true, predicted, chances, lineage, raw_t)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    return read_flat(path) if path.exists() else {}
