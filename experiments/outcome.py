"""What a fold of a baseline leaves behind: its predictions and scores."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.data import CellSet
from smrjax.errors import InputError
from smrjax.evaluate import score_report
from smrjax.files import atomic, cell, read_rows, write_json
from smrjax.taxonomy import Taxonomy


@dataclass(frozen=True)
class Judged:
    """The cells of a task and what all its methods are judged by.

    Attributes:
        cells: N of them.
        taxonomy: Of their classes.
        nested: Int[outer folds, N], of `smrjax.data.folds.nested_folds`.
        severity: Float[C, C], or None.
    """

    cells: CellSet
    taxonomy: Taxonomy
    nested: np.ndarray
    severity: np.ndarray | None

    def scores(self, true: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
        """All scores of some cells, see `smrjax.evaluate.score_report`."""
        taxonomy = self.taxonomy
        return score_report(
            true,
            predicted,
            classes=taxonomy.classes,
            stage=taxonomy.stage(),
            lineage_index=taxonomy.lineage_index(),
            lineages=[line.name for line in taxonomy.lineages],
            severity=self.severity,
        )


def write_outcome(folder: Path, judged: Judged, fold: int, predicted: np.ndarray, about: dict[str, Any]) -> None:
    """Score the test part of an outer fold and write ``predictions.csv``, then ``result.json``, which ends the fold.

    Args:
        folder: Of the fold.
        judged: Labels, folds and how to score.
        fold: Which outer fold was tested.
        predicted: Class of each test cell in order, Int[n].
        about: Whatever else is to be known, JSON-safe.
    """
    cells = judged.cells
    test = np.flatnonzero(judged.nested[fold] < 0)
    with atomic(folder / "predictions.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["path", "true", "predicted"])
        for row, label in zip(test, predicted, strict=True):
            words = (cells.names[row], cells.classes[cells.labels[row]], cells.classes[label])
            writer.writerow(map(cell, words))
    scores = judged.scores(cells.labels[test], np.asarray(predicted))
    write_json(folder / "result.json", {"fold": fold, **about, "scores": scores})


def read_predictions(folder: Path, classes: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The names, labels and predicted classes of the test cells of a fold, as `write_outcome` left them behind.

    Raises:
        InputError: if the file is missing or damaged.
    """
    place = {code: label for label, code in enumerate(classes)}
    rows = read_rows(folder / "predictions.csv")
    try:
        true, predicted = (np.array([place[row[name]] for row in rows], int) for name in ("true", "predicted"))
        return [row["path"] for row in rows], true, predicted
    except KeyError as error:
        raise InputError(f"{folder / 'predictions.csv'}: is damaged ({error}); train the fold again") from None
