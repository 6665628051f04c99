"""What a run of training strategies says: Tables 4 and 5 and Figure 4 of BM, learning curves and heat maps."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from experiments.fold_files import read_result
from experiments.kinds import check_kind
from experiments.outcome import read_predictions
from experiments.provenance import origin
from experiments.strategies_explain import explain_row
from experiments.strategies_options import Config, Row
from experiments.strategies_recipe import read_rates
from experiments.strategies_run import failed, pretraining_folder, row_done, stages_of
from experiments.strategies_work import Work, fold_numbers, parts_of
from experiments.titles import NAMES
from smrjax.encoders import IMAGENET_WEIGHTS
from smrjax.errors import InputError
from smrjax.evaluate import FoldScores, confusion, fold_scores, mean_shares
from smrjax.files import atomic, read_json, read_object, write_json
from smrjax.report import classwise_table, confusion_figure, learning_figure, lr_range_figure, strategies_table

SCORES = ("precision", "recall", "f1")
_EPOCH = {"epoch": int} | dict.fromkeys(
    ("loss", "validation_loss", "accuracy", "validation_accuracy", "macro_f1", "learning_rate"), float
)
DEVIATION = "±: sample deviation over the folds, in the last row and in tables of rows that of the folds' own means."


def write_report(config: Config, work: Work, folder: Path) -> list[str]:
    """Write ``report.md`` and ``summary.json`` over the rows that are done, and pages of rows that have none yet.

    Precision, recall and F1 are means of the classes, each a mean over the folds, as in the paper; deviations are those
    of the folds' own means. The paper's are means of the classes' deviations (its Table 5), which are larger;
    ``summary.json`` has both.

    Returns:
        What to print: the table, then the files.

    Raises:
        InputError: if every row was given up.
    """
    rows = [row for row in work.rows if row_done(config, work, folder, row)]
    left_out = work.left_out | {str(row): reason for row in work.rows if (reason := failed(folder, row))}
    if not rows:
        if len(left_out) - len(work.left_out) == len(work.rows):
            raise InputError(f"{folder}: every row was given up; {next(iter(left_out.values()))}")
        return []
    for row in rows:
        if not (folder / row.folder / "report.md").exists():
            write_row(config, work, folder, row)
    scores = {row: fold_scores(_counts(config, work, folder, row)) for row in rows}
    table = strategies_table(
        [(title_of(row.encoder), row.init, one.macro_mean, one.macro_deviation) for row, one in scores.items()]
    )
    links = "\n".join(f"- [{title_of(row.encoder)}, {row.init}]({row.folder}/report.md)" for row in rows)
    words = f"# Training strategies\n\n{_protocol(config, work)}\n\n{table}\n\n{DEVIATION}\n\n{links}\n"
    if left_out:
        words += "\nLeft out:\n\n" + "\n".join(f"- {row}: {reason}" for row, reason in left_out.items()) + "\n"
    with atomic(folder / "report.md") as temporary:
        temporary.write_text(words, encoding="utf-8")
    write_json(folder / "summary.json", _summary(config, work, folder, scores, left_out))
    reports = [folder / row.folder / "report.md" for row in rows]
    return ["", table, "", *map(str, [*reports, folder / "report.md", folder / "summary.json"])]


def title_of(encoder: str) -> str:
    """A network as tables call it."""
    return NAMES.get(encoder, encoder)


def _result(folder: Path, row: Row, fold: int) -> dict[str, Any]:
    place = folder / row.folder / f"fold_{fold}"
    return check_kind(place / "result.json", read_result(place), {"history": [_EPOCH]})


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


def _counts(config: Config, work: Work, folder: Path, row: Row) -> np.ndarray:
    """Confusion counts of the test part of every fold, Int[F, C, C]."""
    classes = work.judged.cells.classes
    pairs = [read_predictions(folder / row.folder / f"fold_{fold}", classes) for fold in fold_numbers(config, work)]
    return np.array([confusion(true, predicted, n_classes=len(classes)) for _, true, predicted in pairs])


def write_row(config: Config, work: Work, folder: Path, row: Row) -> None:
    """Write a finished row's ``report.md`` and pictures."""
    counts = _counts(config, work, folder, row)
    scores = fold_scores(counts)
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
    drawn = []
    if config.run.pictures:
        before = {f"pre-training {stage.init}": folder / pretraining_folder(stage) for stage in stages_of(row)}
        for what, place in {**before, row.init: target}.items():
            if (place / "lr.json").exists():
                drawn.append(_draw_rates(place, f"{title_of(row.encoder)}, {what}: learning rate range test"))
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
    shown = "\n\n".join(f"![{path.stem}]({os.path.relpath(path, target)})" for path in drawn)
    with atomic(target / "report.md") as temporary:
        parts = [f"# {name}", _protocol(config, work), table, DEVIATION, shown]
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _draw_rates(place: Path, title: str) -> Path:
    return lr_range_figure(place / "lr.png", **read_rates(place / "lr.json"), title=title)


