"""The images of a run's cells, for the report: the same cells as the run saw, or none and the reason."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.config import DataOptions, from_json
from experiments.prepare import read_cells
from experiments.report_runs import Run
from smrjax.data import CellSet
from smrjax.errors import InputError


@dataclass(frozen=True)
class Images:
    """The cells of a run, or why there are none.

    Attributes:
        cells: None if they are gone or are no longer those of the run.
        reason: A sentence, where there are none.
    """

    cells: CellSet | None
    reason: str = ""

    def of(self, names: Sequence[str]) -> np.ndarray | None:
        """The images of cells by their names, UInt8[n, S, S, 3]; None if any is missing."""
        if self.cells is None:
            return None
        place = {name: row for row, name in enumerate(self.cells.names)}
        if any(name not in place for name in names):
            return None
        rows = np.array([place[name] for name in names], int)
        return np.asarray(self.cells.images[rows])


def read_images(runs: Sequence[Run]) -> dict[str, Images]:
    """By title of the run, its cells; a data set that several runs share is read once."""
    known: dict[str, Images] = {}
    found = {}
    for run in runs:
        key = json.dumps([run.config.get("data"), run.about.get("cells")], sort_keys=True)
        if key not in known:
            known[key] = _read(run)
        found[run.title] = known[key]
    return found


def _read(run: Run) -> Images:
    try:
        options = from_json(DataOptions, run.config["data"])
        cells, _ = read_cells(options, options.image_size)
    except KeyError:
        return Images(None, "the run's config.json does not name its data.")
    except InputError as error:
        return Images(None, f"{error}.")
    if run.about.get("cells") != cells.digest:
        same = set(run.taxonomy.classes) < set(cells.classes)
        reason = (
            "the run worked with a part of its data's classes."
            if same
            else f"the data in {options.data} have changed since the run."
        )
        return Images(None, reason)
    for fold in run.folds:
        if fold.embeddings and len(fold.embeddings["labels"]) != len(cells):
            raise InputError(
                f"{fold.folder / 'embeddings.npz'}: is not of the {len(cells)} cells of the run; bring it back"
            )
    return Images(cells)
