"""What a differential count says: shares of the classes with intervals, undone of the model's own confusion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smrjax.evaluate.correction import corrected_draws, corrected_shares
from smrjax.evaluate.wilson import wilson

#: Shares below this are none: the iterations of a correction come as near to zero as they like, and never reach it.
NOTHING = 1e-9


@dataclass(frozen=True)
class DifferentialCount:
    """The cells of one slide, C classes.

    Shares are among the classes that count; of classes left out (artefacts) they are NaN, and so are all where no
    cell counts, with intervals from 0 to 1.

    Attributes:
        counts: Cells of each predicted class, Int64[C], of those left out too.
        total: Cells that count.
        share: As counted, Float64[C].
        low: Wilson's interval of ``share``, Float64[C].
        high: Its upper end.
        corrected: Shares of the true classes, see `corrected_shares`; Float64[C].
        corrected_low: Bootstrap interval of ``corrected``, Float64[C].
        corrected_high: Its upper end.
        draws: The bootstrap's corrected shares, Float64[draws, C].
        confidence: Of all intervals.
    """

    counts: np.ndarray
    total: int
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    corrected: np.ndarray
    corrected_low: np.ndarray
    corrected_high: np.ndarray
    draws: np.ndarray
    confidence: float


def differential_count(
    counts: np.ndarray,
    confusion: np.ndarray,
    *,
    left_out: Sequence[int] = (),
    prior: float = 1.0,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> DifferentialCount:
    """Shares of the classes among the cells of a slide, as counted and corrected for the model's own confusion.

    Args:
        counts: Cells of each predicted class, Int[C]; images that could not be read are not among them.
        confusion: Of the model on its test cells, rows true, Int[C, C]; those of several folds added up.
        left_out: Classes that are not part of the whole, as artefacts; they are corrected for as the others are, since
            the model may take a cell for one.
        prior: See `corrected_shares`.
        confidence: Of the intervals.
        draws: Of the bootstrap, see `corrected_draws`.
        seed: Of the draws.

    Raises:
        ValueError: as `corrected_shares` does, or for a class left out that does not exist.
    """
    counts = np.asarray(counts)
    n_classes = len(counts)
    if any(not 0 <= c < n_classes for c in left_out):
        raise ValueError(f"classes left out {list(left_out)} are not all among 0 ... {n_classes - 1}")
    counted = ~np.isin(np.arange(n_classes), list(left_out))
    corrected = _among(corrected_shares(counts, confusion, prior=prior), counted)
    drawn = _among(corrected_draws(counts, confusion, prior=prior, draws=draws, seed=seed), counted)
    total = int(counts[counted].sum())
    share, low, high, corrected_low, corrected_high = (np.full(n_classes, np.nan) for _ in range(5))
    low[counted], high[counted] = wilson(counts[counted], total, confidence=confidence)
    corrected_low[counted], corrected_high[counted] = 0.0, 1.0
    if total:
        share[counted] = counts[counted] / total
        ends = np.quantile(drawn[:, counted], [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        # Draws of a class that is likeliest to be absent lie above its share.
        corrected_low[counted] = np.fmin(ends[0], corrected[counted])
        corrected_high[counted] = np.fmax(ends[1], corrected[counted])
    else:
        corrected, drawn = np.full(n_classes, np.nan), np.full(drawn.shape, np.nan)
    return DifferentialCount(
        counts=counts.astype(np.int64),
        total=total,
        share=share,
        low=low,
        high=high,
        corrected=corrected,
        corrected_low=corrected_low,
        corrected_high=corrected_high,
        draws=drawn,
        confidence=confidence,
    )


def ratio(count: DifferentialCount, over: Sequence[int], under: Sequence[int]) -> dict[str, Any]:
    """Cells of some classes to cells of others, as myeloid to erythroid, as counted and corrected.

    A ratio is the odds of a share, ``over / (over + under)``, and its interval that share's: Wilson's for what was
    counted, the bootstrap's for what is corrected. An end beyond every bound is None.

    Args:
        count: Of one slide.
        over: Classes above the line.
        under: Classes below it, none of them above.

    Returns:
        JSON-safe: ``over`` and ``under`` (cells counted), ``value``, ``low``, ``high``, ``corrected``,
        ``corrected_low``, ``corrected_high``. A value is None where there is no cell below the line.

    Raises:
        ValueError: for a class on both sides, a side without classes, or a class that is left out of the count.
    """
    above, below = list(over), list(under)
    if not above or not below or set(above) & set(below) or np.isnan(count.low[above + below]).any():
        raise ValueError(
            f"classes {above} and {below}: two lists are wanted without a common class, of classes counted"
        )
    a, b = int(count.counts[above].sum()), int(count.counts[below].sum())
    low, high = (float(end) for end in wilson(a, a + b, confidence=count.confidence))
    x, y = float(count.corrected[above].sum()), float(count.corrected[below].sum())
    drawn = count.draws[:, above].sum(axis=1)
    part = drawn + count.draws[:, below].sum(axis=1)
    # Nothing on either side of the line, or no cell at all: such a draw knows no ratio.
    shares = drawn[part > 0] / part[part > 0]
    ends = (0.0, 1.0)
    if len(shares):
        tail = (1 - count.confidence) / 2
        ends = (float(np.quantile(shares, tail)), float(np.quantile(shares, 1 - tail)))
        if x + y > 0:
            ends = (min(ends[0], x / (x + y)), max(ends[1], x / (x + y)))
    return {
        "over": a,
        "under": b,
        "value": a / b if b else None,
        "low": _odds(low),
        "high": _odds(high),
        "corrected": x / y if y > NOTHING else None,
        "corrected_low": _odds(ends[0]),
        "corrected_high": _odds(ends[1]),
    }


def _odds(share: float) -> float | None:
    """The ratio of a share to what it leaves; None where it leaves nothing."""
    return share / (1 - share) if 1 - share > NOTHING else None


def _among(shares: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Shares among some classes alone, Float[..., C]; NaN for the others, and where those classes have no share."""
    kept = np.where(counted, shares, np.nan)
    whole = np.nansum(kept, axis=-1, keepdims=True)
    return np.divide(kept, whole, out=np.full(kept.shape, np.nan), where=whole > 0)