def _protocol(config: Config, work: Work) -> str:
    """How it was trained, in a paragraph."""
    recipe, cells, run = config.recipe, work.judged.cells, config.run
    folds = fold_numbers(config, work)
    train, test = parts_of(work, folds[0])
    shares = "/".join(f"{100 * len(part) / len(cells):.0f}" for part in (*train, test))
    views = [name for name, on in (("rotated", recipe.rotation), ("mirrored", recipe.flips)) if on]
    if recipe.min_area < 1:
        views.insert(0, f"random parts of {100 * recipe.min_area:.0f} to 100 % (none in pre-training)")
    words = [
        f"{len(cells):,} cells, {len(cells.classes)} classes; {len(folds)} of "
        f"{len(work.judged.nested)} folds, {shares} % to train, to choose the epoch of the best accuracy, and to test; "
        f"{config.data.image_size} px.",
        f"SGD, momentum {recipe.momentum:g}, batches of {recipe.batch}, every "
        f"{'class' if recipe.balanced else 'cell'} seen equally often, {recipe.epochs} epochs at most; learning rate "
        + ("by range test" if recipe.lr == "auto" else recipe.lr)
        + f", times {recipe.lr_factor:g} after {recipe.lr_patience} epochs without a better validation loss.",
        f"Training images: {', '.join(views) or 'as they are'}; seed {recipe.seed}.",
    ]
    if recipe.lr == "auto" and len(folds) > 1:
        words.append(
            f"A row's range test sees the training cells of fold {folds[0]}, among which are test cells of its other "
            "folds, and its learning rate is that of all folds: their scores may be a little too good."
        )
    if run.tta:
        words.append("Probabilities are averaged over flips and quarter turns.")
    if run.decision == "severity":
        words.append("The class of least expected severity is predicted.")
    for name, domain in work.domains.items():
        words.append(f"Pre-trained on {name}: {len(domain.cells):,} images, {len(domain.cells.classes)} classes.")
    for encoder in dict.fromkeys(row.encoder for row in work.rows if row.begin == "imagenet"):
        words.append(f"ImageNet weights of {title_of(encoder)}: {IMAGENET_WEIGHTS[encoder]}.")
    return " ".join(words)


def _summary(
    config: Config, work: Work, folder: Path, scores: dict[Row, FoldScores], left_out: dict[str, str]
) -> dict[str, Any]:
    rows = {}
    for row, one in scores.items():
        results = [_result(folder, row, fold) for fold in fold_numbers(config, work)]
        rows[row.folder] = {
            "encoder": row.encoder,
            "init": row.init,
            "mean": _finite(one.macro_mean),
            "deviation": _finite(one.macro_deviation),
            "class_deviation": _finite(one.class_deviation),
            "folds": [{k: v for k, v in result.items() if k != "history"} for result in results],
        }
    cells = work.judged.cells
    channels = {name: domain.channels for name, domain in work.domains.items()}
    return {
        "rows": rows,
        "data": {"name": cells.name, "sha256": cells.digest, "cells": len(cells), "classes": list(cells.classes)},
        "channels": {name: one._asdict() for name, one in channels.items()},
        "fold_channels": {str(fold): one._asdict() for fold, one in work.channels.items()},
        "left_out": left_out,
        "config": read_json(folder / "config.json"),
        "duplicates": read_object(folder / "run.json").get("duplicates"),
        "command": read_object(folder / "run.json", "command")["command"],
        **origin(),
    }


def _finite(values: np.ndarray) -> dict[str, float | None]:
    """Scores by name; deviations of a single fold are undefined: None, for JSON has no NaN."""
    return {name: float(v) if np.isfinite(v) else None for name, v in zip(SCORES, values, strict=True)}
