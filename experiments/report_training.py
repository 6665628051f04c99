"""Sections of the report about training: loss, scores, and the health of curves, epoch by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.report_runs import Run
from smrjax.report import learning_figure
from smrjax.report.page import Html, Section, figure, listing, subtitle, words

#: What a number of the log is called where it tells how curves are: the part before a slash, and the new name.
CURVES = {
    "span": "span: from end to end",
    "straightness": "straightness (1: no curvature)",
    "beyond": "share of cells beyond the ends",
}
#: How to read them.
READING = (
    "Span near zero: youngest and oldest cells cannot be told apart. Straightness is the distance of the ends over the "
    "length of the curve; what it lacks to 1 is the curvature left. Cells beyond the ends lie further out than the "
    "youngest or oldest target."
)
#: What is no number of the training itself.
EMBEDDING = ("effective_rank", "spread")


def training(runs: Sequence[Run], out: Path) -> Section:
    """Learning curves of every run, the diagnostics of its curves, and the warnings of the training in words."""
    parts: list[Html] = []
    for run in runs:
        rows = [{"fold": fold.number} | row for fold in run.folds for row in fold.result.get("history", ())]
        drawn = []
        curved = any(key.split("/")[0] in CURVES for row in rows for key in row)
        health = f"Health of the embedding{' and of the curves' if curved else ''}"
        sheets = (
            ("learning", _training(rows), "Loss with its parts, and scores of the validation cells", ""),
            ("health", _curves(rows), health, READING if curved else ""),
        )
        for name, kept, says, reading in sheets:
            if any(len(row) > 2 for row in kept):
                path = learning_figure(out / f"{name}-{run.slug}.png", rows=kept, title=says)
                alt = f"{says} of {run.title}, against the epoch, one line a fold."
                drawn.append(figure(path, alt=alt, caption=reading))
        warned = _warnings(rows)
        if warned:
            drawn += [words("In its last epoch the training warned:", "note"), listing(warned)]
        if drawn:
            parts += drawn if run.alone else [subtitle(run.title), *drawn]
    return Section("Training", parts)


def _training(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The log without what tells how the curves are."""
    apart = (*CURVES, *EMBEDDING)
    kept = [{key: value for key, value in row.items() if key.split("/")[0] not in apart} for row in rows]
    # The loss comes first, its sum before its parts.
    return [
        dict(sorted(row.items(), key=lambda item: (not item[0].startswith("loss"), item[0] != "loss"))) for row in kept
    ]


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the log says of the embedding and its curves, under names that explain themselves."""
    kept = []
    for row in rows:
        own: dict[str, Any] = {"fold": row["fold"], "epoch": row["epoch"]}
        for key in EMBEDDING:
            if key in row:
                own[key] = row[key]
        for name, words_ in CURVES.items():
            own |= {f"{words_}/{key.split('/', 1)[1]}": row[key] for key in row if key.startswith(f"{name}/")}
        kept.append(own)
    return kept


def _warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of the last epoch of every fold, each warning once, with its folds."""
    last = {row["fold"]: row for row in rows}
    folds: dict[str, list[str]] = {}
    for fold, row in last.items():
        for warning in row.get("warnings", ()):
            folds.setdefault(str(warning), []).append(str(fold))
    return [f"Fold {', '.join(of)}: {warning}" for warning, of in folds.items()]
