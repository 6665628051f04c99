"""Section of the report about probabilities: whether they are what they claim."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.report_runs import Run
from experiments.report_words import plus_minus, without_runs
from smrjax.evaluate import (
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    wilson,
)
from smrjax.report import Reliability, reliability_figure
from smrjax.report.page import Section, figure, table

#: Fewer than for a score: each is drawn, and needs some cells.
BINS = 10
SCORES = {
    "ECE": expected_calibration_error,
    "Classwise ECE": classwise_calibration_error,
    "Brier score": brier_score,
    "−log likelihood": negative_log_likelihood,
}


def calibration(runs: Sequence[Run], out: Path) -> Section:
    """A reliability diagram of every run that has probabilities, and scores of these."""
    able = [run for run in runs if all(fold.probabilities is not None for fold in run.folds)]
    if not able:
        return Section("Probabilities and calibration", [])
    drawn = [_diagram(run) for run in able]
    path = reliability_figure(
        out / "reliability.png",
        runs=drawn,
        title="Claimed probability of the likeliest class, and how often it is right",
    )
    notes = "; ".join(f"{one.name}: {one.note}" for one in drawn)
    rows = []
    for run in able:
        values = [[score(*pair) for pair in _pairs(run)] for score in SCORES.values()]
        rows.append([run.title, *(plus_minus([v for v in of if v is not None]) for of in values)])
    heads, rows = without_runs(["Run", *SCORES], rows, able)
    return Section(
        "Probabilities and calibration",
        [
            figure(path, alt=f"Reliability diagrams. {notes}.", caption="Test cells of all folds together."),
            table(
                heads,
                rows,
                numbers=0 if able[0].alone else 1,
                caption="Mean over folds ± half of the 95 % interval; of all, less is better. ECE: how far the "
                "probability of the likeliest class is from the share that is right, in 15 bins; classwise: the same "
                "for every class. Brier score: squared distance from the truth, 0 to 2.",
            ),
        ],
    )


def _pairs(run: Run) -> list[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and true classes of every fold."""
    return [(fold.probabilities, fold.true) for fold in run.folds if fold.probabilities is not None]


def _diagram(run: Run) -> Reliability:
    chances, true = np.minimum(run.together("probabilities"), 1.0), run.together("true")
    bins = reliability(chances.max(axis=1), chances.argmax(axis=1) == true, bins=BINS)
    hits = np.where(bins["count"] > 0, np.rint(np.nan_to_num(bins["accuracy"]) * bins["count"]), 0)
    low, high = wilson(hits, bins["count"])
    error = expected_calibration_error(chances, true)
    return Reliability(
        run.title,
        f"ECE {error:.3f}, Brier {brier_score(chances, true):.3f}, {len(true):,} cells",
        bins["confidence"],
        bins["accuracy"],
        low,
        high,
        bins["count"],
    )
