"""The learning rate range test: loss against learning rate, and the rate that it suggests."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.report.figures import BOUNDARY, SERIES, caption, heading, panel, power, sheet

WIDTH, HEIGHT = 4.6, 2.5  # inches of the panel
LEFT = 0.55  # inches for the numbers at its side


def lr_range_figure(
    path: str | os.PathLike[str],
    *,
    rates: Sequence[float] | np.ndarray,
    losses: Sequence[float] | np.ndarray,
    smoothed: Sequence[float] | np.ndarray,
    suggestion: float,
    title: str,
    svg: bool = True,
) -> Path:
    """Draws the losses as dots, their smoothed curve, and the suggested learning rate on a logarithmic axis.

    The axis of losses covers the smoothed curve and nine tenths of the dots; an exploding loss leaves it upwards.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        rates: learning rate of each step, [n].
        losses: loss of each step, [n].
        smoothed: smoothed losses, [n].
        suggestion: the learning rate to mark, be it among the rates or not.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no steps, lists of unequal length, or a rate that is not positive.
    """
    x, raw, curve = (np.asarray(values, np.float64) for values in (rates, losses, smoothed))
    if x.ndim != 1 or not x.shape == raw.shape == curve.shape or not x.size or not min(x.min(), suggestion) > 0:
        raise ValueError(f"{x.shape} positive rates, {raw.shape} losses and {curve.shape} smoothed ones do not fit")
    # A range test stops when the loss explodes; the last steps would press everything else flat.
    least, most = np.quantile(raw, [0.03, 0.9])
    seen = np.concatenate([curve, raw[(raw >= least) & (raw <= most)]])
    rim = 0.06 * (np.ptp(seen) or 1.0)

    with sheet(path, width=LEFT + WIDTH, height=HEIGHT, svg=svg) as figure:
        axes = panel(figure, left=LEFT, top=0.0, width=WIDTH, height=HEIGHT)
        axes.set(
            xscale="log", ylim=(seen.min() - rim, seen.max() + rim), xlabel="learning rate", ylabel="loss of a step"
        )
        axes.grid(axis="y", color="#ececec", linewidth=0.6)
        axes.plot(x, raw, "o", color=SERIES[0], alpha=0.28, markersize=3.4, markeredgewidth=0)
        axes.plot(x, curve, color=SERIES[0], linewidth=1.8)
        axes.axvline(suggestion, color=BOUNDARY, linewidth=1.0, linestyle=(0, (4, 2.5)), zorder=1)
        at = float(np.interp(math.log(suggestion), np.log(x), curve))
        axes.plot(suggestion, at, "o", color=BOUNDARY, markeredgecolor="white", markersize=6.5, zorder=4)
        # Right of the line, where the curve has left the top, unless there is no room.
        beyond = math.log(suggestion) > np.log(axes.get_xlim()) @ [0.15, 0.85]
        style: dict[str, Any] = {"textcoords": "offset points", "xycoords": axes.get_xaxis_transform(), "va": "top"}
        style |= {"color": BOUNDARY, "fontweight": "bold", "ha": "right" if beyond else "left"}
        axes.annotate(_rate(suggestion), (suggestion, 1.0), (-5 if beyond else 5, -2), **style)
        axes.locator_params(axis="y", nbins=6)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("-", "−"))
        axes.xaxis.set_major_formatter(lambda value, _: power(value))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        caption(
            figure,
            "Dots: the loss of each step, on one batch; some may lie outside. Line: smoothed over about half a "
            "decade of rates to either side, so that single batches do not tilt it. Dashed: the suggestion, read "
            "from the line.",
            gap=0.48,
        )
        heading(figure, title, gap=0.12)
    return Path(path)


def _rate(value: float) -> str:
    """A learning rate in two digits.

    >>> _rate(0.00234), _rate(0.000034), _rate(1.0)
    ('0.0023', '3.4 × 10⁻⁵', '1')
    """
    if value >= 1e-4:
        return f"{value:.2g}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} × {power(10.0 ** int(exponent))}"
