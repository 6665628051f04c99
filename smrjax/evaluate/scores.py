"""How good predictions are, from labels alone: per class, macro-F, severity, and the report of one fold.

Scores that an input leaves undefined are None, which JSON can hold, never NaN. Labels are class indices
from 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smrjax.evaluate.ordinal import lineage_scores
from smrjax.evaluate.readouts import maturity_scores

#: Below this F1, a class counts as this much in the m-score (OOTB).
M_SCORE_FLOOR = 0.01


def confusion(y_true: np.ndarray, y_pred: np.ndarray, *, n_classes: int | None = None) -> np.ndarray:
    """Counts of true class (row) and predicted class (column), Int[C, C].

    Args:
        y_true: Int[n].
        y_pred: Int[n].
        n_classes: C; None: up to the highest label.

    Raises:
        ValueError: on lists of unequal length, no cells, or a label outside 0 ... C-1.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]))
    array([[1, 1], [0, 1]])
    """
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    if true.ndim != 1 or true.shape != pred.shape or not len(true):
        raise ValueError(f"true labels {true.shape} and predictions {pred.shape} are not two equal lists of cells")
    highest = int(max(true.max(), pred.max()))
    size = highest + 1 if n_classes is None else n_classes
    if highest >= size or min(true.min(), pred.min()) < 0:
        raise ValueError(f"a label is outside 0 ... {size - 1}")
    return np.bincount(true * size + pred, minlength=size * size).reshape(size, size)


def f1_scores(matrix: np.ndarray) -> np.ndarray:
    """F1 of every class from the confusion matrix, Float[C]; NaN for one neither present nor predicted."""
    total = matrix.sum(axis=0) + matrix.sum(axis=1)
    return np.divide(2.0 * np.diag(matrix), total, out=np.full(len(matrix), np.nan), where=total > 0)


def macro_f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean F1 of the classes that are present or predicted, as scikit-learn's ``f1_score(average="macro")``.

    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]))
    0.666...
    """
    return float(np.nanmean(f1_scores(confusion(y_true, y_pred))))


def macro_f1_at_support(y_true: np.ndarray, y_pred: np.ndarray, *, support: int = 30) -> float | None:
    """Mean F1 of the classes with at least ``support`` true cells; None where there is none.

    In a class of eight cells, one cell moves the macro-F of 21 classes by up to 5 points.
    """
    matrix = confusion(y_true, y_pred)
    large = matrix.sum(axis=1) >= support
    return float(f1_scores(matrix)[large].mean()) if large.any() else None


def accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Share of cells that are right."""
    matrix = confusion(y_true, y_pred)
    return float(np.trace(matrix) / matrix.sum())


def balanced_accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean recall of the classes that are present."""
    matrix = confusion(y_true, y_pred)
    support = matrix.sum(axis=1)
    present = support > 0
    return float((np.diag(matrix)[present] / support[present]).mean())


