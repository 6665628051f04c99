"""Counts of predicted classes undone of the model's own confusion."""

import numpy as np

#: Expectation-maximisation ends where no share changes by more than this in a step, or after so many steps.
TOLERANCE, STEPS = 1e-7, 2000

#: Of one draw among many, which lie further apart than that.
DRAWN_TOLERANCE = 1e-5

#: Added to every count before it is drawn anew: Jeffreys' prior of a multinomial distribution.
JEFFREYS = 0.5


def corrected_shares(counts: np.ndarray, confusion: np.ndarray, *, prior: float = 1.0) -> np.ndarray:
    """Shares of the true classes among cells of which only predictions are known, of greatest likelihood.

    Counts of predicted classes are biased: a class is counted recall / precision times too often. If a true class c is
    called j with probability A[c, j], the predictions of cells with true shares s are distributed as ``s A``; sought is
    the s that makes the counts likeliest, by expectation-maximisation (Saerens et al. 2002, of labels, not posteriors).
    Where the inverse of A gives shares that are not negative, it gives these (Rogan & Gladen 1978 for two classes).

    A is learnt from test cells, and holds for other cells if they differ in nothing but their shares: the same stain,
    the same microscope, no class unknown to the model. Shares from a model that confuses much are right on average but
    scatter widely, and may then lie further off than raw counts; the interval of `differential_count` tells.

    Args:
        counts: Cells of each predicted class, Float[..., C].
        confusion: Test cells by true class (row) and predicted class (column), Float[C, C].
        prior: Test cells added to each row, shared as in an average row: the model's accuracy on its own class, the
            rest evenly on the others. So a row of few cells, or none at all, is taken for an average one.

    Returns:
        Float64[..., C], each summing to 1; NaN where nothing was counted.

    Raises:
        ValueError: for shapes that do not fit, negative numbers, a confusion of no cell, or a prior of 0 or less.

    Example:
        >>> confusion = np.array([[90, 10], [20, 80]])
        >>> corrected_shares(np.array([55, 45]), confusion, prior=1e-9).round(4).tolist()
        [0.5, 0.5]
    """
    counts, rows = _checked(counts, confusion, prior)
    flat = counts.reshape(-1, counts.shape[-1])
    total = flat.sum(axis=1, keepdims=True)
    seen = total[:, 0] > 0
    shares = np.full(flat.shape, np.nan)
    rates = rows / rows.sum(axis=1, keepdims=True)
    rates = np.broadcast_to(rates, (int(seen.sum()), *rates.shape))
    shares[seen] = _likeliest(flat[seen] / total[seen], rates, tolerance=TOLERANCE)
    return shares.reshape(counts.shape)


def corrected_draws(
    counts: np.ndarray, confusion: np.ndarray, *, prior: float = 1.0, draws: int = 1000, seed: int = 0
) -> np.ndarray:
    """What `corrected_shares` might have been, had other cells been counted and other test cells been confused.

    Each row of the confusion and the counts are drawn anew, from the Dirichlet distributions that they leave over what
    they were drawn from: under the prior of `corrected_shares`, and under Jeffreys' prior, half a cell a class, without
    which a class that was not seen would surely be absent.

    Args:
        counts: Cells of each predicted class, Float[C].
        confusion: See `corrected_shares`.
        prior: See `corrected_shares`.
        draws: How many.
        seed: Of the draws.

    Returns:
        Float64[draws, C], each summing to 1.

    Raises:
        ValueError: as `corrected_shares` does, or for counts of another shape.
    """
    counts, rows = _checked(counts, confusion, prior)
    if counts.ndim != 1:
        raise ValueError(f"counts of shape {counts.shape}: draws are made for one list of counts at a time")
    rng = np.random.default_rng(seed)
    drawn = _dirichlet(rng, counts + JEFFREYS, draws)
    return _likeliest(drawn, _dirichlet(rng, rows, draws), tolerance=DRAWN_TOLERANCE)


def _checked(counts: np.ndarray, confusion: np.ndarray, prior: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts, and the confusion with the prior's cells in it, both Float64."""
    counts, matrix = np.asarray(counts, np.float64), np.asarray(confusion, np.float64)
    size = counts.shape[-1] if counts.ndim else 0
    if not size or matrix.shape != (size, size):
        raise ValueError(f"counts {counts.shape} and a confusion {matrix.shape} are not of the same classes")
    if not (counts >= 0).all() or not (matrix >= 0).all() or not matrix.any() or not prior > 0:
        raise ValueError("counts and confusion must not be negative, nor the confusion or the prior nothing at all")
    accuracy = np.trace(matrix) / matrix.sum()
    average = np.full(matrix.shape, (1 - accuracy) / max(size - 1, 1))
    np.fill_diagonal(average, accuracy if size > 1 else 1.0)
    return counts, matrix + prior * average


def _dirichlet(rng: np.random.Generator, weights: np.ndarray, draws: int) -> np.ndarray:
    """Draws from Dirichlet distributions, one for each row of the weights: Float[draws, ..., C]."""
    gamma = rng.standard_gamma(np.broadcast_to(weights, (draws, *weights.shape)))
    # Tiny weights may all be drawn as 0.
    return gamma / np.maximum(gamma.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)


def _likeliest(predicted: np.ndarray, rates: np.ndarray, *, tolerance: float) -> np.ndarray:
    """Shares of greatest likelihood, by expectation-maximisation, many at once.

    Args:
        predicted: Shares of the predicted classes, Float[B, C].
        rates: Of predicting each class (column) for each true class (row), Float[B, C, C].
        tolerance: See `TOLERANCE`.

    Returns:
        Float64[B, C].
    """
    found = np.full(predicted.shape, 1 / predicted.shape[1])
    going, shares = np.arange(len(found)), found.copy()
    for _ in range(STEPS):
        if not len(going):
            break
        expected = np.einsum("bc,bcj->bj", shares, rates)
        # A prediction that no class explains tells nothing.
        weight = np.divide(predicted, expected, out=np.zeros_like(predicted), where=expected > 0)
        better = shares * np.einsum("bcj,bj->bc", rates, weight)
        better /= better.sum(axis=1, keepdims=True)
        found[going] = better
        moves = np.abs(better - shares).max(axis=1) > tolerance
        going, shares, predicted, rates = going[moves], better[moves], predicted[moves], rates[moves]
    return found
