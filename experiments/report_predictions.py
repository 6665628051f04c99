"""Reads what experiments.predict left behind, for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report_runs import Run
from smrjax.errors import InputError
from smrjax.files import read_object, read_rows
from smrjax.taxonomy import Taxonomy, counterparts
from smrjax.taxonomy.stored import from_json

#: Of every readable cell, true or false.
FLAGS = ("borderline", "off_curve", "unfamiliar")


@dataclass(frozen=True)
class Predicted:
    """A prediction: n readable cells, and what a run says of them.

    Attributes:
        title: Of the set, unlike any other's of the report.
        run: That predicted.
        about: Content of summary.json.
        known: Taxonomy of the labels that the cells came with.
        paths: Of the n images.
        groups: Slides or folders, n names.
        true: Class in ``known``, Int[n]; -1 where none is.
        predicted: Class of the run, Int[n].
        lineage: Of the predicted class, n names, "" outside.
        raw_t: Float[n]; NaN outside.
        unfamiliar_ratio: Distance to the training cells in units of the limit, Float[n].
        flags: By name, Bool[n].
    """

    title: str
    run: Run
    about: dict[str, Any]
    known: Taxonomy
    paths: np.ndarray
    groups: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    lineage: np.ndarray
    raw_t: np.ndarray
    unfamiliar_ratio: np.ndarray
    flags: dict[str, np.ndarray]

    @cached_property
    def namesakes(self) -> dict[str, str]:
        """Codes of ``known`` -> codes of the run's classes of the same title."""
        return counterparts(self.known, self.run.taxonomy)

    @property
    def same(self) -> np.ndarray:
        """The run's class that each cell's label means, Int[n]; -1 where it means none, or there is no label."""
        own = self.run.taxonomy.classes.index
        meant = [own(self.namesakes[code]) if code in self.namesakes else -1 for code in self.known.classes]
        return np.array([*meant, -1])[self.true]

    @property
    def lineages(self) -> list[tuple[str, list[int]]]:
        """Lineages of the run, each with the classes of one of the labels', youngest first, that it has a class of."""
        found = []
        for name, members in self.run.ordered.items():
            own = {self.run.taxonomy.classes[c] for c in members}
            for other in self.known.lineages:
                if any(self.namesakes.get(code) in own for code in other.classes):
                    found.append((name, [self.known.classes.index(code) for code in other.classes]))
        return found


def read_predictions(folders: Sequence[Path], runs: Sequence[Run]) -> list[Predicted]:
    """Predictions as experiments.predict left them in these folders.

    Args:
        folders: Of finished predictions.
        runs: Of which one must be the run that predicted.

    Raises:
        InputError: if there is no such prediction, or it was made by none of these runs.
    """
    titles = [folder.resolve().name for folder in folders]
    return [
        _read(folder, title if titles.count(title) == 1 else "/".join(folder.resolve().parts[-3:]), runs)
        for folder, title in zip(folders, titles, strict=True)
    ]


def _read(folder: Path, title: str, runs: Sequence[Run]) -> Predicted:
    about = read_object(folder / "summary.json")
    by = about.get("run", {})
    made_by = Path(str(by.get("folder", "") if isinstance(by, dict) else ""))
    run = next((run for run in runs if run.folder.resolve() == made_by.resolve()), None)
    if run is None:
        raise InputError(
            f"--predictions {folder}: made by the run {made_by}, which this report does not show in detail"
        )
    path = folder / "predictions.csv"
    try:
        known = from_json(about["labels"])
        labels, own = ({code: i for i, code in enumerate(of.classes)} for of in (known, run.taxonomy))
        rows = [row for row in read_rows(path) if row["predicted"]]

        def numbers(name: str) -> np.ndarray:
            return np.array([float(row[name]) if row[name] else np.nan for row in rows], np.float64)

        def names(name: str) -> np.ndarray:
            return np.array([row[name] for row in rows], object)

        return Predicted(
            title,
            run,
            about,
            known,
            names("path"),
            names("group"),
            np.array([labels.get(row["true"], -1) for row in rows], int),
            np.array([own[row["predicted"]] for row in rows], int),
            names("lineage"),
            numbers("raw_t"),
            numbers("unfamiliar_ratio"),
            {name: np.array([row[name].lower() == "true" for row in rows], bool) for name in FLAGS},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error} is missing or is no class of {run.title}") from None
