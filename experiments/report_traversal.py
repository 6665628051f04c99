"""Section of the report with real cells in the order of the curves, and those of another set beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from experiments.report_cells import Images
from experiments.report_predictions import Predicted
from experiments.report_runs import Run
from smrjax.report import Strip, along, traversal_figure
from smrjax.report.page import Html, Section, figure, subtitle, words

#: Of so many slides each has a strip of its own; more are shown together.
MOST_SLIDES = 4


@dataclass(frozen=True)
class Placed:
    """Cells with their places on the curves of the lineage that was predicted for them.

    Attributes:
        name: Of the set.
        names: Of the n cells.
        labels: Class of each cell, Int[n]: the labelled one where it is known, else the predicted one.
        lineage: Of the predicted class, names in an array of n, "" outside.
        raw_t: Float[n]; NaN outside.
        read: Names of a few cells -> their images, UInt8[k, S, S, 3]; None if they are gone.
    """

    name: str
    names: tuple[str, ...]
    labels: np.ndarray
    lineage: np.ndarray
    raw_t: np.ndarray
    read: Callable[[Sequence[str]], np.ndarray | None]


def cells_tested(run: Run, images: Images) -> Placed:
    """The test cells of all folds of a run."""
    return Placed(
        f"test cells of {Path(run.data).name}",
        tuple(name for fold in run.folds for name in fold.names),
        run.together("true"),
        np.array([line for fold in run.folds for line in fold.lineage], object),
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
        sets = [cells_tested(run, images[run.title]), *others.get(run.title, ())]
        strips = {}
        for line in run.ordered:
            ends = _ends(sets[0].raw_t[sets[0].lineage == line])
            strips[line] = [strip for one in sets if (strip := _strip(one, line, ends)) is not None]
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
        curve = "the method's own curve" if "t_own" in run.folds[0].embeddings else "a line fitted afterwards"
        says = (
            f"t along {curve}, of the lineage that was predicted. Frames: the labelled class, or the predicted one "
            "where the model knows no such class, or there is no label. Cells are pictured as they are."
        )
        parts += [] if run.alone else [subtitle(run.title)]
        parts.append(figure(path, alt=alt, caption=says))
        shown = {strip.name for own in strips.values() for strip in own}
        gone = [one.name for one in sets if one.name not in shown]
        if gone:
            parts.append(
                words(f"Not shown, for want of cells in a lineage or of their images: {', '.join(gone)}.", "note")
            )
    if parts:
        text = (
            "Single cells in the order in which the model places them. If cells look no older from left to right, do "
            "not read t as maturity."
        )
        parts.insert(0, words(text))
    return Section("Cells in order of maturity", parts)


def _ends(t: np.ndarray) -> tuple[float, float]:
    """Where strips begin and end: with the curve, or where nearly all cells lie if that is further out."""
    t = t[np.isfinite(t)]
    if not len(t):
        return 0.0, 1.0
    low, high = np.quantile(t, [0.02, 0.98])
    return min(0.0, float(low)), max(1.0, float(high))


def _strip(cells: Placed, line: str, ends: tuple[float, float]) -> Strip | None:
    """The strip of one lineage; None without a cell or without images."""
    places, chosen = along(np.where(cells.lineage == line, cells.raw_t, np.nan), *ends)
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


def placed(cells: Predicted) -> list[Placed]:
    """The cells of a prediction with their places: slide by slide where there are few slides, else all together."""
    labels = np.where(cells.same < 0, cells.predicted, cells.same)
    slides = list(dict.fromkeys(cells.groups.tolist()))
    parts = [(f"{cells.title}: {name}", cells.groups == name) for name in slides]
    if not 1 < len(slides) <= MOST_SLIDES:
        parts = [(cells.title, np.ones(len(labels), bool))]
    read = partial(_decode, run=cells.run)
    return [
        Placed(title, tuple(cells.paths[own]), labels[own], cells.lineage[own], cells.raw_t[own], read)
        for title, own in parts
    ]


def _decode(paths: Sequence[str], run: Run) -> np.ndarray | None:
    from smrjax.data.reading import read_images

    (images, reasons), *_ = read_images(paths, size=run.config["data"]["image_size"], batch=len(paths))
    return None if any(reasons) else images
