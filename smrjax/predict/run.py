"""A finished run as those who use it see it: its options, classes and folds, read from its folder alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import InputError
from smrjax.files import read_object, read_rows
from smrjax.predict.model import Judged
from smrjax.taxonomy import Taxonomy, for_classes, load_taxonomy, parse_lineages
from smrjax.taxonomy.stored import read_taxonomy

#: Blocks of options by which runs are known that cannot predict, and what they are runs of.
OTHERS = {"baselines": "experiments.baselines", "strategy": "experiments.strategies"}


@dataclass(frozen=True)
class FinishedRun:
    """A run with a finished fold or more.

    Attributes:
        folder: Of the run.
        title: Of its method.
        config: As in config.json.
        taxonomy: Of its classes.
        folds: That are finished, ascending.
        severity: Decide for the class of least expected severity under this matrix; None: for the likeliest.
    """

    folder: Path
    title: str
    config: dict[str, Any]
    taxonomy: Taxonomy
    folds: tuple[int, ...]
    severity: np.ndarray | None

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.config["data"]["image_size"]


def open_run(folder: Path) -> FinishedRun:
    """Read what a run says of itself.

    Args:
        folder: Of a run of ``experiments.smr``, or of one method of a run of ``experiments.guides``.

    Raises:
        InputError: if it is none of these, is not finished, or cannot be read.
    """
    # Of a part of a run, such as a fold or a row of a table, the options lie above.
    above = (place / "config.json" for place in (folder, *folder.resolve().parents[:2]))
    found = next((path for path in above if path.is_file()), None)
    config = read_object(found) if found else {}
    for block, module in OTHERS.items():
        if block in config:
            raise InputError(f"{folder}: is a run of {module}, which cannot predict; give one of experiments.smr")
    if found != folder / "config.json":
        raise InputError(f"{folder}: there is no run in it; give a folder like runs/smr/NAME, with a config.json")
    folds = finished_folds(folder)
    if not folds:
        inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and finished_folds(path))
        if inner:
            raise InputError(f"{folder}: holds {len(inner)} runs; name one, as in --run {folder / inner[0]}")
        raise InputError(f"{folder}: no fold of this run is finished; go on with it by --resume {folder}")
    try:
        stored = read_object(folder / "run.json", "severity")["severity"]["matrix"]
        taxonomy = _taxonomy(folder, config)
        severity = None
        if config["run"]["decision"] == "severity":
            severity = np.array(stored, np.float64)
            if severity.shape != (len(taxonomy.classes),) * 2 or not np.isfinite(severity).all():
                raise ValueError(f"severities {severity.shape} of {len(taxonomy.classes)} classes")
        # Whatever prediction asks of the options: a run of another version is told now.
        _ = [
            config["data"]["image_size"],
            config["train"]["normalize"],
            config["run"]["tta"],
            config["train"]["epochs"],
        ]
        _ = [
            config["encoder"][name] for name in ("encoder", "embedding_dim", "frozen_stages", "precompute", "bfloat16")
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}: its files lack {error}; the run is of another version, or damaged") from None
    title = folder.name
    if (folder / "summary.json").exists():
        title = str(read_object(folder / "summary.json").get("title", title))
    return FinishedRun(folder, title, config, taxonomy, folds, severity)


def finished_folds(folder: Path) -> tuple[int, ...]:
    """Numbers of the folds of a run that are finished."""
    found = (path.parent.name.removeprefix("fold_") for path in folder.glob("fold_*/result.json"))
    return tuple(sorted(int(number) for number in found if number.isdecimal()))


def choose_folds(run: FinishedRun, fold: int | None) -> tuple[int, ...]:
    """The fold asked for, or all that are finished.

    Raises:
        InputError: if that one is not.
    """
    if fold is None:
        return run.folds
    if fold not in run.folds:
        here = ", ".join(map(str, run.folds))
        raise InputError(f"--fold {fold}: is not among the finished folds of {run.folder}, which are {here}")
    return (fold,)


def judged_cells(run: FinishedRun, folds: Sequence[int]) -> Judged:
    """The test cells of some folds, each as the one network judged it that had not seen it.

    Raises:
        InputError: if a fold's ``predictions.csv`` is missing or is not what the run wrote.
    """
    rows = []
    for fold in folds:
        rows += read_rows(run.folder / f"fold_{fold}" / "predictions.csv")
    classes = run.taxonomy.classes
    try:
        labels, predicted = (
            np.array([classes.index(row[name]) for row in rows], int) for name in ("true", "predicted")
        )
        probabilities = np.array([[float(row[f"p_{code}"]) for code in classes] for row in rows], np.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{run.folder}: its predictions.csv files are not whole ({error})") from None
    return Judged(labels, predicted, probabilities.reshape(-1, len(classes)))


def _taxonomy(folder: Path, config: dict[str, Any]) -> Taxonomy:
    if (folder / "taxonomy.json").exists():
        return read_taxonomy(folder / "taxonomy.json")
    # Of runs begun before they stored it: made again as they made it.
    data, about = config["data"], read_object(folder / "summary.json", "data")["data"]
    own = load_taxonomy(data["taxonomy"]) if data["taxonomy"] else None
    return for_classes(about["classes"], parse_lineages(data["lineages"]), own=own, name=about["name"])
