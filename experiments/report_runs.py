"""Reads run folders for the report: of SMR, guides, baselines and strategies, finished or not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.duplicates import Counts
from experiments.fold_files import read_result
from experiments.kinds import read_kind
from experiments.report_folds import Fold, read_fold
from experiments.titles import NAMES
from smrjax.errors import InputError, one_line
from smrjax.taxonomy import BUNDLED, Taxonomy, for_classes, load_taxonomy, parse_lineages
from smrjax.taxonomy.stored import read_taxonomy

#: Data sets whose fold 0 is the split that they were published with.
OFFICIAL = ("bloodmnist", "pcam")

#: What the report looks at of config.json, run.json and summary.json, of a run or of a set of runs.
_COUNTS = dict.fromkeys(Counts.__annotations__, int)
CONFIG = {
    "data?": {"data?": Path, "image_size?": int, "folds?": int, "taxonomy?": (Path, None), "lineages?": [str]},
    **{f"{name}?": dict for name in ("train", "smr", "encoder", "run")},
}
ABOUT = {
    **{"command?": Path, "cells?": str, "duplicates?": (_COUNTS, None)},
    "severity?": {"matrix?": ([[float]], None)},
}
SUMMARY = {
    "title?": str,
    "versions?": ({str: str}, None),
    "device?": ({"kind": str, "count": int, "processes": int}, None),
    "git?": ({"commit": str, "changed": bool}, None),
    "data?": {"name?": str},
    "methods?": {str: {"group": str, "title": str}},
    "rows?": {str: {"encoder": str, "init": str}},
}


@dataclass(frozen=True)
class Run:
    """One method under cross-validation.

    Attributes:
        folder: Of the run.
        title: Of the method, or where several runs are of one, of the folder: unlike any other run's of the report.
        method: Of the method.
        alone: Whether it is the only run of the report, and need not be named everywhere.
        config: Content of config.json.
        about: Content of run.json.
        summary: Content of summary.json; empty for a run that is not finished or is a part of another.
        taxonomy: Classes, lineages and colours.
        folds: Those that are finished, in order.
        finished: Whether these are all.
    """

    folder: Path
    title: str
    method: str
    config: dict[str, Any]
    about: dict[str, Any]
    summary: dict[str, Any]
    taxonomy: Taxonomy
    folds: tuple[Fold, ...]
    finished: bool
    alone: bool = False

    @property
    def lineages(self) -> dict[str, list[int]]:
        """Name -> positions of its classes, youngest first."""
        place = self.taxonomy.classes.index
        return {line.name: [place(code) for code in line.classes] for line in self.taxonomy.lineages}

    @property
    def ordered(self) -> dict[str, list[int]]:
        """Lineages of two or more classes."""
        return {name: members for name, members in self.lineages.items() if len(members) > 1}

    @property
    def look(self) -> dict[str, Any]:
        """What pictures are told of classes."""
        return {"class_names": self.taxonomy.titles, "colours": self.taxonomy.colours, "lineages": self.lineages}

    @property
    def severity(self) -> np.ndarray | None:
        """Of taking a cell of the row's class for one of the column's, Float[C, C], if the run was scored by it."""
        matrix = self.about.get("severity", {}).get("matrix")
        return None if matrix is None else np.array(matrix, np.float64)

    @property
    def data(self) -> str:
        """Name of the data set or of its folder."""
        return one_line(self.config.get("data", {}).get("data", "unknown"))

    @property
    def official(self) -> bool:
        """Whether it was tested on the official test part of its data alone, which is their fold 0."""
        known = {self.data, Path(self.data).name, self.summary.get("data", {}).get("name")}
        return bool(known & set(OFFICIAL)) and [fold.number for fold in self.folds] == [0]

    @property
    def slug(self) -> str:
        """The title as a part of a file's name."""
        return re.sub(r"\W+", "-", self.title).strip("-")[:120] or "run"

    @property
    def has_curves(self) -> bool:
        """Whether the method itself placed the cells on curves, or cells have been read along curves afterwards."""
        return all("t_line" in fold.embeddings for fold in self.folds)

    def scores(self, *path: str) -> list[float | None]:
        """A score of every fold by its place in result.json; None where it is undefined or missing."""
        return [_at(fold.result["scores"], path) for fold in self.folds]

    def values(self, *path: str) -> np.ndarray:
        """The same, of the folds that define it, Float[at most folds]."""
        return np.array([value for value in self.scores(*path) if value is not None], np.float64)

    def counts(self) -> np.ndarray:
        """Of true class (row) and predicted class (column) in the test part of every fold, Int[F, C, C]."""
        size = len(self.taxonomy.classes)
        flat = [np.bincount(fold.true * size + fold.predicted, minlength=size * size) for fold in self.folds]
        return np.array(flat).reshape(-1, size, size)

    def together(self, name: str) -> np.ndarray:
        """An array of the folds' test cells ("true", "predicted", "probabilities", "raw_t"), one after another."""
        return np.concatenate([getattr(fold, name) for fold in self.folds])


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """All runs in these folders, each under a title of its own.

    Args:
        folders: Of runs, or of sets of runs (guides, baselines, strategies), of which every one is taken.

    Raises:
        InputError: for a folder that is no run, or in which no fold is finished, or a damaged file.
    """
    found = {path.resolve(): path for folder in folders for path in _members(folder)}
    runs = [_read(path) for path in found.values()]
    if len(runs) == 1:
        return [replace(runs[0], alone=True)]
    methods = [run.method for run in runs]
    # Long names that differ in their last words would look alike where a figure cuts them short.
    return [run if methods.count(run.method) == 1 else replace(run, title=_short(run.folder, runs)) for run in runs]


