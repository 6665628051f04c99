"""Section of the report about classes: what cells were taken for, and scores class by class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.report_runs import Run
from experiments.report_words import plus_minus
from smrjax.evaluate import class_scores, mean_shares
from smrjax.report import confusion_figure
from smrjax.report.page import Html, Section, dot, figure, subtitle, table


def classes(runs: Sequence[Run], out: Path) -> Section:
    """Of every run, confusion matrices and scores by class."""
    parts: list[Html] = []
    for run in runs:
        counts = run.counts()
        if not run.alone:
            parts.append(subtitle(run.title))
        # In print, the table has its place below the first matrix.
        parts += [_matrix(run, out), _by_class(run), _matrix(run, out, shares=mean_shares(counts))]
    return Section("Classes and confusion", parts)


def _matrix(run: Run, out: Path, shares: np.ndarray | None = None) -> Html:
    """The confusion matrix in cells, or in shares of each row."""
    counts = run.counts()
    name, what = "counts", "cells of all folds"
    if shares is not None:
        name, what = "shares", "percent of each labelled class, mean over folds"
    path = confusion_figure(
        out / f"confusion-{name}-{run.slug}.png",
        counts=counts.sum(axis=0),
        shares=shares,
        title=f"What cells were taken for: {what}",
        **run.look,
    )
    worst = _worst(counts.sum(axis=0), run.taxonomy.titles)
    alt = f"Confusion matrix of {run.title}, {what}: {counts.sum():,} test cells of {len(counts)} folds. {worst}"
    says = "Rows: labelled class; columns: predicted class; frames: lineages. "
    return figure(path, alt=alt, caption=says + (worst if shares is None else ""))


def _worst(counts: np.ndarray, titles: Sequence[str]) -> str:
    """The most frequent error in words."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    if not wrong.any():
        return "No test cell was taken for another class."
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"The most frequent error: {wrong[row, column]:,} of {counts[row].sum():,} cells labelled {titles[row]} were "
        f"taken for {titles[column]}."
    )


def _by_class(run: Run) -> Html:
    counts = run.counts()
    scores = class_scores(counts)
    order = [c for members in run.lineages.values() for c in members]
    order += [c for c in range(len(run.taxonomy.classes)) if c not in order]
    rows = []
    for c in order:
        name = dot(run.taxonomy.colours[c], run.taxonomy.titles[c])
        values = [plus_minus(one[np.isfinite(one)].tolist()) for one in scores[:, :, c]]
        rows.append([name, run.taxonomy.classes[c], *values, f"{counts[:, c].sum():,}"])
    return table(
        ["Class", "Code", "Precision", "Recall", "F1", "Cells"],
        rows,
        numbers=2,
        caption="Class by class: mean over the folds that hold cells of the class ± half of its 95 % "
        "interval (none for a single fold); cells of all folds.",
    )
