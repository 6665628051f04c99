"""How sure a share of counted cells is, and how many cells make it sure enough (Wilson 1927)."""

import math

import numpy as np


def wilson(k: np.ndarray | float, n: np.ndarray | float, *, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a share of which k of n cells were seen (Wilson 1927), without a correction for continuity.

    The shares p whose normal approximation does not exclude what was seen: ``|k/n - p| <= z sqrt(p (1-p) / n)``. So it
    stays within [0, 1], and 0 of n gives an interval of some width. Where nothing was counted it is (0, 1): all is
    possible.

    Args:
        k: Cells of the class, Float[...]; whole numbers, or what is expected of a share: ``share * n``.
        n: Cells counted, Float[...], of a shape that fits.
        confidence: That the interval is to have, between 0 and 1.

    Returns:
        Low and high ends, Float64[...] each.

    Raises:
        ValueError: where k is not between 0 and n, or the confidence not between 0 and 1.

    Example:
        >>> low, high = wilson(25, 500)
        >>> print(f"{low:.3f} to {high:.3f}")
        0.034 to 0.073
    """
    k, n = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(n, np.float64))
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError("wilson needs counts k of at least 0 and at most n")
    z2 = _z(confidence) ** 2
    middle = (k + z2 / 2) / (n + z2)
    # A product with n-k, not p (1-p) n, so that k = 0 and k = n give ends of exactly 0 and 1.
    half = np.sqrt(z2 * (np.divide(k * (n - k), n, out=np.zeros(n.shape), where=n > 0) + z2 / 4)) / (n + z2)
    return np.where(k == 0, 0.0, middle - half), np.where(k == n, 1.0, middle + half)


def cells_needed(share: float, *, half_width: float, confidence: float = 0.95) -> int:
    """How many cells to count until a share is known to within ``half_width``: Wilson's interval, solved for n.

    Half the interval's width at ``share * n`` cells is ``z sqrt(p (1-p) n + z^2/4) / (n + z^2)``, which falls with n;
    asking for at most ``half_width`` gives a quadratic inequality in n. It speaks of raw counts: the uncertainty of the
    model's own confusion, which `differential_count` adds, no number of counted cells takes away.

    Args:
        share: Expected, from 0 to 1.
        half_width: Wanted, above 0: 0.02 for five per cent give or take two.
        confidence: Of the interval.

    Raises:
        ValueError: for a share outside [0, 1], a half width of 0 or less, or a confidence not between 0 and 1.

    Example:
        >>> [cells_needed(0.05, half_width=half) for half in (0.05, 0.02, 0.01)]
        [83, 469, 1838]
    """
    if not 0 <= share <= 1 or not half_width > 0:
        raise ValueError(f"share {share} is not from 0 to 1, or half width {half_width} not above 0")
    z2, d2 = _z(confidence) ** 2, half_width**2
    # d^2 n^2 + b n + c >= 0 holds beyond the larger root; where there is none, for any n.
    b, c = z2 * (2 * d2 - share * (1 - share)), z2**2 * (d2 - 1 / 4)
    root = (-b + math.sqrt(max(b**2 - 4 * d2 * c, 0))) / (2 * d2)
    # Less the rounding of the root, so that one which is whole stays so.
    return max(math.ceil(root * (1 - 1e-12)), 0)


def _z(confidence: float) -> float:
    """Quantile of the normal distribution that leaves out ``1 - confidence`` in both tails together."""
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    return float(ndtri((1 + confidence) / 2))
