"""A run's own test cells, told as it tells others, to stand beside these."""

from dataclasses import dataclass

import numpy as np

from experiments.report_predictions import FLAGS, Predicted
from smrjax.evaluate import kendall_tau
from smrjax.predict import answer
from smrjax.predict.answers import BORDERLINE
from smrjax.predict.reader import TEST, read
from smrjax.taxonomy import Taxonomy

#: What the run's predictions.csv says of test cells.
_TOLD = ("true", "predicted", "raw_t")


@dataclass(frozen=True)
class Tested:
    """Test cells of the folds that were asked, n of them, each as the one network said that had not seen it.

    Attributes:
        true: Class of the run, Int[n].
        predicted: Int[n].
        lineage: Of the predicted class, n names, "" outside.
        raw_t: Float[n]; NaN outside.
        flags: Name in `FLAGS` -> share of the cells.
    """

    true: np.ndarray
    predicted: np.ndarray
    lineage: np.ndarray
    raw_t: np.ndarray
    flags: dict[str, float]


def tested(cells: Predicted) -> Tested:
    """The test cells of the folds that a prediction asked, flagged by the limits it was made with."""
    true, predicted, raw_t = (np.concatenate([getattr(fold, name) for fold in cells.folds]) for name in _TOLD)
    lineage = np.array([line for fold in cells.folds for line in fold.lineage], object)
    return Tested(true, predicted, lineage, raw_t, _flags(cells))


def _flags(cells: Predicted) -> dict[str, float]:
    run, about = cells.run, cells.about
    severity = run.severity if about["run"].get("decision") == "severity" else None
    borderline = float(about.get("options", {}).get("borderline", BORDERLINE))
    found: dict[str, list[np.ndarray]] = {name: [] for name in FLAGS}
    for fold in cells.folds:
        z = fold.embeddings["embeddings"][fold.embeddings["part"] == TEST]
        said = answer([read(cells.readers[fold.number], z)], run.taxonomy, severity=severity, borderline=borderline)
        for name, of in found.items():
            of.append(getattr(said, name))
    return {name: float(np.concatenate(of).mean()) for name, of in found.items()}


def in_both(own: Tested, cells: Predicted) -> np.ndarray:
    """Which of a run's own test cells are of classes that other cells have, too, Bool[n].

    All, where these have no label that the run knows.
    """
    known = cells.same[cells.same >= 0]
    return np.isin(own.true, known) if len(known) else np.ones(len(own.true), bool)


@dataclass(frozen=True)
class Order:
    """How t orders the labelled stages of a lineage.

    Attributes:
        tau: Kendall's tau-b of t and the labelled stage.
        stages: Codes of the stages that are there, youngest first.
        labelled: Cells of these stages.
        taken: Those of them that are taken for cells of the lineage, so that their t is along its curve.
    """

    tau: float
    stages: list[str]
    labelled: int
    taken: int


def orders(cells: Predicted | Tested, lines: list[tuple[str, list[int]]], known: Taxonomy) -> dict[str, Order]:
    """By lineage of the run; only where tau is defined.

    Args:
        cells: Of any kind.
        lines: Lineages of the run, each with its classes in ``known``, youngest first.
        known: Taxonomy of the labels.
    """
    found, stage = {}, known.stage()
    for name, members in lines:
        labelled = np.isin(cells.true, members)
        rows = labelled & (cells.lineage == name) & np.isfinite(cells.raw_t)
        tau = kendall_tau(cells.raw_t[rows], stage[cells.true[rows]])
        if tau is not None:
            here = set(cells.true[rows].tolist())
            codes = [known.classes[c] for c in members if c in here]
            found[name] = Order(tau, codes, int(labelled.sum()), int(rows.sum()))
    return found
