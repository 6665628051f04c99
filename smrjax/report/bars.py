"""Scores of runs as bars with their folds (SMR, Figure 3; GUIDES, Figure 5), and what became of the cells."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.report.comparison import interval
from smrjax.report.figures import (
    FAINT,
    INK,
    QUIET,
    caption,
    heading,
    number,
    panel,
    sheet,
    shorten,
    text_width,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.42  # inches a run
ACROSS, NUMBERS, BETWEEN = 2.6, 1.15, 0.25
BAR, BASE, APART = "#8fbbe0", "#b9b9b9", "#e4e4e4"
#: What became of a cell: words, colour. From quiet to alarming, and from dark to light, for eyes without red or green.
OUTCOMES = {
    "correct": ("right", "#2b6ca3"),
    "adjacent": ("one stage off", "#9cc3e6"),
    "same_lineage": ("further off in the lineage", "#f2c57c"),
    "other": ("other lineage or class", "#c4532d"),
}


def score_bars_figure(
    path: str | os.PathLike[str],
    *,
    scores: Mapping[str, Mapping[str, Sequence[float] | np.ndarray]],
    baseline: str | None,
    title: str,
    apart: Collection[str] = (),
    svg: bool = True,
) -> Path:
    """Draws a panel per score and a bar per run: the mean, its 95 % interval, the folds as dots.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        scores: score -> run -> one value per fold; NaN and runs without values are left out.
        baseline: the run whose mean is drawn as a line, or None.
        title: one sentence that says what is seen.
        apart: runs on other cells or folds than the baseline's, drawn pale.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no run, or a baseline that is none of them.
    """
    runs = list(dict.fromkeys(run for of in scores.values() for run in of))
    if not runs:
        raise ValueError("there is no run to draw")
    if baseline is not None and baseline not in runs:
        raise ValueError(f"the baseline {baseline!r} is none of {', '.join(runs)}")
    height = ROW * len(runs)
    width = len(scores) * (ACROSS + NUMBERS) + (len(scores) - 1) * BETWEEN
    with sheet(path, width=width, height=height, svg=svg) as figure:
        for i, (score, of) in enumerate(scores.items()):
            left = i * (ACROSS + NUMBERS + BETWEEN)
            axes = panel(figure, left=left, top=0.0, width=ACROSS, height=height)
            names = [shorten(run, 44) if i == 0 else "" for run in runs]
            _bars(axes, {run: _finite(of.get(run, ())) for run in runs}, names, baseline, apart)
            write(figure, left, -0.06, shorten(score, 44), va="bottom", fontweight="bold")
        says = "Bars: mean over folds. Dots: folds. Lines: 95 % interval of the mean (Student's t)."
        if baseline is not None:
            says += f" Dashed: mean of {baseline}."
        if apart:
            says += " Pale: on other cells or folds, so not to be compared."
        caption(figure, says + " An axis may begin above zero.", gap=0.38)
        heading(figure, title, gap=0.36)
    return Path(path)


def _bars(
    axes: Axes,
    values: Mapping[str, np.ndarray],
    names: Sequence[str],
    baseline: str | None,
    apart: Collection[str],
) -> None:
    seen = []
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_yticks(range(len(values)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#ececec", linewidth=0.6)
    if baseline is not None and values[baseline].size:
        axes.axvline(values[baseline].mean(), color=QUIET, linewidth=1.0, linestyle=(0, (4, 2.5)), zorder=4)
    for row, (run, own) in enumerate(values.items()):
        if not own.size:
            axes.text(1.03, row, "–", transform=axes.get_yaxis_transform(), va="center_baseline")
            continue
        mean, half = interval(own)
        colour = BASE if run == baseline else APART if run in apart else BAR
        axes.barh(row, mean, height=0.62, color=colour, zorder=2)
        if np.isfinite(half):
            axes.plot([mean - half, mean + half], [row, row], color=INK, linewidth=1.3, zorder=5)
            seen += [mean - half, mean + half]
        spread = np.linspace(-0.19, 0.19, own.size) if own.size > 1 else np.zeros(1)
        dots: dict[str, Any] = {"color": "white", "edgecolors": INK, "linewidths": 0.7, "zorder": 6}
        axes.scatter(own, row + spread, s=11, **dots)
        words = number(mean, 3) + (f" ± {number(half, 3)}" if np.isfinite(half) else "")
        axes.text(1.03, row, words, transform=axes.get_yaxis_transform(), va="center_baseline", fontsize=8)
        seen += [*own, mean]
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    room = 0.08 * max(high - low, 0.02)
    # Runs that differ by points cannot be told apart on an axis from zero; where it begins, its numbers say.
    least = min((float(own.min()) for own in values.values() if own.size), default=0.0)
    start = low - 3 * room if low > 0.4 * high else 0.0 if least >= 0 else low - room
    axes.set_xlim(start, max(high, 0.0) + room)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="x", labelsize=7.5)


def outcomes_figure(
    path: str | os.PathLike[str],
    *,
    shares: Mapping[str, Mapping[str, float]],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws a bar per run: cells that are right, one stage off, further off in the lineage, or elsewhere.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        shares: run -> share of the cells with each of `OUTCOMES`, as `smrjax.evaluate.error_split` gives them.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no run, or shares that do not sum to one.
    """
    if not shares or any(abs(sum(of[name] for name in OUTCOMES) - 1) > 1e-6 for of in shares.values()):
        raise ValueError("shares of every outcome must be there, of one run at least, and sum to one")
    width, height = 6.4, ROW * len(shares)
    with sheet(path, width=width, height=height, svg=svg) as figure:
        axes = panel(figure, left=0.0, top=0.0, width=width, height=height)
        axes.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5))
        axes.set_yticks(range(len(shares)), [shorten(run, 44) for run in shares])
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        axes.tick_params(axis="y", length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(FAINT)
        for row, of in enumerate(shares.values()):
            start = 0.0
            for i, (name, (_, colour)) in enumerate(OUTCOMES.items()):
                axes.barh(row, of[name], left=start, height=0.66, color=colour, edgecolor="white", linewidth=0.8)
                words = f"{number(100 * of[name], 1)} %"
                if of[name] * width > text_width(words, 8) + 0.08:
                    ink = "white" if i in (0, 3) else INK
                    middle = start + of[name] / 2
                    axes.text(middle, row, words, ha="center", va="center_baseline", fontsize=8, color=ink)
                start += of[name]
        x = 0.0
        for words, colour in OUTCOMES.values():
            key = panel(figure, left=x, top=-0.23, width=0.13, height=0.13)
            key.set_facecolor(colour)
            key.set(xticks=[], yticks=[])
            key.spines[:].set_visible(False)
            write(figure, x + 0.19, -0.165, words, va="center_baseline", fontsize=8)
            x += 0.42 + text_width(words, 8)
        heading(figure, title, gap=0.4)
    return Path(path)


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    own = np.asarray(values, dtype=np.float64).ravel()
    return own[np.isfinite(own)]
