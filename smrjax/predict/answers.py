"""From the readings of one fold, or of several as an ensemble, to one answer a cell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smrjax.evaluate.scores import least_severe
from smrjax.predict.reader import Readings
from smrjax.taxonomy import Taxonomy

#: Two adjacent stages whose probabilities lie closer than this are not told apart. One SVM alone is seldom in such
#: doubt: its probabilities follow from votes between pairs of classes, which are whole numbers. Several folds are.
BORDERLINE = 0.2


@dataclass(frozen=True)
class Answers:
    """What is said of n cells; maturity is NaN for cells whose class is in no lineage with a curve.

    Attributes:
        predicted: Class, Int[n].
        second: The likeliest of the other classes, Int[n]; the same class where there is but one.
        probabilities: Of every class, the mean over folds, Float64[n, C].
        lineage: Of the predicted class, Int[n]; -1 where it has none.
        t: Maturity along the curve of that lineage, from 0 to 1, Float64[n].
        raw_t: The same, below 0 or above 1 beyond the curve's ends: the mean over folds, Float64[n].
        distance: To that curve, the mean over folds, Float64[n].
        off_curve_ratio: That distance in units of the limit, the mean over folds, Float64[n].
        unfamiliar_ratio: Distance to the training embeddings in units of the limit, the mean over folds, Float64[n].
        borderline: The two likeliest classes are adjacent stages of one lineage and about as likely, Bool[n].
        off_curve: Farther from the curve than 99 % of the validation cells of its lineage, Bool[n].
        unfamiliar: Farther from the training embeddings than 99 % of the validation cells, Bool[n].
    """

    predicted: np.ndarray
    second: np.ndarray
    probabilities: np.ndarray
    lineage: np.ndarray
    t: np.ndarray
    raw_t: np.ndarray
    distance: np.ndarray
    off_curve_ratio: np.ndarray
    unfamiliar_ratio: np.ndarray
    borderline: np.ndarray
    off_curve: np.ndarray
    unfamiliar: np.ndarray


def answer(
    readings: Sequence[Readings],
    taxonomy: Taxonomy,
    *,
    severity: np.ndarray | None = None,
    borderline: float = BORDERLINE,
) -> Answers:
    """One answer a cell.

    Args:
        readings: Of each fold, of the same n cells.
        taxonomy: Of the run's classes.
        severity: Decide for the class of least expected severity under this matrix, Float[C, C]; None: the likeliest.
        borderline: See `BORDERLINE`.

    Raises:
        ValueError: for no readings.
    """
    if not readings:
        raise ValueError("there is nothing to answer from: give the readings of one fold or more")
    p = np.mean([one.probabilities for one in readings], axis=0)
    predicted = p.argmax(1) if severity is None else least_severe(p, severity)
    lineage = taxonomy.lineage_index()[predicted]

    def of_lineage(values: Callable[[Readings], dict[str, np.ndarray]]) -> np.ndarray:
        """The mean over folds, each cell's in the lineage of its class."""
        found = np.full(len(p), np.nan)
        for index, line in enumerate(taxonomy.lineages):
            if line.name in values(readings[0]):
                rows = lineage == index
                found[rows] = _mean([values(one)[line.name][rows] for one in readings])
        return found

    raw_t = of_lineage(lambda one: one.raw_t)
    off_curve = of_lineage(lambda one: one.off_curve)
    unfamiliar = _mean([one.unfamiliar for one in readings])
    return Answers(
        predicted=predicted,
        second=_second(p, predicted),
        probabilities=p,
        lineage=lineage,
        t=np.clip(raw_t, 0, 1),
        raw_t=raw_t,
        distance=of_lineage(lambda one: one.distance),
        off_curve_ratio=off_curve,
        unfamiliar_ratio=unfamiliar,
        borderline=_borderline(p, taxonomy, borderline),
        off_curve=off_curve > 1,
        unfamiliar=unfamiliar > 1,
    )


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over those folds that know a value, Float64[n]; NaN where none does."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _second(p: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    others = p.copy()
    if p.shape[1] > 1:
        others[np.arange(len(p)), predicted] = -1
    return others.argmax(1)


def _borderline(p: np.ndarray, taxonomy: Taxonomy, closer_than: float) -> np.ndarray:
    """Whether the two likeliest classes are adjacent stages of one lineage, and closer than that."""
    if p.shape[1] < 2:
        return np.zeros(len(p), bool)
    first = p.argmax(1)
    second = _second(p, first)
    line, stage, rows = taxonomy.lineage_index(), taxonomy.stage(), np.arange(len(p))
    adjacent = (line[first] >= 0) & (line[first] == line[second]) & (np.abs(stage[first] - stage[second]) == 1)
    return adjacent & (p[rows, first] - p[rows, second] < closer_than)
