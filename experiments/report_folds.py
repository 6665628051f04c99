"""One fold of a run as the report reads it: its test cells and what was said of them, its embeddings and curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.fold_files import check_probabilities, read_probabilities
from smrjax.errors import InputError
from smrjax.files import read_rows
from smrjax.taxonomy import Taxonomy
from smrjax.train.fold_arrays import LARGEST, read_curves, read_embeddings

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
        taxonomy: Of the run.
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
    taxonomy: Taxonomy

    @cached_property
    def embeddings(self) -> dict[str, np.ndarray]:
        """Arrays of embeddings.npz, of all cells; none for a method without embeddings."""
        return read_embeddings(self.folder, len(self.taxonomy.classes), tested=len(self.names))

    @cached_property
    def curves(self) -> dict[str, np.ndarray]:
        """Arrays of curves.npz; none for a method without lineages."""
        stages = {line.name: len(line.classes) for line in self.taxonomy.lineages if len(line.classes) > 1}
        own = self.embeddings
        return (
            read_curves(self.folder, stages, own["place" if "place" in own else "embeddings"].shape[1]) if own else {}
        )


def mean_over(folds: Sequence[Fold], name: str) -> np.ndarray | None:
    """Mean over folds of an array of their curves.npz, such as targets, which differ from fold to fold.

    None where a fold lacks it. Empty where folds hold unequally many: nothing says which of them belong together.
    """
    found = [fold.curves[name] for fold in folds if name in fold.curves]
    if len(found) < len(folds):
        return None
    return np.mean(found, axis=0) if len({np.shape(one) for one in found}) == 1 else np.zeros(0)


def measured(word: str) -> float:
    """A number of a table.

    Raises:
        ValueError: for what is none, and for infinities and what nothing measures.
    """
    value = float(word)
    if not abs(value) <= LARGEST:
        raise ValueError(f"{word[:40]} where a number is expected")
    return value


def read_fold(folder: Path, result: dict[str, Any], taxonomy: Taxonomy) -> Fold:
    """A finished fold from its folder.

    Args:
        folder: Of the fold.
        result: Content of its result.json.
        taxonomy: Of the run.

    Raises:
        InputError: if its predictions are missing, damaged or of no cell.
    """
    path, classes = folder / "predictions.csv", taxonomy.classes
    label = {code: i for i, code in enumerate(classes)}
    try:
        rows = read_rows(path)
        true, predicted = (np.array([label[row[name]] for row in rows], int) for name in ("true", "predicted"))
        names = tuple(row["path"] for row in rows)
        chances = None
        if rows and all(f"p_{code}" in rows[0] for code in classes):
            chances = np.array([[measured(row[f"p_{code}"]) for code in classes] for row in rows])
        placed = bool(rows) and all(name in rows[0] for name in PLACE)
        lineage = tuple(row["lineage"] if placed else "" for row in rows)
        raw_t = np.array([measured(row["raw_t"]) if placed and row["raw_t"] else np.nan for row in rows])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); train the fold again") from None
    if not rows:
        raise InputError(f"{path}: holds no cell; train the fold again")
    if chances is not None:
        chances = check_probabilities(path, chances)
    elif (folder / "probabilities.npy").exists():
        chances = read_probabilities(folder, len(rows), len(classes))
    number = int(folder.name[5:])
    return Fold(number, folder, result, names, true, predicted, chances, lineage, raw_t, taxonomy)
