"""Whether probabilities are to be believed: calibration error, Brier score, log likelihood, reliability by bins."""

from typing import Any

import numpy as np

#: Bins of equal width, as in Guo et al. 2017.
BINS = 15


def reliability(confidence: np.ndarray, hit: np.ndarray, *, bins: int = BINS) -> dict[str, np.ndarray]:
    """The table of a reliability diagram: what was claimed and what came true, in bins of equal width.

    A bin holds its upper end and not its lower one, as in Guo et al. 2017; the first holds 0, too.

    Args:
        confidence: Probability given to something, Float[n], from 0 to 1.
        hit: Whether it was so, Bool[n].
        bins: How many.

    Returns:
        ``edges`` Float64[bins + 1], ``count`` Int64[bins], ``confidence`` and ``accuracy`` Float64[bins], the means
        over the cells of each bin, NaN in an empty one.

    Raises:
        ValueError: for lists of unequal length, numbers outside [0, 1], or fewer bins than one.

    Example:
        >>> table = reliability(np.array([0.2, 0.9, 1.0]), np.array([False, True, False]), bins=2)
        >>> table["count"].tolist(), table["accuracy"].tolist()
        ([1, 2], [0.0, 0.5])
    """
    p, right = np.asarray(confidence, np.float64), np.asarray(hit, np.float64)
    if p.ndim != 1 or p.shape != right.shape or bins < 1:
        raise ValueError(f"confidence {p.shape} and hits {right.shape} are not two equal lists, or there is no bin")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    edges = np.linspace(0, 1, bins + 1)
    home = np.searchsorted(edges[1:-1], p, side="left")
    count = np.bincount(home, minlength=bins)
    means = (
        np.divide(np.bincount(home, x, bins), count, out=np.full(bins, np.nan), where=count > 0) for x in (p, right)
    )
    return {"edges": edges, "count": count} | dict(zip(("confidence", "accuracy"), means, strict=True))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = BINS) -> float | None:
    """How far the probability of the likeliest class is from the share that is right (Guo et al. 2017, eq. 3).

    Mean over the cells of the difference in their bin, see `reliability`.

    Args:
        probabilities: Float[n, C].
        labels: Int[n], true classes.
        bins: How many.

    Returns:
        From 0 to 1; None without cells.

    Raises:
        ValueError: for shapes that do not fit, probabilities outside [0, 1], labels that are no class.

    Example:
        >>> p = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])
        >>> round(expected_calibration_error(p, np.array([0, 1, 1])), 4)
        0.3
    """
    p, y = _checked(probabilities, labels)
    return _gap(reliability(p.max(axis=1), p.argmax(axis=1) == y, bins=bins)) if len(y) else None


def classwise_calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = BINS) -> float | None:
    """Mean over the classes of how far the probability of a class is from its share (Kull et al. 2019).

    Unlike `expected_calibration_error` it sees the probabilities of the other classes too, and rare classes as
    frequent ones; differences shrink as classes grow in number, for most probabilities are near 0.

    Args:
        probabilities: Float[n, C].
        labels: Int[n], true classes.
        bins: How many.

    Returns:
        From 0 to 1; None without cells.

    Raises:
        ValueError: as `expected_calibration_error` does.
    """
    p, y = _checked(probabilities, labels)
    if not len(y):
        return None
    return float(np.mean([_gap(reliability(p[:, c], y == c, bins=bins)) for c in range(p.shape[1])]))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean squared distance of the probabilities from the truth, summed over the classes (Brier 1950).

    Args:
        probabilities: Float[n, C].
        labels: Int[n], true classes.

    Returns:
        From 0 to 2, less is better; None without cells.

    Raises:
        ValueError: as `expected_calibration_error` does.

    Example:
        >>> brier_score(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]))
        0.25
    """
    p, y = _checked(probabilities, labels)
    return float(np.square(p - np.eye(p.shape[1])[y]).sum(axis=1).mean()) if len(y) else None


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean of -ln of the probability of the true class.

    A probability of 0 is taken as the precision of double numbers, 2.2e-16: one such cell costs 36, not infinity.

    Args:
        probabilities: Float[n, C].
        labels: Int[n], true classes.

    Returns:
        From 0, less is better; None without cells.

    Raises:
        ValueError: as `expected_calibration_error` does.

    Example:
        >>> round(negative_log_likelihood(np.array([[0.5, 0.5]]), np.array([1])), 4)
        0.6931
    """
    p, y = _checked(probabilities, labels)
    if not len(y):
        return None
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], np.finfo(np.float64).eps)).mean())


def calibration_report(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = BINS) -> dict[str, Any]:
    """All that this file knows of some probabilities.

    Args:
        probabilities: Float[n, C].
        labels: Int[n], true classes.
        bins: How many.

    Returns:
        JSON-safe: ``n``, ``expected_calibration_error``, ``classwise_calibration_error``, ``brier_score``,
        ``negative_log_likelihood`` (None without cells), and ``reliability``: the table of the likeliest class, None
        for the means of an empty bin.

    Raises:
        ValueError: as `expected_calibration_error` does.
    """
    p, y = _checked(probabilities, labels)
    table = reliability(p.max(axis=1), p.argmax(axis=1) == y, bins=bins)
    return {
        "n": len(y),
        "expected_calibration_error": expected_calibration_error(p, y, bins=bins),
        "classwise_calibration_error": classwise_calibration_error(p, y, bins=bins),
        "brier_score": brier_score(p, y),
        "negative_log_likelihood": negative_log_likelihood(p, y),
        "reliability": {
            name: [None if np.isnan(value) else value for value in column.tolist()] for name, column in table.items()
        },
    }


def _gap(table: dict[str, np.ndarray]) -> float:
    """Mean over all cells of the difference of claim and truth in their bin."""
    full = table["count"] > 0
    gaps = np.abs(table["accuracy"] - table["confidence"])[full]
    return float(gaps @ table["count"][full] / table["count"].sum())


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or not p.shape[1] or y.shape != p.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"probabilities {p.shape} and labels {y.shape} {y.dtype}: expected Float[n, C], Int[n]")
    if not ((p >= 0) & (p <= 1 + 1e-9)).all():
        raise ValueError("a probability is not between 0 and 1")
    if len(y) and not (y.min() >= 0 and y.max() < p.shape[1]):
        raise ValueError(f"a label is outside 0 ... {p.shape[1] - 1}")
    # Sums of a softmax may pass 1 by a rounding.
    return np.minimum(p, 1), y
