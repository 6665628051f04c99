"""Sections of the report about maturity: where cells lie on the curves, and real cells in the order of the curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.pictures import TITLES
from experiments.report_cells import Images
from experiments.report_compare import is_triplet_baseline, shared_folds
from experiments.report_folds import Fold, mean_over
from experiments.report_runs import Run
from experiments.report_words import enumerated
from smrjax.report import Readout, maturity_figure
from smrjax.report.page import Html, Section, figure, subtitle, words

#: Cells pictured next to each target.
NEAREST = 2


def maturity(runs: Sequence[Run], baseline: Run, images: Mapping[str, Images], out: Path) -> Section:
    """Of every run with curves the distributions along them: beside the baseline's, or under two readouts."""
    parts: list[Html] = []
    shown: dict[str, Run] = {}
    able = [run for run in runs if run.ordered and run.has_curves]
    for run in able:
        pairs = _beside(run, baseline)
        if run is baseline and any(_beside(other, baseline) for other in able):
            continue  # it stands beside the others
        if pairs:
            sides = [(run, [one for one, _ in pairs]), (baseline, [other for _, other in pairs])]
            title, file = f"{run.title} beside {baseline.title}", f"{run.slug}-beside-{baseline.slug}"
            readouts = [
                _readout(side, folds, _first(side, folds), images[side.title], side.title) for side, folds in sides
            ]
            folds = sides[0][1]
        else:
            folds = list(run.folds)
            title, file = run.title, run.slug
            names = _shown(folds)
            readouts = [_readout(run, folds, name, images[run.title], "") for name in names]
        shown |= {side.title: side for side in (run, baseline) if pairs or side is run}
        labels = np.concatenate([_test(fold, "labels") for fold in folds])
        path = maturity_figure(
            out / f"maturity-{file}.png",
            readouts=readouts,
            labels=labels,
            title="Where test cells lie along their lineage",
            **(run.look | {"lineages": run.ordered}),
        )
        alt = (
            f"{title}: for each class of {', '.join(run.ordered)} the distribution of the position t "
            f"along the curve, with decision boundaries and the nearest cells; {len(labels):,} test cells."
        )
        if not run.alone:
            parts.append(subtitle(title))
        parts.append(figure(path, alt=alt))
        if images[run.title].cells is None:
            parts.append(words(f"No cells are pictured: {images[run.title].reason}", "note"))
    if parts:
        parts.insert(0, words(_in_words(list(shown.values()))))
    return Section("Maturity along the curves", parts)


def _in_words(runs: Sequence[Run]) -> str:
    """What t is, and of which runs its order was taught."""
    own = [run for run in runs if all("t_own" in fold.embeddings for fold in run.folds)]
    none = [run for run in runs if run not in own]
    untaught = [run for run in none if is_triplet_baseline(run)]  # other methods without curves may know an order
    text = (
        "Each cell is placed at the point of its lineage's curve that is nearest to its embedding: t = 0 is the young "
        "end, t = 1 the old one. The lineage is that of the labelled class; of new cells, whose class is predicted, it "
        "is that of the predicted one."
    )
    if own:
        of = "" if not none else f" to {enumerated([run.title for run in own])}"
        text += f" Order between classes was taught{of} by the labels; order within a class was not."
    if none:
        has, whose = ("has", "its") if len(none) == 1 else ("have", "their")
        names = enumerated([run.title for run in none])
        text += f" {names} {has} no curve of {whose} own: t is read along one fitted to the class means afterwards."
    if untaught:
        names = enumerated([run.title for run in untaught])
        text += f" Triplets alone teach no order of stages: what order {names} shows, its embedding has by itself."
    return text


def _beside(run: Run, baseline: Run) -> list[tuple[Fold, Fold]]:
    """The folds in which the run's cells can be drawn beside the baseline's; none of the baseline itself."""
    if run is baseline or not (run.has_curves and baseline.has_curves) or run.lineages != baseline.lineages:
        return []
    return [(one, other) for one, other in shared_folds(run, baseline) if one.names == other.names]


def _first(run: Run, folds: Sequence[Fold]) -> str:
    """The readout by which a run stands beside another: its own curve, else a Bézier curve fitted afterwards."""
    return "own" if all("t_own" in fold.embeddings for fold in folds) else "bezier"


def _shown(folds: Sequence[Fold]) -> list[str]:
    """Up to two readouts of a run that stands alone; one that repeats the first is left out."""
    names = [name for name in TITLES if all(f"t_{name}" in fold.embeddings for fold in folds)]
    first = np.concatenate([_test(fold, f"t_{names[0]}") for fold in folds])
    others = [
        name
        for name in names[1:]
        if not np.allclose(np.concatenate([_test(fold, f"t_{name}") for fold in folds]), first, equal_nan=True)
    ]
    return [names[0], *others[:1]]


def _test(fold: Fold, name: str) -> np.ndarray:
    """An array of a fold's test cells, in the order of the data."""
    arrays = fold.embeddings
    return arrays[name][arrays["part"] == 2]


def _readout(run: Run, folds: Sequence[Fold], name: str, images: Images, title: str) -> Readout:
    """Positions of the test cells of some folds under one readout; what differs between folds as its mean."""
    drawn = "own" if "t_own" in folds[0].embeddings else "line"
    targets, boundaries = {}, {}
    for line, members in run.ordered.items():
        stored = mean_over(folds, f"targets_{line}") if name == drawn else None
        targets[line] = np.linspace(0, 1, len(members)) if stored is None else stored
        changes = mean_over(folds, f"boundaries_{name}_{line}")
        if changes is not None:
            boundaries[line] = changes
    t = np.concatenate([_test(fold, f"t_{name}") for fold in folds])
    words = TITLES[name] if not title else f"{title}: {TITLES[name]}" if name != "own" else title
    return Readout(words, t, targets, boundaries, _nearest(run, folds, name, images))


def _nearest(run: Run, folds: Sequence[Fold], name: str, images: Images) -> dict[int, np.ndarray]:
    """Images of the test cells of each class that lie closest to its target, in all dimensions of the embedding."""
    if images.cells is None or any(f"missed_{name}" not in fold.embeddings for fold in folds):
        return {}
    rows = np.concatenate([np.flatnonzero(fold.embeddings["part"] == 2) for fold in folds])
    labels, missed = (np.concatenate([_test(fold, key) for fold in folds]) for key in ("labels", f"missed_{name}"))
    found = {}
    for c in (c for members in run.ordered.values() for c in members):
        own = np.flatnonzero(labels == c)
        best = own[np.argsort(missed[own], kind="stable")[:NEAREST]]
        found[c] = np.asarray(images.cells.images[rows[best]])
    return found
