"""How a training went: every number of the log over the epochs, folds as thin lines under their mean."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.report.figures import SERIES, caption, heading, panel, sheet, shorten, text_width, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
ACROSS, DOWN = 2.25, 1.3
GAP = 0.55
KEY_LINE = 0.16
NOT_DRAWN = ("epoch", "fold", "seed", "step")


def learning_figure(
    path: str | os.PathLike[str], *, rows: Sequence[Mapping[str, Any]], title: str, svg: bool = True
) -> Path:
    """Draws small multiples of all numbers in the rows against the epoch.

    Keys that share what stands before a slash share a panel: "loss", "loss/triplet" and "loss/maturity" are
    three lines in one. Panels stand in the order in which their keys first appear. The mean over folds
    ends where the first fold stopped early: beyond that it would be a mean of other folds.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        rows: one per epoch and fold: "epoch", optionally "fold" and "seed", and numbers under any key. What
            is not a number (None, words) is left out; NaN and infinities break the line.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no row holds a number.
    """
    panels = _panels(rows)
    if not panels:
        raise ValueError("the rows hold no number to draw against the epoch")
    runs: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        runs.setdefault((row.get("seed"), row.get("fold")), []).append(row)
    epochs = [float(row["epoch"]) for row in rows]
    first, last = min(epochs), max(epochs)
    keys = {name: _key_lines(series) for name, series in panels.items()}
    columns = min(COLUMNS, len(panels))
    pitch = DOWN + 0.62 + KEY_LINE * max(map(len, keys.values()))
    lines = math.ceil(len(panels) / columns)
    width = 0.4 + columns * ACROSS + (columns - 1) * GAP

    with sheet(path, width=width, height=lines * pitch - 0.35, svg=svg) as figure:
        for i, (name, series) in enumerate(panels.items()):
            left = 0.4 + (i % columns) * (ACROSS + GAP)
            top = (i // columns) * pitch + pitch - DOWN - 0.35
            axes = panel(figure, left=left, top=top, width=ACROSS, height=DOWN)
            for j, key in enumerate(series):
                colour = SERIES[j % len(SERIES)]
                curves = [_curve(run, key) for run in runs.values()]
                curves = [curve for curve in curves if len(curve)]
                for curve in curves:
                    alone: dict[str, Any] = {"marker": ".", "markersize": 4} if len(curve) == 1 else {}
                    thin, clear = (0.7, 0.45) if len(curves) > 1 else (1.5, 1.0)
                    axes.plot(curve[:, 0], curve[:, 1], color=colour, linewidth=thin, alpha=clear, **alone)
                if len(curves) > 1:
                    mean = _mean(curves)
                    axes.plot(mean[:, 0], mean[:, 1], color=colour, linewidth=1.7)
            axes.tick_params(labelsize=7.5)
            axes.grid(axis="y", color="#ececec", linewidth=0.6)
            axes.set_xlim(first - 0.02 * (last - first) - 0.2, last + 0.02 * (last - first) + 0.2)
            axes.locator_params(axis="x", integer=True, nbins=5, min_n_ticks=1)
            axes.locator_params(axis="y", nbins=5)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("-", "−"))
            if i + columns >= len(panels):
                axes.set_xlabel("epoch")
            _key(figure, left, top, name, keys[name])
        if len(runs) > 1:
            what = (
                "folds" if len({seed for seed, _ in runs}) == 1 and None not in {fold for _, fold in runs} else "runs"
            )
            caption(figure, f"Thin: {len(runs)} {what}. Thick: their mean while all of them ran.", gap=0.5)
        heading(figure, title, gap=0.1)
    return Path(path)


def _panels(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    panels: dict[str, list[str]] = {}
    for row in rows:
        for key, value in row.items():
            if key in NOT_DRAWN or isinstance(value, bool) or not isinstance(value, Real):
                continue
            series = panels.setdefault(key.split("/")[0], [])
            if key not in series and np.isfinite(float(value)):
                series.append(key)
    return {name: series for name, series in panels.items() if series}


def _curve(run: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """[E, 2] epochs and values of one run, in the order of the epochs."""
    points = {float(row["epoch"]): float(row[key]) for row in run if isinstance(row.get(key), Real)}
    return np.array(sorted(points.items()), dtype=np.float64).reshape(-1, 2)


def _mean(curves: Sequence[np.ndarray]) -> np.ndarray:
    last = min(float(curve[-1, 0]) for curve in curves)
    epochs = sorted({float(e) for curve in curves for e in curve[:, 0] if e <= last})
    values: list[list[float]] = [[] for _ in epochs]
    for curve in curves:
        known = dict(curve.tolist())
        for slot, epoch in zip(values, epochs, strict=True):
            slot.append(known.get(epoch, math.nan))
    return np.column_stack([epochs, np.mean(values, axis=1)])


def _key_lines(series: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Words and colours of a panel's series, broken into lines that fit; none where the title says it all."""
    if len(series) == 1 and "/" not in series[0]:
        return []
    lines: list[list[tuple[str, str]]] = [[]]
    used = 0.0
    for j, key in enumerate(series):
        words = shorten(key.partition("/")[2].replace("_", " ") or "total", 30)
        needed = text_width(words, 7.5) + 0.14
        if lines[-1] and used + needed > ACROSS + 0.2:
            lines.append([])
            used = 0.0
        lines[-1].append((words, SERIES[j % len(SERIES)]))
        used += needed
    return lines


def _key(figure: Figure, left: float, top: float, name: str, lines: Sequence[Sequence[tuple[str, str]]]) -> None:
    """The panel's title and under it its series as words in their colours."""
    base = top - 0.08 - KEY_LINE * len(lines)
    words = shorten(name.replace("_", " "), 32)
    write(figure, left, base, words, va="bottom", fontsize=8.5, fontweight="bold")
    for row, line in enumerate(lines):
        x = left
        for text, colour in line:
            write(figure, x, base + KEY_LINE * (row + 1), text, va="bottom", fontsize=7.5, color=colour)
            x += text_width(text, 7.5) + 0.14
