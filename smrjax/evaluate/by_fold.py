"""Precision, recall and F1 over the folds of a cross-validation, by class and as macro means (BM, Tables 4 and 5).

Everything follows from the confusion counts of each fold. A class without test cells in a fold has no scores there and
is left out of the means over that fold; a class that is never predicted, though it has cells, has precision and F1
zero, as scikit-learn's ``precision_recall_fscore_support(labels=np.unique(y_true), zero_division=0)``. Deviations are
those of a sample (``ddof=1``, as in torch and pandas): in the paper's Table 5, abnormal eosinophils have a precision of
0.400 ± 0.548, which is that of 1, 1, 0, 0, 0.
"""

import warnings
from dataclasses import dataclass

import numpy as np

#: What the first axis of scores stands for.
SCORES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class FoldScores:
    """Scores over folds; the first axis is `SCORES`. NaN is undefined: a class without cells, a deviation of one fold.

    Attributes:
        mean: Over the folds, of every class, Float[3, C].
        deviation: Over the folds, of every class, Float[3, C].
        macro_mean: Mean of the class means, Float[3].
        macro_deviation: Over the folds, of a fold's mean over its classes, Float[3].
        class_deviation: Mean of the class deviations, Float[3]. It is what the paper gives as the deviation of its
            mean row (Table 5) and of its macro scores (Table 4); where classes do not rise and fall together, it is
            larger than ``macro_deviation``.
    """

    mean: np.ndarray
    deviation: np.ndarray
    macro_mean: np.ndarray
    macro_deviation: np.ndarray
    class_deviation: np.ndarray


def fold_scores(counts: np.ndarray) -> FoldScores:
    """Means and deviations of precision, recall and F1.

    Args:
        counts: Of true class (row) and predicted class (column) in the test part of every fold, Int[F, C, C].

    Raises:
        ValueError: for counts of another shape, without a fold, or below zero.

    Example:
        >>> fold_scores(np.array([[[2, 0], [0, 2]], [[1, 1], [0, 2]]])).macro_mean.round(3).tolist()
        [0.917, 0.875, 0.867]
    """
    scores = class_scores(counts)
    mean, deviation = _over(scores)
    _, macro_deviation = _over(_mean(scores, axis=2))
    return FoldScores(
        mean=mean,
        deviation=deviation,
        macro_mean=_mean(mean, axis=1),
        macro_deviation=macro_deviation,
        class_deviation=_mean(deviation, axis=1),
    )


def class_scores(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 of every class in every fold, Float[3, F, C]; NaN without test cells.

    Args:
        counts: Int[F, C, C], as in `fold_scores`.

    Raises:
        ValueError: as `fold_scores`.
    """
    counts = _checked(counts)
    hits, support, predicted = np.einsum("fcc->fc", counts), counts.sum(axis=2), counts.sum(axis=1)
    scores = np.stack(
        [hits / np.maximum(predicted, 1), hits / np.maximum(support, 1), 2 * hits / np.maximum(support + predicted, 1)]
    )
    return np.where(support > 0, scores, np.nan)


def mean_shares(counts: np.ndarray) -> np.ndarray:
    """The confusion matrix of BM, Figure 4: shares of each row, averaged over the folds in which the row has cells.

    Args:
        counts: Int[F, C, C], as in `fold_scores`.

    Returns:
        Float[C, C], of true class (row) and predicted class (column); a row sums to one, or is NaN without cells.

    Raises:
        ValueError: as `fold_scores`.

    Example:
        >>> mean_shares(np.array([[[1, 3], [0, 5]], [[1, 1], [0, 0]]])).tolist()
        [[0.375, 0.625], [0.0, 1.0]]
    """
    counts = _checked(counts)
    support = counts.sum(axis=2, keepdims=True)
    return _mean(np.where(support > 0, counts / np.maximum(support, 1), np.nan), axis=0)


def _checked(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 3 or counts.shape[1] != counts.shape[2] or not counts.size or (counts < 0).any():
        raise ValueError(f"confusion counts {counts.shape} are not folds x classes x classes of numbers from 0")
    return counts


def _mean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Mean of what is defined; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns of what is meant here
        return np.nanmean(values, axis=axis)


def _over(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample deviation over the folds, the second axis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=1), np.nanstd(values, axis=1, ddof=1)
