"""What a run of training strategies says: Tables 4 and 5 and Figure 4 of BM, learning curves and heat maps."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from experiments.outcome import Judged
from experiments.strategies_explain import explain_row
from experiments.strategies_options import Config, Row
from experiments.strategies_work import Work, fold_numbers
from experiments.summary import versions
from experiments.titles import NAMES
from smrjax.evaluate import FoldScores, confusion, fold_scores, mean_shares
from smrjax.report import classwise_table, confusion_figure, learning_figure, strategies_table
from smrjax.train.folder import atomic, read_json, write_json

SCORES = ("precision", "recall", "f1")


def write_report(config: Config, work: Work, folder: Path) -> list[str]:
    """Write every row's ``report.md`` and pictures, then those of the run, and ``summary.json``.

    Precision, recall and F1 are means of the classes, each a mean over the folds, as in the paper; deviations are those
    of the folds' own means.

    Returns:
        What to print: the table, then the files.
    """
    folds = fold_numbers(config, work)
    counts = {row: np.array([_counts(folder, row, work.judged, fold) for fold in folds]) for row in work.rows}
    scores = {row: fold_scores(one) for row, one in counts.items()}
    for row in work.rows:
        _write_row(config, work, folder, row, counts[row], scores[row])
    table = strategies_table(
        [(title_of(row.encoder), row.init, one.macro_mean, one.macro_deviation) for row, one in scores.items()]
    )
    links = "\n".join(f"- [{title_of(row.encoder)}, {row.init}]({row.folder}/report.md)" for row in work.rows)
    words = f"# Training strategies\n\n{_protocol(config, work)}\n\n{table}\n\n{links}\n"
    if work.left_out:
        words += "\nLeft out:\n\n" + "\n".join(f"- {row}: {reason}" for row, reason in work.left_out.items()) + "\n"
    with atomic(folder / "report.md") as temporary:
        temporary.write_text(words, encoding="utf-8")
    write_json(folder / "summary.json", _summary(work, folder, folds, scores))
    reports = [folder / row.folder / "report.md" for row in work.rows]
    return ["", table, "", *map(str, [*reports, folder / "report.md", folder / "summary.json"])]


def title_of(encoder: str) -> str:
    """A network as tables call it."""
    return NAMES.get(encoder, encoder)


def _result(folder: Path, row: Row, fold: int) -> dict[str, Any]:
    return read_json(folder / row.folder / f"fold_{fold}" / "result.json")


def _curves(fold: int, epoch: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of an epoch: training beside validation."""
    return {
        "fold": fold,
        "epoch": epoch["epoch"] + 1,
        "loss/training": epoch["loss"],
        "loss/validation": epoch["validation_loss"],
        "accuracy/training": epoch["accuracy"],
        "accuracy/validation": epoch["validation_accuracy"],
        "macro_f1": epoch["macro_f1"],
        "learning_rate": epoch["learning_rate"],
    }


def _counts(folder: Path, row: Row, judged: Judged, fold: int) -> np.ndarray:
    """Confusion counts of a fold's test part, Int[C, C]."""
    place = {code: label for label, code in enumerate(judged.cells.classes)}
    with open(folder / row.folder / f"fold_{fold}" / "predictions.csv", newline="") as file:
        pairs = np.array([(place[one["true"]], place[one["predicted"]]) for one in csv.DictReader(file)])
    return confusion(*pairs.T, n_classes=len(place))


def _write_row(config: Config, work: Work, folder: Path, row: Row, counts: np.ndarray, scores: FoldScores) -> None:
    taxonomy, name = work.judged.taxonomy, f"{title_of(row.encoder)}, {row.init}"
    target, folds = folder / row.folder, fold_numbers(config, work)
    table = classwise_table(
        titles=taxonomy.titles,
        codes=taxonomy.classes,
        mean=scores.mean,
        deviation=scores.deviation,
        images=np.bincount(work.judged.cells.labels, minlength=len(taxonomy.classes)),
        macro_mean=scores.macro_mean,
        macro_deviation=scores.macro_deviation,
    )
    drawn = [target / "lr.png"] if (target / "lr.png").exists() else []
    if config.run.pictures:
        epochs = [_curves(fold, one) for fold in folds for one in _result(folder, row, fold)["history"]]
        drawn += [
            confusion_figure(
                target / "confusion.png",
                counts=counts.sum(0),
                shares=mean_shares(counts),
                log=True,
                class_names=taxonomy.titles,
                colours=taxonomy.colours,
                lineages={line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages},
                title=f"{name}: what became of the test cells of each class",
            ),
            learning_figure(target / "learning.png", rows=epochs, title=f"{name}: epoch by epoch"),
        ]
    if config.run.explain:
        drawn += explain_row(config, work, folder, row, name)
    shown = "\n\n".join(f"![{path.stem}]({path.name})" for path in drawn)
    with atomic(target / "report.md") as temporary:
        temporary.write_text(f"# {name}\n\n{_protocol(config, work)}\n\n{table}\n\n{shown}\n", encoding="utf-8")


def _protocol(config: Config, work: Work) -> str:
    """How it was trained, in a paragraph."""
    recipe, cells = config.recipe, work.judged.cells
    words = (
        f"{len(cells):,} cells, {len(cells.classes)} classes; {len(fold_numbers(config, work))} of "
        f"{len(work.judged.nested)} folds; {config.data.image_size} px. SGD, momentum {recipe.momentum:g}, batches of "
        f"{recipe.batch}, {recipe.epochs} epochs at most; the rate is multiplied by {recipe.lr_factor:g} after "
        f"{recipe.lr_patience} epochs without a better validation loss; the epoch of the best validation accuracy is "
        "tested. " + ("Every class is seen equally often." if recipe.balanced else "Every cell is seen equally often.")
    )
    for name, some in work.sets.items():
        words += f" {name}: {len(some):,} images, {len(some.classes)} classes."
    return words


def _summary(work: Work, folder: Path, folds: tuple[int, ...], scores: dict[Row, FoldScores]) -> dict[str, Any]:
    rows = {}
    for row, one in scores.items():
        results = [_result(folder, row, fold) for fold in folds]
        rows[row.folder] = {
            "encoder": row.encoder,
            "init": row.init,
            "mean": dict(zip(SCORES, one.macro_mean.tolist(), strict=True)),
            "deviation": _finite(dict(zip(SCORES, one.macro_deviation.tolist(), strict=True))),
            "folds": [{k: v for k, v in result.items() if k != "history"} for result in results],
        }
    cells = work.judged.cells
    return {
        "rows": rows,
        "data": {"name": cells.name, "sha256": cells.digest, "cells": len(cells), "classes": list(cells.classes)},
        "channels": {name or cells.name: channels._asdict() for name, channels in work.channels.items()},
        "left_out": work.left_out,
        "config": read_json(folder / "config.json"),
        "command": read_json(folder / "run.json")["command"],
        "versions": versions(),
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """Deviations of a single fold are undefined: None, for JSON has no NaN."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
