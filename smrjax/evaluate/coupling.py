"""Class probabilities from machines for pairs of classes: Platt's sigmoids, and one distribution that fits them all."""

import numpy as np

#: A pair's sigmoid departs from the one shared by all pairs as if this were the weight of what is known beforehand: its
#: relative slope and its offset are normal with variance 1 / (2 PRIOR). Of 1, 3, 10 and 30 the best on three runs.
PRIOR = 3.0
#: Probabilities of a pair keep this far from 0 and 1, as in libsvm: beyond, the equations below become singular.
EDGE = 1e-7


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)); no overflow."""
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


def fit_sigmoids(pairs: np.ndarray, truth: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """For every pair of classes the sigmoid from decision value to probability of the first class (Platt 1999).

    With few cells a class, each pair by itself would be fitted to noise: first one slope is fitted to all pairs
    together, with Platt's targets short of 0 and 1, then each pair's own slope and offset around it (see `PRIOR`).

    Args:
        pairs: Decision values of cells that no machine was fitted to, Float[n, P], pairs in the order (0, 1), (0, 2),
            ..., (1, 2), ...
        truth: Class of each cell, Int[n] in 0 ... C-1.
        n_classes: C; P = C (C - 1) / 2.

    Returns:
        Slopes, Float64[P], above zero, and offsets, Float64[P]: of 1 / (1 + exp(-slope * value - offset)). A pair
        without a cell has the shared slope and no offset; without any cell, slopes are 1.
    """
    from scipy.optimize import minimize, minimize_scalar

    ends = list(zip(*np.triu_indices(n_classes, 1), strict=True))
    values, first = [], []
    for k, (i, j) in enumerate(ends):
        member = (truth == i) | (truth == j)
        values.append(np.asarray(pairs[member, k], np.float64))
        first.append(truth[member] == i)
    every, sign = np.concatenate(values or [np.zeros(0)]), np.concatenate(first or [np.zeros(0, bool)])
    if not len(every):
        return np.ones(len(ends)), np.zeros(len(ends))
    # As if one cell more were on either side: decisions that part all cells would otherwise ask for an infinite slope.
    target = np.where(sign, (sign.sum() + 1) / (sign.sum() + 2), 1 / ((~sign).sum() + 2))

    def shared_loss(log_slope: float) -> float:
        x = np.exp(log_slope) * every
        return float((np.logaddexp(0, x) - target * x).sum())

    shared = float(np.exp(minimize_scalar(shared_loss, bounds=(-10, 10), method="bounded").x))

    def one(d: np.ndarray, y: np.ndarray) -> np.ndarray:
        def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
            # In the logarithm the slope stays above zero: the order of two cells in a pair is the machine's.
            slope = shared * np.exp(x[0])
            a = slope * d + x[1]
            off = sigmoid(a) - y
            value = (np.logaddexp(0, a) - y * a).sum() + PRIOR * (x**2).sum()
            return float(value), np.array([(off * d).sum() * slope, off.sum()]) + 2 * PRIOR * x

        found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-5, 5), (None, None)])
        return np.array([shared * np.exp(found.x[0]), found.x[1]])

    fitted = np.array([one(d, y) for d, y in zip(values, first, strict=True)])
    return fitted[:, 0], fitted[:, 1]


def couple(chances: np.ndarray, n_classes: int) -> np.ndarray:
    """The distribution over all classes that agrees best with the probabilities within pairs.

    It minimises the sum over pairs of (r_ji p_i - r_ij p_j)^2 with p summing to one (Wu, Lin and Weng 2004, the second
    of their methods, as in libsvm): a linear system a cell.

    Args:
        chances: Of the first class of each pair against the second, Float[n, P], pairs in the order (0, 1), (0, 2),
            ..., (1, 2), ...
        n_classes: C >= 2.

    Returns:
        Float64[n, C], rows sum to 1.

    Example:
        >>> couple(np.array([[0.5 / 0.8, 0.5 / 0.7, 0.3 / 0.5]]), 3).round(6).tolist()
        [[0.5, 0.3, 0.2]]
    """
    n, C = len(chances), n_classes
    i, j = np.triu_indices(C, 1)
    r = np.zeros((n, C, C))
    r[:, i, j] = np.clip(chances, EDGE, 1 - EDGE)
    r[:, j, i] = 1 - r[:, i, j]
    system = np.zeros((n, C + 1, C + 1))
    system[:, :C, :C] = -r * r.swapaxes(1, 2)
    diagonal = np.arange(C)
    system[:, diagonal, diagonal] = (r**2).sum(1)
    # The last row and column hold p to a sum of one.
    system[:, :C, C] = system[:, C, :C] = 1
    right = np.zeros((n, C + 1, 1))
    right[:, C] = 1
    p = np.maximum(np.linalg.solve(system, right)[:, :C, 0], 0)
    return p / p.sum(axis=1, keepdims=True)
