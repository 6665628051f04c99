"""Run folders that no training made: a few cells, random embeddings, and every file that a report reads."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.config import DataOptions
from experiments.prepare import read_cells
from smrjax.evaluate import calibrate, compare_readouts, fit_svm_at, score_report
from smrjax.files import write_arrays
from smrjax.taxonomy.stored import to_json

#: Codes as strangers write them: the second would be a script, were it not escaped.
CLASSES = ("A", "<script>alert(1)</script>", "C & D", "other")
LINEAGE = "line <b>"
PER_CLASS, FOLDS, DIM, SIZE = 9, 3, 5, 16


def write_cells(folder: Path) -> Path:
    """A manifest of small images, nine of each class; returns its path."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = []
    for label, code in enumerate(CLASSES):
        for k in range(PER_CLASS):
            name = f"{label}-{k}.png"
            Image.fromarray(rng.integers(60 * label, 60 * label + 60, (SIZE, SIZE, 3)).astype(np.uint8)).save(
                folder / name
            )
            rows.append([name, code])
    with open(folder / "cells.csv", "w", newline="") as out:
        csv.writer(out).writerows([["path", "label"], *rows])
    return folder / "cells.csv"


def options(manifest: Path) -> DataOptions:
    """How a run reads these cells."""
    lineage = f"{LINEAGE}={','.join(CLASSES[:3])}"
    return DataOptions(
        data=str(manifest), image_size=SIZE, lineages=(lineage,), folds=FOLDS, cache=manifest.parent.parent / "cache"
    )


def make_run(
    folder: Path,
    manifest: Path,
    *,
    title: str,
    seed: int,
    right: float = 0.7,
    method: str = "smr",
    folds: tuple[int, ...] = (0, 1, 2),
    shift: int = 0,
    finished: bool = True,
    reduced: bool = False,
) -> Path:
    """A run folder in which `right` of the cells are right by chance; `shift` deals the cells out to other folds."""
    data = options(manifest)
    cells, taxonomy = read_cells(data, SIZE)
    n, rng = len(cells), np.random.default_rng(seed)
    fold_of = (np.arange(n) // (1 + shift)) % FOLDS
    stored = {"data": {**vars(data), "data": str(manifest), "cache": str(data.cache)}}
    severity = 1 + (np.arange(16).reshape(4, 4) % 5)
    config = {**stored, "smr": {"method": method}, "train": {"epochs": 2, "seed": 0}}
    config["together"] = {"coordinator": "node1:1234", "processes": 2, "process_id": 0}
    _write(folder / "config.json", config)
    _write(
        folder / "run.json",
        {"command": "python -m experiments.smr", "cells": cells.digest, "severity": {"matrix": severity.tolist()}},
    )
    if finished:
        origin = {
            "device": {"kind": "abacus", "count": 2, "processes": 2},
            "git": {"commit": "0af" * 13, "changed": True},
        }
        _write(folder / "summary.json", {"title": title, "versions": {"jax": "0"}} | origin)
    stage, lineage = taxonomy.stage(), taxonomy.lineage_index()
    about = {"stage": stage, "lineage_index": lineage, "lineages": [LINEAGE]}
    for fold in folds:
        target = folder / f"fold_{fold}"
        target.mkdir()
        y = cells.labels
        predicted = np.where(rng.random(n) < right, y, rng.integers(0, len(CLASSES), n)).astype(int)
        chances = rng.dirichlet(np.ones(len(CLASSES)), n)
        chances = 0.4 * chances + 0.6 * np.eye(len(CLASSES))[predicted]
        t = np.where(lineage[y] >= 0, stage[y] / 2 + 0.2 * rng.normal(size=n), np.nan)
        raw_t = np.where(lineage[predicted] >= 0, stage[predicted] / 2 + 0.2 * rng.normal(size=n), np.nan)
        part = np.where(fold_of == fold, 2, np.where(fold_of == (fold + 1) % FOLDS, 1, 0)).astype(np.int8)
        test = np.flatnonzero(part == 2)
        names = ("own", "line", "bezier") if method == "smr" else ("line", "bezier")
        arrays = {f"t_{name}": t + 0.01 * i for i, name in enumerate(names)}
        arrays |= {f"missed_{name}": np.abs(t) for name in names}
        arrays |= {"embeddings": rng.normal(size=(n, DIM)), "labels": y, "predicted": predicted, "part": part}
        if reduced:
            arrays["place"] = rng.normal(size=(n, 2))
        np.savez(target / "embeddings.npz", **arrays)
        control = rng.normal(size=(1, 3, 2 if reduced else DIM))
        curves = {f"control_{LINEAGE}": control, f"targets_{LINEAGE}": np.array([0.0, 0.5, 1.0])}
        np.savez(target / "curves.npz", **curves, **{f"boundaries_{m}_{LINEAGE}": np.array([0.2, 0.7]) for m in names})
        with open(target / "predictions.csv", "w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(["path", "true", "predicted", *(f"p_{c}" for c in CLASSES), "lineage", "raw_t"])
            for row in test:
                inside = np.isfinite(raw_t[row])
                rows.writerow(
                    [cells.names[row], CLASSES[y[row]], CLASSES[predicted[row]], *chances[row]]
                    + ([LINEAGE, raw_t[row]] if inside else ["", ""])
                )
        scores = score_report(y[test], predicted[test], classes=cells.classes, severity=severity, **about)
        readouts = {name: arrays[f"t_{name}"][test] for name in names}
        scores["readouts"] = compare_readouts(readouts, y[test], **about)
        history = [
            {
                "epoch": e,
                "loss": 1.0 / (e + 1),
                "loss/triplet": 0.5,
                "span/x": 1.0,
                "beyond/x": 0.1,
                "warnings": ["flat"],
            }
            for e in range(2)
        ]
        _write(target / "result.json", {"fold": fold, "scores": scores, "history": history})
    return folder


def make_able(folder: Path) -> Path:
    """What a prediction needs of a run, too: a network, if only in name, and for every fold a classifier."""
    config = json.loads((folder / "config.json").read_text())
    config["train"] |= {"epochs": 0, "normalize": True}
    names = ("encoder", "embedding_dim", "frozen_stages", "precompute", "bfloat16")
    config["encoder"] = dict(zip(names, ("densenet_tiny", DIM, 0, False, False), strict=True))
    config["run"] = {"tta": False, "decision": "likeliest"}
    _write(folder / "config.json", config)
    _write(folder / "taxonomy.json", to_json(read_cells(options(Path(config["data"]["data"])), SIZE)[1]))
    write_arrays(folder / "untrained.npz", {"params": {"w": np.arange(3.0)}, "batch_stats": {}})
    for fold in folder.glob("fold_*"):
        with np.load(fold / "embeddings.npz") as arrays:
            training, validation = ([arrays[k][arrays["part"] == p] for k in ("embeddings", "labels")] for p in (0, 1))
        machine = calibrate(fit_svm_at(*training, C=1.0, gamma=0.2), *validation)
        np.savez(fold / "svm.npz", **vars(machine.model))
    return folder


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, default=lambda value: None if value is None else str(value)))
