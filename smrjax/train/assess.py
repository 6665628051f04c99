"""After a training: from embeddings to scores, readouts of maturity, and the files of one fold."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from smrjax.data.cellset import CellSet
from smrjax.evaluate.readouts import compare_readouts, expected_stage
from smrjax.evaluate.scores import least_severe, macro_f1, misclassification_severity, score_report
from smrjax.evaluate.svm import calibrate, fit_svm, save_svm
from smrjax.files import atomic, cell, write_arrays
from smrjax.method import Goal, place_of
from smrjax.taxonomy import Taxonomy
from smrjax.train.along import Readout, decision_boundaries, from_own_stage, own_lineage, read_along


def assess_fold(
    folder: Path,
    *,
    z: np.ndarray,
    cells: CellSet,
    taxonomy: Taxonomy,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    goal: Goal,
    seed: int,
    severity: np.ndarray | None = None,
    decision: str = "likeliest",
) -> dict[str, Any]:
    """Fit the SVM on the training part, score the test part once, and write what others read.

    Files: ``svm.skops`` and ``svm.npz``; ``embeddings.npz`` (all cells; part 0 trained on, 1 validation, 2 test);
    ``curves.npz`` (control points and targets by lineage, of the method's own curves or else of the lines fitted
    afterwards; decision boundaries by readout and lineage); ``reducer.npz`` (the network into the reduced space, where
    the curves live there); ``predictions.csv`` (test cells).

    Args:
        folder: Of the fold.
        z: Embeddings of all cells, Float[N, D].
        cells: All cells.
        taxonomy: Classes and lineages.
        rows: Of the training, validation and test part.
        goal: Of the trained method.
        seed: Of the SVM's folds.
        severity: Of taking a cell of the row's class for one of the column's, Float[C, C], or None.
        decision: "likeliest", or "severity": the class of least expected severity under the probabilities.

    Returns:
        JSON-safe: the SVM's parameters and the scores of the test part.
    """
    train, validation, test = rows
    y = cells.labels
    # The training part is better known to the network than new cells are: it would make the machine too sure.
    svm = calibrate(fit_svm(z[train], y[train], seed=seed), z[validation], y[validation])
    probabilities = svm.probabilities(z, n_classes=len(taxonomy.classes))
    decisions = {"likeliest": svm.predict(z)}
    if severity is not None:
        decisions["severity"] = least_severe(probabilities, severity)
    predicted = decisions[decision]
    readouts, goals = read_along(goal, z, z[train], y[train], taxonomy)
    shown = next(iter(goals.values()), None)
    stage, lineage = taxonomy.stage(), taxonomy.lineage_index()
    own = {name: own_lineage(readout.raw_t, y, taxonomy) for name, readout in readouts.items()}
    missed = {name: own_lineage(from_own_stage(readout, stage[y]), y, taxonomy) for name, readout in readouts.items()}
    if readouts:
        expected = {
            line.name: expected_stage(probabilities, stage, lineage, i) / (len(line.classes) - 1)
            for i, line in enumerate(taxonomy.lineages)
            if len(line.classes) > 1
        }
        own["expected"] = own_lineage(expected, y, taxonomy)
    part = np.zeros(len(y), np.int8)
    part[validation], part[test] = 1, 2

    folder.mkdir(parents=True, exist_ok=True)
    place = {"place": np.asarray(place_of(shown, jnp.asarray(z)))} if shown and shown["reducer"] else {}
    _write_npz(
        folder / "embeddings.npz",
        {"embeddings": z, "labels": y, "predicted": predicted, "part": part}
        | place
        | {f"t_{name}": t for name, t in own.items()}
        | {f"missed_{name}": distance for name, distance in missed.items()},
    )
    if shown:
        _write_npz(
            folder / "curves.npz",
            {f"control_{name}": np.asarray(curve.control) for name, curve in shown["curves"].items()}
            | {f"targets_{name}": np.asarray(t) for name, t in shown["targets"].items()}
            | {
                f"boundaries_{readout}_{name}": places
                for readout, one in goals.items()
                for name, places in decision_boundaries(one, svm, taxonomy).items()
            },
        )
    if shown and shown["reducer"]:
        write_arrays(folder / "reducer.npz", shown["reducer"])
    save_svm(folder / "svm", svm)
    first = next(iter(readouts.values()), None)
    _write_predictions(folder / "predictions.csv", test, cells, taxonomy, predicted, probabilities, first)

    truth = None if cells.maturity is None else cells.maturity[test]
    names = [line.name for line in taxonomy.lineages]
    about: dict[str, Any] = {"stage": stage, "lineage_index": lineage, "lineages": names}
    scores = score_report(y[test], predicted[test], classes=taxonomy.classes, severity=severity, **about)
    if severity is not None:
        scores["decisions"] = {
            name: {
                "macro_f1": macro_f1(y[test], choice[test]),
                "misclassification_severity": misclassification_severity(y[test], choice[test], severity),
            }
            for name, choice in decisions.items()
        }
    scores["readouts"] = compare_readouts(
        {name: t[test] for name, t in own.items()}, y[test], true_maturity=truth, **about
    )
    scores |= _headline(scores, "own" if "own" in goals else "line")
    return {"svm": {"C": svm.C, "gamma": svm.gamma, "cv_macro_f1": svm.cv_score}, "scores": scores}


def _headline(scores: dict[str, Any], readout: str) -> dict[str, float]:
    """The few numbers of a table, each the mean over lineages; left out where no lineage defines it."""

    def mean(values: Iterable[float | None]) -> float | None:
        defined = [value for value in values if value is not None]
        return float(np.mean(defined)) if defined else None

    lines = scores["readouts"]
    found = {
        "off_by_one": mean(one["penalised"]["off_by_one_accuracy"] for one in scores["lineages"].values()),
        "tau_stage": mean(one[readout]["kendall_tau_stage"] for one in lines.values() if readout in one),
        "tau_true": mean(one[readout].get("kendall_tau_true") for one in lines.values() if readout in one),
        "tau_true_within": mean(
            one[readout].get("kendall_tau_true_within") for one in lines.values() if readout in one
        ),
    }
    return {name: value for name, value in found.items() if value is not None}


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def _write_predictions(
    path: Path,
    rows: np.ndarray,
    cells: CellSet,
    taxonomy: Taxonomy,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    readout: Readout | None,
) -> None:
    """One row a cell; maturity along the curve of the *predicted* lineage, as it would be for a new cell."""
    raw_t = own_lineage(readout.raw_t, predicted, taxonomy) if readout else np.full(len(predicted), np.nan)
    distance = own_lineage(readout.distance, predicted, taxonomy) if readout else raw_t
    names = [line.name for line in taxonomy.lineages]
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        heads = ["path", "true", "predicted", *(f"p_{c}" for c in taxonomy.classes)]
        writer.writerow([*heads, "lineage", "t", "raw_t", "distance"])
        for row in rows:
            lineage = taxonomy.lineage_index()[predicted[row]]
            place = ["", "", ""]
            if np.isfinite(raw_t[row]):
                place = [f"{v:.6g}" for v in (np.clip(raw_t[row], 0, 1), raw_t[row], distance[row])]
            writer.writerow(
                [
                    cell(cells.names[row]),
                    cell(taxonomy.classes[cells.labels[row]]),
                    cell(taxonomy.classes[predicted[row]]),
                    *(f"{p:.6g}" for p in probabilities[row]),
                    cell(names[lineage]) if lineage >= 0 else "",
                    *place,
                ]
            )
