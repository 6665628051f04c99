"""Reads what experiments.predict left behind, for the report, and finds the run that it is of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.kinds import read_kind
from experiments.predict_work import identity_of_members
from experiments.report_folds import Fold, measured
from experiments.report_runs import Run
from smrjax.errors import InputError
from smrjax.files import read_rows
from smrjax.predict.members import load_member
from smrjax.predict.reader import Reader
from smrjax.predict.run import open_run
from smrjax.taxonomy import Taxonomy, counterparts
from smrjax.taxonomy.stored import from_json

#: Of every readable cell, true or false.
FLAGS = ("borderline", "off_curve", "unfamiliar")
#: Of summary.json.
SUMMARY = {
    "run": {"folder": Path, "digest": str, "folds": [int], "decision?": str},
    **{"labels": dict, "images": int, "unreadable": int},
    "options?": {"stain?": str, "borderline?": float},
}

#: Folder of a run and numbers of its folds -> what its members are known by, and their readers by fold.
Opened = Callable[[Path, tuple[int, ...]], tuple[str, dict[int, Reader]]]


@dataclass(frozen=True)
class Predicted:
    """A prediction: n readable cells, and what a run says of them.

    Attributes:
        title: Of the set, unlike any other's of the report.
        run: That predicted.
        readers: Fold of the run -> what it read the embeddings of its network with; of those folds that were asked.
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
    readers: dict[int, Reader]
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

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Of the run, those that were asked."""
        return tuple(fold for fold in self.run.folds if fold.number in self.readers)

    @property
    def asked(self) -> str:
        """The folds that were asked, in words; nothing where they are all of several."""
        if len(self.readers) == len(self.run.folds) > 1:
            return ""
        return f"fold{'s' * (len(self.readers) > 1)} {', '.join(map(str, self.readers))}"

    @property
    def by(self) -> str:
        """Who predicted: the run, or some folds of it."""
        return ", ".join(filter(None, [self.run.title, self.asked]))

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

    @cache
    def opened(run: Path, folds: tuple[int, ...]) -> tuple[str, dict[int, Reader]]:
        finished = open_run(run)
        members = [load_member(finished, fold) for fold in folds]
        return identity_of_members(members), {member.fold: member.reader for member in members}

    return [
        _read(folder, title if titles.count(title) == 1 else "/".join(folder.resolve().parts[-3:]), runs, opened)
        for folder, title in zip(folders, titles, strict=True)
    ]


def _made_by(folder: Path, about: dict[str, Any], runs: Sequence[Run], opened: Opened) -> tuple[Run, dict[int, Reader]]:
    """The run that predicted, by its content and not by its path: runs are moved, trained again, and exported."""
    asked = about["run"]
    place, digest, folds = Path(asked["folder"]), asked["digest"], tuple(asked["folds"])
    at_place = [run.folder.resolve() == place.resolve() for run in runs]
    refused: InputError | None = None
    # The run of that path first: of several copies, it is the one that is meant.
    for here, run in sorted(zip(at_place, runs, strict=True), key=lambda pair: not pair[0]):
        if not set(folds) <= {fold.number for fold in run.folds}:
            continue
        try:
            found, readers = opened(run.folder, folds)
        except InputError as error:  # not all runs can predict
            refused = error if here else refused
            continue
        if found == digest:
            return run, readers
    if refused is not None:
        raise refused
    if any(at_place):
        raise InputError(
            f"--predictions {folder}: {place} is not as it was when it predicted: it was trained again since, or "
            "another version predicted; predict again"
        )
    raise InputError(
        f"--predictions {folder}: made by {place}, which is none of the runs that this report shows in detail, nor "
        "exported from one of them"
    )


def _read(folder: Path, title: str, runs: Sequence[Run], opened: Opened) -> Predicted:
    about = read_kind(folder / "summary.json", SUMMARY)
    run, readers = _made_by(folder, about, runs, opened)
    path = folder / "predictions.csv"
    try:
        known = from_json(about["labels"])
    except InputError as error:
        raise InputError(f"{folder / 'summary.json'}: {error}") from None
    try:
        labels, own = ({code: i for i, code in enumerate(of.classes)} for of in (known, run.taxonomy))
        rows = [row for row in read_rows(path) if row["predicted"]]

        def numbers(name: str) -> np.ndarray:
            return np.array([measured(row[name]) if row[name] else np.nan for row in rows], np.float64)

        def names(name: str) -> np.ndarray:
            return np.array([row[name] for row in rows], object)

        return Predicted(
            title,
            run,
            readers,
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
