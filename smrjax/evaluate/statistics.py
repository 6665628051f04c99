"""Means, intervals and tests over folds and seeds; intervals by resampling patients or slides."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def interval(values: np.ndarray | Sequence[float], *, confidence: float = 0.95) -> dict[str, Any]:
    """Mean, sample deviation and Student's t interval of the mean.

    Folds share training cells, so this interval describes their spread and is somewhat too narrow for the
    mean over all possible data; for a comparison of two methods use `paired_difference`.

    Args:
        values: One a fold, Float[n].
        confidence: Of the interval.

    Returns:
        ``mean``, ``deviation``, ``low``, ``high``, ``n``, ``values``. None for what n leaves undefined: the
        mean at 0, the others below 2.

    >>> interval([1.0, 2.0, 3.0])["mean"]
    2.0
    """
    x = _finite(values).ravel()
    out: dict[str, Any] = {"mean": None, "deviation": None, "low": None, "high": None, "n": len(x)}
    out["values"] = x.tolist()
    if len(x):
        out["mean"] = float(x.mean())
    if len(x) > 1:
        out["deviation"] = float(x.std(ddof=1))
        half = _t_quantile(confidence, len(x) - 1) * out["deviation"] / np.sqrt(len(x))
        out |= {"low": float(out["mean"] - half), "high": float(out["mean"] + half)}
    return out


def paired_difference(
    a: np.ndarray | Sequence[float] | Sequence[Sequence[float]],
    b: np.ndarray | Sequence[float] | Sequence[Sequence[float]],
    *,
    test_to_train: float,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Difference ``a - b`` of two methods scored on the same folds, with the corrected resampled t-test.

    Training parts of different folds overlap, so their scores vary together and the plain t-test claims too
    much. Nadeau & Bengio 2003 replace the variance factor 1/J by 1/J + n_test/n_train; Bouckaert & Frank
    2004 take J as all folds of all repetitions, with J - 1 degrees of freedom.

    Args:
        a: Float[folds] or Float[seeds, folds].
        b: The same shape and order.
        test_to_train: n_test/n_train: 1/4 for six folds of which one is tested and one validates, 1/5 without
            validation.
        confidence: Of the interval.

    Returns:
        ``mean``, ``deviation`` (over all pairs), ``low``, ``high``, ``p`` (two-sided), ``wilcoxon_p``
        (signed ranks of the folds, seeds averaged first because they share the cells; 6 folds cannot go
        below 0.031), ``n``. None below two pairs; without any variation the interval is the mean itself and
        p is 1 (no difference) or 0.

    Raises:
        ValueError: where the shapes differ or are not as above, or ``test_to_train`` is negative.
    """
    x, y = _finite(a), _finite(b)
    if x.shape != y.shape or x.ndim not in (1, 2) or test_to_train < 0:
        raise ValueError(f"scores of shapes {x.shape} and {y.shape} cannot be paired, or test_to_train is negative")
    difference = x - y
    n = difference.size
    out: dict[str, Any] = {"mean": float(difference.mean()) if n else None, "n": n}
    if n < 2:
        return out | {"deviation": None, "low": None, "high": None, "p": None, "wilcoxon_p": None}
    mean, deviation = float(difference.mean()), float(difference.std(ddof=1))
    error = deviation * np.sqrt(1 / n + test_to_train)
    half = float(_t_quantile(confidence, n - 1) * error)
    return out | {
        "deviation": deviation,
        "low": mean - half,
        "high": mean + half,
        "p": _two_sided_p(mean, error, n - 1),
        "wilcoxon_p": _wilcoxon_p(difference if difference.ndim == 1 else difference.mean(axis=0)),
    }


def holm(p_values: np.ndarray | Sequence[float]) -> np.ndarray:
    """p-values adjusted for several tests by Holm's step-down method (Holm 1979), in the given order.

    Args:
        p_values: Float[m].

    Raises:
        ValueError: where one is outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be a list of numbers from 0 to 1")
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def cluster_bootstrap(
    score: Callable[..., float | None],
    *arrays: np.ndarray,
    groups: np.ndarray,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Percentile interval of a score when whole patients or slides are drawn again, with replacement.

    Cells of one slide resemble each other; drawing single cells would make the interval too narrow.

    Args:
        score: Called with the arrays; may return None where it is undefined.
        arrays: One entry a cell each, for example true and predicted labels.
        groups: Patient or slide of each cell, Int[n].
        resamples: How many draws.
        confidence: Of the interval.
        seed: Of the draws.

    Returns:
        ``value`` (all cells), ``low``, ``high``, ``groups`` (their number), ``undefined`` (draws without a
        score). None for an interval of fewer than two groups or without any score.

    Raises:
        ValueError: without cells or with arrays of unequal length.
    """
    groups = np.asarray(groups)
    if not len(groups) or any(len(array) != len(groups) for array in arrays):
        raise ValueError("arrays and groups must have the same length, of one cell at least")
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    out: dict[str, Any] = {
        "value": score(*arrays),
        "low": None,
        "high": None,
        "groups": len(members),
        "undefined": 0,
    }
    if len(members) < 2:
        return out
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        drawn.append(score(*(array[rows] for array in arrays)))
    defined = [value for value in drawn if value is not None]
    out["undefined"] = resamples - len(defined)
    if defined:
        tail = (1 - confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        out |= {"low": float(low), "high": float(high)}
    return out


def _finite(values: Any) -> np.ndarray:
    x = np.asarray(values, np.float64)
    if not np.isfinite(x).all():
        raise ValueError("a score is not finite; leave out what is undefined first")
    return x


def _t_quantile(confidence: float, degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, degrees))


def _two_sided_p(mean: float, error: float, degrees: int) -> float:
    from scipy.stats import t

    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * t.sf(abs(mean) / error, degrees))


def _wilcoxon_p(differences: np.ndarray) -> float | None:
    from scipy.stats import wilcoxon

    if len(differences) < 2:
        return None
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)
