"""What a prediction says as a whole: counts, ``summary.json``, and lines for the screen."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from experiments.predict_work import Job, identity_of_members
from experiments.provenance import versions
from smrjax.data.folder import plain
from smrjax.evaluate import accuracy, confusion, expected_calibration_error, macro_f1_at_support
from smrjax.evaluate.counts import DifferentialCount
from smrjax.files import write_json
from smrjax.predict.counting import count_groups, write_counts, write_ratios
from smrjax.predict.model import WARNING, Model
from smrjax.predict.table import FLAGS, read_columns
from smrjax.taxonomy import Taxonomy, counterparts
from smrjax.taxonomy.stored import to_json

FILES = ("predictions.csv", "predictions.parquet", "counts.csv", "ratios.csv", "summary.json")


def report(
    folder: Path,
    model: Model,
    job: Job,
    *,
    known: Taxonomy,
    within: float,
    rate: float | None,
    command: str,
) -> list[str]:
    """Write ``counts.csv``, ``ratios.csv`` and ``summary.json``, which ends a prediction, and take its parts away.

    Args:
        folder: Of the prediction, with its whole table.
        model: That was asked.
        job: What was done.
        known: Taxonomy of the labels that images came with.
        within: See `smrjax.predict.counting.write_counts`.
        rate: Images a second; None where nothing was left to do.
        command: As it was called.

    Returns:
        Lines for the screen.
    """
    taxonomy = model.taxonomy
    found = read_columns(folder / "predictions.parquet", ["group", "true", "predicted", "unreadable", *FLAGS])
    good = ~found["unreadable"].astype(bool)
    place = {code: label for label, code in enumerate(taxonomy.classes)}
    predicted = np.array([-1 if code is None else place[code] for code in found["predicted"]], int)
    tested = model.tested()
    groups = [group or "" for group in found["group"]]
    confused = confusion(tested.labels, tested.predicted, n_classes=len(taxonomy.classes))
    counts = count_groups(groups, predicted, taxonomy, confused)
    write_counts(folder / "counts.csv", counts, taxonomy, within=within)
    write_ratios(folder / "ratios.csv", counts, taxonomy)
    total = len(good)
    summary: dict[str, Any] = {
        "warning": WARNING,
        "run": {
            "folder": plain(str(model.folder.resolve())),
            "title": model.title,
            "digest": identity_of_members(model.members),
            "folds": list(job.folds),
            "decision": job.decision,
        },
        "images": total,
        "unreadable": int((~good).sum()),
        "flags": {name: int(sum(map(bool, found[name]))) for name in FLAGS},
        "groups": len(set(groups)),
        "test_cells": {
            "of": "each cell by the fold that tested it; for an ensemble's own, cells are wanted that no fold has seen",
            "cells": len(tested.labels),
            "accuracy": accuracy(tested.labels, tested.predicted),
            "expected_calibration_error": expected_calibration_error(tested.probabilities, tested.labels),
        },
        "labels": to_json(known),
        "labelled": _labelled(folder, found["true"], found["predicted"], known, taxonomy),
        "images_per_second": rate,
        "options": dict(job.options) | {"within": within},
        "command": plain(command),
        "versions": versions(),
    }
    write_json(folder / "summary.json", summary)
    shutil.rmtree(folder / "parts")
    return (
        _lines(summary, next(iter(counts.values()), None), taxonomy)
        + [str(folder / name) for name in FILES]
        + [WARNING]
    )


def _labelled(
    folder: Path, true: np.ndarray, predicted: np.ndarray, known: Taxonomy, taxonomy: Taxonomy
) -> dict[str, Any] | None:
    """Scores of the readable images whose class is known, and is one of the run's; None where there are none.

    Macro-F is over the classes that labels name: others can only be wrong here.
    """
    same = counterparts(known, taxonomy)
    named = np.array([code is not None for code in true]) & np.array([code is not None for code in predicted])
    rows = np.array([row for row in np.flatnonzero(named) if true[row] in same], int)
    if not len(rows):
        return None
    place = taxonomy.classes.index
    labels = np.array([place(same[code]) for code in true[rows]])
    answers = np.array([place(code) for code in predicted[rows]])
    columns = read_columns(folder / "predictions.parquet", [f"p_{code}" for code in taxonomy.classes])
    chances = np.stack([column[rows] for column in columns.values()], 1).astype(np.float64)
    return {
        "cells": len(rows),
        "of_other_classes": int(named.sum()) - len(rows),
        "accuracy": accuracy(labels, answers),
        "macro_f1": macro_f1_at_support(labels, answers, support=1),
        "expected_calibration_error": expected_calibration_error(np.clip(chances, 0, 1), labels),
    }


def _lines(summary: dict[str, Any], count: DifferentialCount | None, taxonomy: Taxonomy) -> list[str]:
    folds, total = summary["run"]["folds"], summary["images"]
    asked = f"fold {folds[0]}" if len(folds) == 1 else f"{len(folds)} folds"
    speed = f", {summary['images_per_second']:.0f} images/s" if summary["images_per_second"] else ""
    lines = [f"{summary['run']['title']}, {asked}: {total} images, {summary['unreadable']} unreadable{speed}"]
    if count is not None and count.total:
        lines.append(f"{'class':<10}{'cells':>8}{'share':>9}   {'95 %':<16}{'corrected':>10}   95 %")
        for i, code in enumerate(taxonomy.classes):
            if count.counts[i] and np.isfinite(count.share[i]):
                raw = f"{100 * count.share[i]:8.1f} %   {_ends(count.low[i], count.high[i]):<16}"
                true = f"{100 * count.corrected[i]:8.1f} %   {_ends(count.corrected_low[i], count.corrected_high[i])}"
                lines.append(f"{code:<10}{count.counts[i]:>8}{raw}{true}")
    lines.append("flagged: " + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in summary["flags"].items()))
    if summary["labelled"]:
        known = summary["labelled"]
        lines.append(
            f"of {known['cells']} cells of known class: {known['accuracy']:.3f} right, macro-F {known['macro_f1']:.3f}"
        )
    readable = total - summary["unreadable"]
    if readable and summary["flags"]["unfamiliar"] > 0.1 * readable:
        share = 100 * summary["flags"]["unfamiliar"] / readable
        lines.append(f"{share:.0f} % are unlike the cells that the run was trained on: do not trust it on these images")
    return lines


def _ends(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"