def _short(folder: Path, runs: Sequence[Run]) -> str:
    """The last parts of the folder's path, as many as tell it from all others."""
    others = [run.folder.resolve().parts for run in runs if run.folder.resolve() != folder.resolve()]
    titles = {run.method for run in runs}
    parts = folder.resolve().parts
    for n in range(1, len(parts)):
        name = "/".join(parts[-n:])
        if name not in titles and all(other[-n:] != parts[-n:] for other in others):
            return name
    return str(folder.resolve())


def _members(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the folder of a run, as in runs/smr/NAME")
    if _fold_folders(folder):
        return [folder]
    within = {path.parent.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/fold_*/result.json")}
    if within:
        return sorted(within)
    if (folder / "config.json").exists():
        raise InputError(f"{folder}: no fold of this run is finished yet; wait for the first one")
    raise InputError(f"{folder}: is not the folder of a run; give one that holds config.json and fold_0")


def _fold_folders(folder: Path) -> list[Path]:
    numbered = [path.parent for path in folder.glob("fold_*/result.json") if path.parent.name[5:].isdigit()]
    return sorted(numbered, key=lambda path: int(path.name[5:]))


def _read(folder: Path) -> Run:
    # The runs of a set of baselines or strategies share the set's files.
    home = next(
        (path for path in (folder, *list(folder.resolve().parents)[:2]) if (path / "config.json").exists()), None
    )
    if home is None:
        raise InputError(f"{folder}: config.json is missing; give the whole folder of a run")
    config, about = read_kind(home / "config.json", CONFIG), read_kind(home / "run.json", ABOUT)
    summary = _read_summary(folder)
    title, finished = summary.get("title", one_line(folder.resolve().name)), bool(summary)
    if home != folder:
        title, finished = _in_set(home, folder.resolve().relative_to(home.resolve()).as_posix())
    results = [(path, read_result(path)) for path in _fold_folders(folder)]
    classes = tuple(results[0][1]["scores"]["per_class"])
    matrix = about.get("severity", {}).get("matrix")
    if matrix is not None and {len(classes)} != {len(matrix), *map(len, matrix)}:
        raise InputError(f"{home / 'run.json'}: its severities are not of {len(classes)} classes; bring it back")
    taxonomy = _taxonomy(folder, config, classes)
    folds = tuple(read_fold(path, result, taxonomy) for path, result in results)
    return Run(folder, title, title, config, about, summary, taxonomy, folds, finished)


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    return read_kind(path, SUMMARY) if path.exists() else {}


def _in_set(home: Path, name: str) -> tuple[str, bool]:
    """Title of a part of a set, and whether it is finished, from the set's summary if there is one."""
    summary = _read_summary(home)
    if name in summary.get("methods", {}):
        one = summary["methods"][name]
        group = NAMES.get(one["group"], one["group"])
        return one["title"] if group in ("network", "embedding") else f"{group}, {one['title']}", True
    if name in summary.get("rows", {}):
        one = summary["rows"][name]
        return f"{NAMES.get(one['encoder'], one['encoder'])}, {one['init']}", True
    return name, False


def _taxonomy(folder: Path, config: dict[str, Any], classes: tuple[str, ...]) -> Taxonomy:
    """As the run kept it, or of older runs, as its options say."""
    if (folder / "taxonomy.json").exists():
        try:
            return for_classes(classes, own=read_taxonomy(folder / "taxonomy.json"))
        except InputError as error:
            raise InputError(f"{folder}: {error}") from None
    data = config.get("data", {})
    given = str(data.get("taxonomy") or "")
    own = load_taxonomy(given) if given in BUNDLED or (given and Path(given).exists()) else None
    lineages = parse_lineages(data.get("lineages", ()))
    # A task may have left out classes, and with them lineages that the options name.
    kept = tuple(line for line in lineages if set(line.classes) <= set(classes))
    return for_classes(classes, kept, own=own, name=Path(str(data.get("data", "cells"))).name)


def _at(scores: Any, path: Sequence[str]) -> float | None:
    for name in path:
        scores = scores.get(name) if isinstance(scores, dict) else None
    return None if scores is None else float(scores)
