"""Methods side by side, with their folds and their intervals (SMR, Figure 3; GUIDES, Figure 5).

Points rather than bars: methods that differ by a few hundredths need an axis that does not begin at zero, and there a
bar's length would show differences several times too large.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.report.figures import (
    FAINT,
    INK,
    QUIET,
    SERIES,
    caption,
    heading,
    number,
    panel,
    sheet,
    shorten,
    write,
)

ROW = 0.36
ACROSS, ALONE = 1.75, 2.6  # inches a panel, and each of one or two
NUMBERS = 1.05  # inches for the numbers at the right of a panel
APART = "#9a9a9a"
MOST = 5  # panels side by side
BETWEEN = 0.8  # inches between rows of panels, for ticks and headings


def comparison_figure(
    path: str | os.PathLike[str],
    *,
    scores: Mapping[str, Mapping[str, Sequence[float] | np.ndarray]],
    baseline: str | None,
    title: str,
    differences: Mapping[str, Mapping[str, tuple[float, float, float]]] | None = None,
    apart: Collection[str] = (),
    svg: bool = True,
) -> Path:
    """Draws a panel per score and a line per method: folds as dots, the mean, and its 95 % interval.

    The numbers at the right are the mean and, where it is given, the difference to the baseline with its interval.
    Differences whose interval leaves out zero are set bold; nothing is corrected for the number of methods.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        scores: score name -> method name -> one value per fold (or fold and seed), in the same order for
            every method; NaN and methods without values are left out.
        baseline: the method whose mean is drawn as a line, or None.
        differences: score name -> method name -> difference to the baseline and the low and high end of its 95 %
            interval, as `smrjax.evaluate.statistics.paired_difference` gives them.
        apart: methods on other cells or folds than the baseline's, drawn pale and hollow.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no method, or a baseline that is none of them.
    """
    methods = list(dict.fromkeys(method for panel_scores in scores.values() for method in panel_scores))
    if not methods:
        raise ValueError("there is no method to compare")
    if baseline is not None and baseline not in methods:
        raise ValueError(f"the baseline {baseline!r} is none of {', '.join(methods)}")
    rows = math.ceil(len(scores) / MOST)
    columns = math.ceil(len(scores) / rows)
    across = ACROSS if columns > 2 else ALONE
    width = columns * (across + NUMBERS) + (columns - 1) * 0.12
    height = ROW * len(methods) + 0.1

    with sheet(path, width=width, height=rows * height + (rows - 1) * BETWEEN, svg=svg) as figure:
        for i, (score, values) in enumerate(scores.items()):
            top, left = (i // columns) * (height + BETWEEN), (i % columns) * (across + NUMBERS + 0.12)
            axes = panel(figure, left=left, top=top, width=across, height=height)
            names = [shorten(m, 44) if i % columns == 0 else "" for m in methods]
            _draw(axes, values, names, methods, baseline, (differences or {}).get(score, {}), apart)
            write(figure, left, top - 0.05, shorten(score, 30 if columns > 2 else 44), va="bottom", fontweight="bold")
        words = "Small dots: folds. Large dots and lines: mean and 95 % interval (Student's t over folds)."
        if baseline is not None:
            words += f" Dashed: mean of {baseline}."
        if apart:
            words += " Hollow: on other cells or folds, so not to be compared."
        if any((differences or {}).values()):
            words += (
                f" At the right: the mean; below it the paired difference to {baseline} with its 95 % interval,"
                " corrected for the training cells that folds share; bold where that leaves out zero, not corrected"
                " for the number of methods."
            )
        caption(figure, words, gap=0.35)
        heading(figure, title, gap=0.3)
    return Path(path)


def _draw(
    axes: Any,
    values: Mapping[str, Sequence[float] | np.ndarray],
    names: Sequence[str],
    methods: Sequence[str],
    baseline: str | None,
    differences: Mapping[str, tuple[float, float, float]],
    apart: Collection[str],
) -> None:
    """One score of all methods, a line each."""
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_yticks(range(len(methods)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#ececec", linewidth=0.6)
    rule = axes.get_yaxis_transform()
    axes.hlines(range(len(methods)), 0, 1, transform=rule, color=FAINT, linewidth=0.6)
    base = _values(values, baseline)
    if np.isfinite(base).any():
        axes.axvline(np.nanmean(base), color=QUIET, linewidth=1.0, linestyle=(0, (4, 2.5)), zorder=1)
    for row, method in enumerate(methods):
        own = _values(values, method)
        if not np.isfinite(own).any():
            axes.text(1.03, row, "–", transform=rule, va="center_baseline")
            continue
        colour = QUIET if method == baseline else APART if method in apart else SERIES[0]
        inside, edge = ("white", colour) if method in apart else (colour, "white")
        mean, half = interval(own)
        # Folds keep their height in every row, so one fold can be followed down the panel.
        spread = np.linspace(-0.2, 0.2, own.size) if own.size > 1 else np.zeros(1)
        edged: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.5, "zorder": 3.5}
        axes.scatter(own, row + spread, s=13, color=colour, alpha=0.75, **edged)
        if np.isfinite(half):
            axes.plot([mean - half, mean + half], [row, row], color=colour, linewidth=2.2, zorder=3)
        axes.plot(mean, row, marker="o", color=inside, markeredgecolor=edge, markersize=6.5, zorder=4)
        words, clear = number(mean, 3), False
        if method in differences:
            difference, low, high = differences[method]
            words += f"\n{number(difference, 3, sign=True)} ± {number((high - low) / 2, 3)}"
            clear = low > 0 or high < 0
        elif np.isfinite(half):
            words += f" ± {number(half, 3)}"
        style: dict[str, Any] = {"va": "center", "fontsize": 7.2, "linespacing": 1.15}
        style |= {"color": INK, "fontweight": "bold" if clear else "normal"}
        axes.text(1.03, row, words, transform=rule, **style)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=7.5)


def _values(values: Mapping[str, Sequence[float] | np.ndarray], method: str | None) -> np.ndarray:
    return np.asarray(values.get(method, ()) if method is not None else (), dtype=np.float64).ravel()


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half width of the 95 % interval by Student's t over the finite values; NaN if fewer than two.

    Folds share training cells, so they are not quite independent and the true interval is somewhat wider.

    >>> [round(x, 4) for x in interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, 2.4841]
    """
    from scipy.stats import t

    values = values[np.isfinite(values)]
    if values.size == 0:
        return math.nan, math.nan
    if values.size == 1:
        return float(values[0]), math.nan
    error = values.std(ddof=1) / math.sqrt(values.size)
    return float(values.mean()), float(t.ppf(0.975, values.size - 1) * error)
