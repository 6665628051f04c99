"""What a comparison of baselines says as a whole: a table, Figure 2 of OOTB, and the best method's confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.fold_files import read_result
from experiments.outcome import Judged, read_predictions
from experiments.provenance import origin
from experiments.titles import NAMES
from smrjax.evaluate import interval, m_score, macro_f1
from smrjax.files import atomic, read_json, read_object, write_json
from smrjax.report import baselines_figure, confusion_figure

#: How groups of methods are called; a feature by its own name.
GROUPS = {"network": "networks", "embedding": "embeddings"}


@dataclass(frozen=True)
class Entry:
    """A method: its folder in the run, the kind or feature that it belongs to, and its name in tables."""

    folder: str
    group: str
    title: str


def write_report(
    folder: Path,
    task: str,
    judged: Judged,
    entries: Sequence[Entry],
    folds: Sequence[int],
    *,
    pictures: bool = True,
) -> list[str]:
    """Write ``summary.json``, ``report.md`` and the pictures from the predictions of every method and fold.

    A method's F1 and m-score are those of the test cells of all folds together, as in the paper's Figure 2d, whose
    counts are the whole data set's.

    Returns:
        What to print: the table, then the files.
    """
    found = {entry: _gather(folder / entry.folder, judged, folds) for entry in entries}
    taxonomy = judged.taxonomy
    write_json(
        folder / "summary.json",
        {
            "task": task,
            "data": {"name": judged.cells.name, "sha256": judged.cells.digest, "cells": len(judged.cells)},
            "classes": list(taxonomy.classes),
            "folds": list(folds),
            "methods": {
                entry.folder: {"group": entry.group, "title": entry.title} | one for entry, one in found.items()
            },
            "config": read_json(folder / "config.json"),
            "duplicates": read_object(folder / "run.json").get("duplicates"),
            "command": read_object(folder / "run.json", "command")["command"],
            **origin(),
        },
    )
    table = _table(found, taxonomy.classes)
    drawn = _draw(folder, task, judged, found) if pictures else []
    words = _protocol(read_json(folder / "config.json"), judged, len(folds))
    with atomic(folder / "report.md") as temporary:
        shown = "\n\n".join(f"![{path.stem}]({path.name})" for path in drawn)
        temporary.write_text(f"# Baselines, task {task}\n\n{words}\n\n{table}\n\n{shown}\n", encoding="utf-8")
    return ["", table, "", *map(str, [*drawn, folder / "report.md", folder / "summary.json"])]


def _protocol(config: dict[str, Any], judged: Judged, folds: int) -> str:
    """How it was compared, in a paragraph."""
    options, data = config["baselines"], config["data"]
    words = (
        f"{len(judged.cells):,} cells, {len(judged.taxonomy.classes)} classes; {folds} of {len(judged.nested)} outer "
        f"folds, {options['inner_folds']} inner folds."
    )
    if options["features"] and options["classifiers"]:
        words += (
            f" Classifiers: {options['sets']} sets of hyper-parameters each, on every feature and fold; "
            f"turned copies of every training cell: {options['copies']}; {', '.join(options['features'])} of images of "
            f"{options['descriptor_size']} px (of networks {data['image_size']} px)."
        )
    if options["networks"]:
        words += (
            f" Networks: {options['network_sets']} sets each, inner folds that judge a set: "
            f"{options['network_parts']}; {data['image_size']} px, {config['train']['epochs']} epochs at most; weights "
            f"at first: {', '.join(options['weights']) or config['encoder']['init']}."
        )
    return words


def _gather(folder: Path, judged: Judged, folds: Sequence[int]) -> dict[str, Any]:
    """Scores of a method on the test cells of all folds together, and fold by fold."""
    pairs = [np.array(read_predictions(folder / f"fold_{fold}", judged.cells.classes)[1:]).T for fold in folds]
    true, predicted = np.concatenate(pairs).T
    scores = judged.scores(true, predicted)
    results = [read_result(folder / f"fold_{fold}") for fold in folds]
    return {
        "scores": scores,
        "by_fold": {
            "macro_f1": interval([macro_f1(*pair.T) for pair in pairs]),
            "m_score": interval([m_score(*pair.T) for pair in pairs]),
        },
        "chosen": [result.get("params") for result in results],
    }


def _group(entry: Entry) -> str:
    return GROUPS.get(entry.group) or NAMES.get(entry.group, entry.group)


def _table(found: dict[Entry, dict[str, Any]], classes: Sequence[str]) -> str:
    """Markdown: a row a method, its scores, and the F1 of every class."""
    heads = ["method", "m-score", "macro-F", "macro-F by fold", "off by one at most", *classes]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for entry, one in found.items():
        scores, by_fold = one["scores"], one["by_fold"]["macro_f1"]
        half = "" if by_fold["low"] is None else f" ± {(by_fold['high'] - by_fold['low']) / 2:.3f}"
        near = [line["penalised"]["off_by_one_accuracy"] for line in scores["lineages"].values()]
        words = [
            f"{_group(entry)}, {entry.title}",
            f"{scores['m_score']:.2f}",
            f"{scores['macro_f1']:.3f}",
            f"{by_fold['mean']:.3f}{half}",
            f"{np.mean(near):.3f}" if near and None not in near else "–",
            *("–" if row["f1"] is None else f"{row['f1']:.2f}" for row in scores["per_class"].values()),
        ]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)


def _draw(folder: Path, task: str, judged: Judged, found: dict[Entry, dict[str, Any]]) -> list[Path]:
    taxonomy = judged.taxonomy
    rows: dict[str, dict[str, tuple[list[float], float]]] = {}
    # As in the paper, networks above features.
    for entry in sorted(found, key=lambda entry: entry.group not in GROUPS):
        scores = found[entry]["scores"]
        f1 = [np.nan if row["f1"] is None else row["f1"] for row in scores["per_class"].values()]
        rows.setdefault(_group(entry), {})[entry.title] = (f1, scores["m_score"])
    best = max(found, key=lambda entry: found[entry]["scores"]["m_score"])
    lineages = {line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages}
    return [
        baselines_figure(
            folder / "baselines.png",
            scores=rows,
            class_names=taxonomy.titles,
            colours=taxonomy.colours,
            title=f"Task {task}: features with classifiers, and networks",
        ),
        confusion_figure(
            folder / "confusion.png",
            counts=np.array(found[best]["scores"]["confusion"]),
            class_names=taxonomy.titles,
            colours=taxonomy.colours,
            lineages=lineages,
            title=f"Task {task}: {_group(best)}, {best.title}, the highest m-score on these cells",
        ),
    ]