def m_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Sum of the natural logarithms of the F1 of the classes present or predicted, each at least 0.01.

    Source: OOTB, "m-score". 0 is perfect; weak classes weigh more than in a mean.
    """
    f1 = f1_scores(confusion(y_true, y_pred))
    return float(np.log(np.maximum(f1[np.isfinite(f1)], M_SCORE_FLOOR)).sum())


def misclassification_severity(
    y_true: np.ndarray, y_pred: np.ndarray, severity: np.ndarray, *, normalized: bool = False
) -> float:
    """Mean severity of what was predicted (GUIDES, eq. 5); right predictions cost nothing.

    Args:
        y_true: Int[n].
        y_pred: Int[n].
        severity: Of calling the row's class the column's, Float[C, C], not negative; the diagonal is taken
            as zero.
        normalized: Divide by the worst that could have been predicted for these cells: from 0 to 1.

    Raises:
        ValueError: where the matrix is not square, has negative entries, or lacks a class.

    >>> misclassification_severity(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([[1, 3], [5, 1]]))
    1.0
    """
    s = np.asarray(severity, np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not (s >= 0).all():
        raise ValueError(f"severity {s.shape} is not a square matrix of numbers from 0")
    s = s * (1 - np.eye(len(s)))
    matrix = confusion(y_true, y_pred, n_classes=len(s))
    total = float((s * matrix).sum())
    if not normalized:
        return total / int(matrix.sum())
    worst = float(matrix.sum(axis=1) @ s.max(axis=1))
    return total / worst if worst > 0 else 0.0


def least_severe(probabilities: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """The class of least expected severity: ``argmin_k sum_c p_c S[c, k]`` (Bayes' rule under the cost S).

    Args:
        probabilities: Float[n, C], summing to one.
        severity: Of calling the row's class the column's, Float[C, C]; the diagonal is taken as zero.

    Returns:
        Int[n]; of equally severe classes the likelier one.

    >>> least_severe(np.array([[0.4, 0.6]]), np.array([[0, 5], [1, 0]])).tolist()
    [0]
    """
    p, s = np.asarray(probabilities, np.float64), np.asarray(severity, np.float64)
    if p.ndim != 2 or s.shape != (p.shape[1], p.shape[1]):
        raise ValueError(f"probabilities {p.shape} and severity {s.shape} do not fit")
    expected = p @ (s * (1 - np.eye(len(s))))
    lowest = expected.min(axis=1, keepdims=True)
    return np.where(expected <= lowest + 1e-12 * np.maximum(1, lowest), p, -1.0).argmax(axis=1)


def per_class(y_true: np.ndarray, y_pred: np.ndarray, *, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and support of every class.

    Precision is None for a class that was never predicted, recall for one that has no cells, F1 for one
    with neither.

    Args:
        y_true: Int[n].
        y_pred: Int[n].
        classes: Their names.
    """
    matrix = confusion(y_true, y_pred, n_classes=len(classes))
    hits, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    f1 = f1_scores(matrix)
    return {
        name: {
            "precision": float(hits[i] / predicted[i]) if predicted[i] else None,
            "recall": float(hits[i] / support[i]) if support[i] else None,
            "f1": float(f1[i]) if np.isfinite(f1[i]) else None,
            "support": int(support[i]),
        }
        for i, name in enumerate(classes)
    }


def error_split(
    y_true: np.ndarray, y_pred: np.ndarray, *, stage: np.ndarray, lineage_index: np.ndarray
) -> dict[str, float]:
    """Shares of cells ``correct``, one stage off (``adjacent``), further off (``same_lineage``), ``other``.

    ``other`` is every error from, to or between lineages and classes outside them. The four sum to 1.

    Args:
        y_true: Int[n].
        y_pred: Int[n].
        stage: Of each class, Int[C].
        lineage_index: Of each class, Int[C]; -1 where none.
    """
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    lineage, stage = np.asarray(lineage_index), np.asarray(stage)
    correct = true == pred
    same = ~correct & (lineage[true] == lineage[pred]) & (lineage[true] >= 0)
    adjacent = same & (np.abs(stage[true] - stage[pred]) == 1)
    masks = {
        "correct": correct,
        "adjacent": adjacent,
        "same_lineage": same & ~adjacent,
        "other": ~correct & ~same,
    }
    return {name: float(mask.mean()) for name, mask in masks.items()}


def score_report(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    *,
    classes: Sequence[str],
    stage: np.ndarray,
    lineage_index: np.ndarray,
    lineages: Sequence[str] | None = None,
    t: np.ndarray | None = None,
    true_maturity: np.ndarray | None = None,
    severity: np.ndarray | None = None,
) -> dict[str, Any]:
    """All scores of one set of cells, nested, of plain numbers, text and None: ready for summary.json.

    Args:
        y_true: Int[n].
        y_pred: Int[n].
        classes: Names, C of them.
        stage: Of each class within its lineage, Int[C]; -1 outside.
        lineage_index: Of each class, Int[C]; -1 outside.
        lineages: Their names; None: "0", "1", ...
        t: Place of each cell along the curve of the lineage of its true class, Float[n]; NaN where there is
            none.
        true_maturity: Float[n]; NaN where unknown.
        severity: Float[C, C], see `misclassification_severity`.

    Returns:
        ``n``, ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``macro_f1_support30``, ``m_score``,
        ``errors``, ``per_class``, ``confusion``, and ``lineages``: for each, `lineage_scores` and, with
        ``t``, `maturity_scores`. A lineage without true cells has n = 0 and None in place of its scores.

    Raises:
        ValueError: without cells, or on labels outside the classes.
    """
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    stage, lineage = np.asarray(stage), np.asarray(lineage_index)
    matrix = confusion(true, pred, n_classes=len(classes))
    report: dict[str, Any] = {
        "n": len(true),
        "accuracy": accuracy(true, pred),
        "balanced_accuracy": balanced_accuracy(true, pred),
        "macro_f1": macro_f1(true, pred),
        "macro_f1_support30": macro_f1_at_support(true, pred, support=30),
        "m_score": m_score(true, pred),
        "errors": error_split(true, pred, stage=stage, lineage_index=lineage),
        "per_class": per_class(true, pred, classes=classes),
        "confusion": matrix.tolist(),
        "lineages": {},
    }
    if severity is not None:
        report["misclassification_severity"] = misclassification_severity(true, pred, severity)
        report["misclassification_severity_normalized"] = misclassification_severity(
            true, pred, severity, normalized=True
        )
    names = [str(i) for i in range(int(lineage.max(initial=-1)) + 1)] if lineages is None else lineages
    for i, name in enumerate(names):
        own = lineage[true] == i
        inside = np.where(lineage[pred[own]] == i, stage[pred[own]], -1)
        scores = lineage_scores(stage[true[own]], inside, n_stages=int((lineage == i).sum()))
        if t is not None:
            truth = None if true_maturity is None else np.asarray(true_maturity)[own]
            readout = maturity_scores(np.asarray(t)[own], true[own], stage, true_maturity=truth)
            scores |= {key: value for key, value in readout.items() if key != "n"}
        report["lineages"][name] = scores
    return report
