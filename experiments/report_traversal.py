"""Section of the report with real cells in the order of the curves, and those of another set beside them."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.report_cells import Images
from experiments.report_runs import Run
from smrjax.errors import InputError
from smrjax.report import Strip, along, traversal_figure
from smrjax.report.page import Html, Section, figure, subtitle, words


@dataclass(frozen=True)
class Placed:
    """Cells with their places on the curves of the lineage that was predicted for them.

    Attributes:
        name: Of the set.
        names: Of the n cells.
        labels: Class of each cell, Int[n]: the labelled one where it is known, else the predicted one.
        lineage: Of the predicted class, n names, "" outside.
        raw_t: Float[n]; NaN outside.
        read: Names of a few cells -> their images, UInt8[k, S, S, 3]; None if they are gone.
    """

    name: str
    names: tuple[str, ...]
    labels: np.ndarray
    lineage: tuple[str, ...]
    raw_t: np.ndarray
    read: Callable[[Sequence[str]], np.ndarray | None]


def test_cells(run: Run, images: Images) -> Placed:
    """The test cells of all folds of a run."""
    return Placed(
        f"test cells of {Path(run.data).name}",
        tuple(name for fold in run.folds for name in fold.names),
        run.together("true"),
        tuple(line for fold in run.folds for line in fold.lineage),
        run.together("raw_t"),
        images.of,
    )


def traversal(
    runs: Sequence[Run], images: Mapping[str, Images], others: Mapping[str, Sequence[Placed]], out: Path
) -> Section:
    """Of every run a strip of cells per lineage, and of each other set one more.

    Args:
        runs: Shown in detail.
        images: By title of the run.
        others: Title of a run -> sets of cells that it predicted.
        out: Folder of the pictures.
    """
    parts: list[Html] = []
    for run in runs:
        sets = [test_cells(run, images[run.title]), *others.get(run.title, ())]
        strips = {
            line: [strip for one in sets if (strip := _strip(one, line, run)) is not None] for line in run.ordered
        }
        strips = {line: own for line, own in strips.items() if own}
        if not strips:
            continue
        path = traversal_figure(
            out / f"traversal-{run.slug}.png",
            strips=strips,
            class_names=run.taxonomy.classes,
            colours=run.taxonomy.colours,
            lineages=run.lineages,
            title="Cells along the curve, youngest to oldest",
        )
        names = ", ".join(one.name for one in sets)
        alt = f"{run.title}: for {', '.join(strips)} a strip of cells in the order of the model's t ({names})."
        says = "Frames have the colour of the labelled class, or of the predicted one where there is no label."
        parts += [subtitle(run.title)] if len(runs) > 1 else []
        parts.append(figure(path, alt=alt, caption=says))
    if parts:
        text = (
            "Single cells in the order in which the model places them. If cells look no older from left to right, do "
            "not read t as maturity."
        )
        parts.insert(0, words(text))
    return Section("Cells in order of maturity", parts)


def _strip(cells: Placed, line: str, run: Run) -> Strip | None:
    """The strip of one lineage; None without a cell or without images."""
    inside = np.array([name == line for name in cells.lineage], bool)
    t = np.where(inside, cells.raw_t, np.nan)
    places, chosen = along(t)
    here = chosen >= 0
    if not here.any():
        return None
    images = cells.read([cells.names[row] for row in chosen[here]])
    if images is None:
        return None
    sheet = np.zeros((len(places), *images.shape[1:]), np.uint8)
    sheet[here] = images
    return Strip(
        cells.name,
        places,
        np.where(here, cells.raw_t[chosen], np.nan),
        np.where(here, cells.labels[chosen], -1),
        sheet,
    )


def read_predictions(folder: Path, run: Run) -> Placed:
    """Cells of another set with their places, as experiments.predict left them in a folder.

    Args:
        folder: With predictions.csv: path, class, lineage, raw_t of every image.
        run: Whose curves these places are on.

    Raises:
        InputError: if there is no such file, or it is of another run's classes.
    """
    path = folder / "predictions.csv"
    label = {code: i for i, code in enumerate(run.taxonomy.classes)}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["class"]]
        labels = np.array([label[row["class"]] for row in rows], int)
        raw_t = np.array([float(row["raw_t"]) if row["raw_t"] else np.nan for row in rows])
        lineage = tuple(row["lineage"] for row in rows)
        names = tuple(row["path"] for row in rows)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a folder of experiments.predict") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error} is missing or is no class of {run.title}") from None
    return Placed(folder.name, names, labels, lineage, raw_t, lambda few: _decode(few, run))


def _decode(paths: Sequence[str], run: Run) -> np.ndarray | None:
    from smrjax.data.decode import decode

    size = int(run.config["data"]["image_size"])
    try:
        return np.stack([decode(Path(path).read_bytes(), size) for path in paths])
    except OSError:
        return None
