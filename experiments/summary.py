"""Sums up the folds of a run: summary.json, predictions.csv, the table and the pictures, all from the fold folders."""

import csv
from pathlib import Path
from typing import Any

from experiments.fold_files import read_result
from experiments.provenance import origin
from smrjax.data import CellSet
from smrjax.evaluate.statistics import interval
from smrjax.files import atomic, read_json, read_object, read_rows, write_json


def write_summary(folder: Path, cells: CellSet, *, folds: tuple[int, ...], title: str) -> dict[str, Any]:
    """Read the finished folds back and write what a run says as a whole.

    Returns:
        The content of summary.json.

    Raises:
        InputError: if a file of a fold is damaged.
    """
    run = read_object(folder / "run.json", "command", "severity")
    results = [read_result(folder / f"fold_{fold}") for fold in folds]
    flat = [_flatten(result["scores"]) for result in results]
    # A score that a fold leaves undefined (the precision of a class never named) is None there and counts elsewhere.
    names = [n for n in dict.fromkeys(n for scores in flat for n in scores) if any(_defined(s.get(n)) for s in flat)]
    summary = {
        "title": title,
        "scores": {
            name: interval([s[name] for s in flat if _defined(s.get(name))])
            | {"values": [s[name] if _defined(s.get(name)) else None for s in flat]}
            for name in names
        },
        "folds": [{k: v for k, v in result.items() if k != "history"} for result in results],
        "config": read_json(folder / "config.json"),
        "data": {"name": cells.name, "sha256": cells.digest, "cells": len(cells), "classes": list(cells.classes)},
        "duplicates": run.get("duplicates"),
        "command": run["command"],
        "severity": run["severity"],
    } | origin()
    _merge_predictions(folder, folds)
    write_json(folder / "summary.json", summary)
    return summary


def _defined(value: Any) -> bool:
    return isinstance(value, (int, float))


def _flatten(scores: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in scores.items():
        flat |= _flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _merge_predictions(folder: Path, folds: tuple[int, ...]) -> None:
    with atomic(folder / "predictions.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer: Any = None
        for fold in folds:
            path = folder / f"fold_{fold}" / "predictions.csv"
            read_rows(path)  # says what is wrong with it
            with open(path, newline="", encoding="utf-8") as one:
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
        lines.append(str(fold["fold"]).ljust(8) + _cells(shown, map(_number, values)))
    stats = [summary["scores"][name] for name in shown.values()]
    lines.append("mean".ljust(8) + _cells(shown, (_number(s["mean"]) for s in stats)))
    if len(summary["folds"]) > 1:
        halves = (None if s["low"] is None else (s["high"] - s["low"]) / 2 for s in stats)
        lines.append("± 95 %".ljust(8) + _cells(shown, map(_number, halves)))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _cells(heads: dict[str, str], words: Any) -> str:
    return "".join(word.rjust(max(len(head) + 3, 12)) for head, word in zip(heads, words, strict=True))
