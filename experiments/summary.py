"""Sums up the folds of a run: summary.json, predictions.csv, the table and the pictures, all from the fold folders."""

import csv
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.data import CellSet
from smrjax.evaluate.statistics import interval
from smrjax.train.folder import atomic, read_json, write_json

#: Packages whose versions decide about results.
PACKAGES = ("smrjax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn")


def write_summary(folder: Path, cells: CellSet, *, folds: tuple[int, ...], title: str) -> dict[str, Any]:
    """Read the finished folds back and write what a run says as a whole.

    Returns:
        The content of summary.json.
    """
    results = [read_json(folder / f"fold_{fold}" / "result.json") for fold in folds]
    flat = [_flatten(result["scores"]) for result in results]
    names = [name for name in flat[0] if all(isinstance(scores.get(name), (int, float)) for scores in flat)]
    summary = {
        "title": title,
        "scores": {name: interval(np.array([scores[name] for scores in flat])) for name in names},
        "folds": [{k: v for k, v in result.items() if k != "history"} for result in results],
        "config": read_json(folder / "config.json"),
        "data": {"name": cells.name, "sha256": cells.digest, "cells": len(cells), "classes": list(cells.classes)},
        "command": " ".join(["python", "-m", f"experiments.{folder.parent.name}", *sys.argv[1:]]),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }
    write_json(folder / "summary.json", summary)
    _merge_predictions(folder, folds)
    return summary


def _flatten(scores: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in scores.items():
        flat |= _flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _merge_predictions(folder: Path, folds: tuple[int, ...]) -> None:
    with atomic(folder / "predictions.csv") as temporary, open(temporary, "w", newline="") as out:
        writer: Any = None
        for fold in folds:
            with open(folder / f"fold_{fold}" / "predictions.csv", newline="") as one:
                reader = csv.DictReader(one)
                if writer is None:
                    writer = csv.DictWriter(out, ["fold", *(reader.fieldnames or [])], lineterminator="\n")
                    writer.writeheader()
                writer.writerows({"fold": fold} | row for row in reader)


def table(summary: dict[str, Any], columns: dict[str, str]) -> str:
    """The closing table: one row a fold, then mean and 95 % interval.

    Args:
        summary: Of a run.
        columns: Heading -> name of a score; scores that a run lacks are left out.
    """
    shown = {head: name for head, name in columns.items() if name in summary["scores"]}
    lines = ["fold".ljust(8) + "".join(head.rjust(max(len(head) + 3, 12)) for head in shown)]
    for i, fold in enumerate(summary["folds"]):
        values = (summary["scores"][name]["values"][i] for name in shown.values())
        lines.append(str(fold["fold"]).ljust(8) + _cells(shown, (f"{value:.3f}" for value in values)))
    stats = [summary["scores"][name] for name in shown.values()]
    lines.append("mean".ljust(8) + _cells(shown, (f"{s['mean']:.3f}" for s in stats)))
    if len(summary["folds"]) > 1:
        lines.append("± 95 %".ljust(8) + _cells(shown, (f"{(s['high'] - s['low']) / 2:.3f}" for s in stats)))
    return "\n".join(lines)


def _cells(heads: dict[str, str], words: Any) -> str:
    return "".join(word.rjust(max(len(head) + 3, 12)) for head, word in zip(heads, words, strict=True))
