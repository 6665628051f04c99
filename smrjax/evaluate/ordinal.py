"""Scores that know the order of the stages of one lineage: stage errors, weighted kappa, rank correlation."""

from typing import Any

import numpy as np


def off_by_one_accuracy(stage_true: np.ndarray, stage_pred: np.ndarray) -> float | None:
    """Share of cells predicted in the right stage or one beside it.

    Args:
        stage_true: Int[n], 0 is the youngest.
        stage_pred: Int[n]; negative: predicted outside the lineage, which always counts as wrong.

    Returns:
        None without cells.

    >>> off_by_one_accuracy(np.array([0, 1, 2, 2]), np.array([0, 2, 0, -1]))
    0.5
    """
    true, pred = _stages(stage_true, stage_pred)
    if not len(true):
        return None
    return float(((np.abs(true - pred) <= 1) & (pred >= 0)).mean())


def mean_absolute_stage_error(stage_true: np.ndarray, stage_pred: np.ndarray, *, n_stages: int) -> float | None:
    """Mean distance between true and predicted stage.

    Args:
        stage_true: Int[n].
        stage_pred: Int[n]; negative: predicted outside the lineage, at the greatest distance, ``n_stages -
            1``.
        n_stages: Of the lineage.

    Returns:
        None without cells, and in a lineage of one stage, which has no distances.

    >>> mean_absolute_stage_error(np.array([0, 1, 2]), np.array([0, 2, -1]), n_stages=3)
    1.0
    """
    true, pred = _stages(stage_true, stage_pred)
    if not len(true) or n_stages < 2:
        return None
    return float(np.where(pred < 0, n_stages - 1, np.abs(true - pred)).mean())


def quadratic_kappa(stage_true: np.ndarray, stage_pred: np.ndarray, *, n_stages: int) -> float | None:
    """Cohen's kappa with squared distances as weights (Cohen 1968).

    Args:
        stage_true: Int[n].
        stage_pred: Int[n]; negative: predicted outside the lineage. Such cells form one more column whose
            weight is that of the greatest distance, in what was observed and in what chance expects.
        n_stages: Of the lineage.

    Returns:
        1 for perfect agreement, 0 for chance; None without cells, in a lineage of one stage, and where
        chance alone agrees perfectly (all cells in one stage and predicted so).

    >>> quadratic_kappa(np.array([0, 1, 2]), np.array([0, 1, 2]), n_stages=3)
    1.0
    """
    true, pred = _stages(stage_true, stage_pred)
    if not len(true) or n_stages < 2:
        return None
    observed = np.zeros((n_stages, n_stages + 1))
    np.add.at(observed, (true, np.where(pred < 0, n_stages, pred)), 1)
    stages = np.arange(n_stages)
    weights = np.ones_like(observed)
    weights[:, :n_stages] = ((stages[:, None] - stages) / (n_stages - 1)) ** 2
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    chance = (weights * expected).sum()
    return float(1 - (weights * observed).sum() / chance) if chance > 0 else None


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float | None:
    """Kendall's tau-b of two sequences; None with fewer than two finite pairs or where one side is constant.

    Args:
        a: Float[n]; pairs with a value that is not finite are left out.
        b: Float[n].

    >>> kendall_tau(np.array([0.1, 0.4, 0.3]), np.array([0, 1, 2]))
    0.333...
    """
    from scipy.stats import kendalltau

    return _rank_correlation(kendalltau, a, b)


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation; None as in `kendall_tau`.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    from scipy.stats import spearmanr

    value = _rank_correlation(spearmanr, a, b)
    # rounding takes perfect order a hair beyond 1
    return None if value is None else min(1.0, max(-1.0, value))


def lineage_scores(stage_true: np.ndarray, stage_pred: np.ndarray, *, n_stages: int) -> dict[str, Any]:
    """The stage scores of one lineage in both readings.

    Args:
        stage_true: Of the cells whose true class is in the lineage, Int[n].
        stage_pred: Int[n]; negative where the predicted class is outside the lineage.
        n_stages: Of the lineage.

    Returns:
        ``n``; ``in_lineage``: share of cells predicted inside; ``conditional``: scores over those alone;
        ``penalised``: over all cells, those outside at the greatest distance. None where undefined.
    """
    true, pred = _stages(stage_true, stage_pred)
    inside = pred >= 0
    readings = {"conditional": (true[inside], pred[inside]), "penalised": (true, pred)}
    scores = {
        name: {
            "off_by_one_accuracy": off_by_one_accuracy(*pair),
            "mean_absolute_stage_error": mean_absolute_stage_error(*pair, n_stages=n_stages),
            "quadratic_kappa": quadratic_kappa(*pair, n_stages=n_stages),
        }
        for name, pair in readings.items()
    }
    return {"n": len(true), "in_lineage": float(inside.mean()) if len(true) else None} | scores


def _stages(stage_true: np.ndarray, stage_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, pred = np.asarray(stage_true, np.int64), np.asarray(stage_pred, np.int64)
    if true.ndim != 1 or true.shape != pred.shape:
        raise ValueError(f"true stages {true.shape} and predicted stages {pred.shape} are not two equal lists")
    if (true < 0).any():
        raise ValueError("a true stage is negative: give only cells whose true class is in the lineage")
    return true, pred


def _rank_correlation(function: Any, a: np.ndarray, b: np.ndarray) -> float | None:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(function(a, b).statistic)
