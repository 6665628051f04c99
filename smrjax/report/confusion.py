"""The confusion matrix with its classes ordered by lineage and maturity."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.report.figures import (
    FAINT,
    INK,
    QUIET,
    check_classes,
    class_groups,
    darker,
    heading,
    panel,
    power,
    sheet,
    shorten,
    text_width,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUPPORT = 1.15  # inches for the bars at the side
SHADE = 1.15  # share that the darkest blue would stand for: 100 % stays a blue, not a black


def confusion_figure(
    path: str | os.PathLike[str],
    *,
    counts: np.ndarray,
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    title: str,
    shares: np.ndarray | None = None,
    log: bool = False,
    svg: bool = True,
) -> Path:
    """Draws counts in cells shaded by their share of the row, frames around lineages, support at the side.

    With `shares` and `log` it is Figure 4 of BM, in which rare classes are as visible as others.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        counts: int [C, C]; row: labelled class, column: predicted class; over all folds.
        class_names: [C] names.
        colours: [C] "#rrggbb".
        lineages: name -> class indices, youngest first.
        title: one sentence that says what is seen.
        shares: float [C, C], each row's shares as a mean over folds (`smrjax.evaluate.mean_shares`), NaN in rows
            without cells. Shade and recall are theirs then, and cells hold them in percent, below half a percent
            nothing, in place of the counts.
        log: the bars of the support are logarithmic.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: counts or shares of another size.
    """
    counts = np.asarray(counts)
    check_classes(class_names, colours, lineages)
    for name, matrix in (("counts", counts), ("shares", counts if shares is None else np.asarray(shares))):
        if matrix.shape != (len(class_names), len(class_names)) or not len(class_names):
            raise ValueError(f"{name} {matrix.shape} for {len(class_names)} classes")
    groups = class_groups(len(class_names), lineages)
    order = [c for members in groups.values() for c in members]
    counts, names = counts[np.ix_(order, order)], [shorten(class_names[c], 28) for c in order]
    support = counts.sum(axis=1)
    if shares is None:
        share, written = counts / np.maximum(support, 1)[:, None], counts
    else:
        share = np.nan_to_num(np.asarray(shares)[np.ix_(order, order)])
        written = np.rint(100 * share).astype(int)
    size = float(np.clip(7.0 / len(order), 0.34, 0.6))
    side = size * len(order)

    with sheet(path, width=side + 0.35 + SUPPORT, height=side, svg=svg) as figure:
        axes = panel(figure, left=0.0, top=0.0, width=side, height=side)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=SHADE, aspect="auto")
        digits = max(len(f"{written.max():,}"), 3)
        font = min(8.5, 0.84 * size * 72 / (0.62 * digits))
        for row, column in zip(*np.nonzero(written), strict=True):
            pale = share[row, column] < 0.55
            weight = "bold" if row == column else "normal"
            words = f"{written[row, column]:,}"
            style: dict[str, Any] = {
                "fontsize": font,
                "fontweight": weight,
                "color": INK if pale else "white",
            }
            axes.text(column, row, words, ha="center", va="center_baseline", **style)
        _frames(axes, groups, size)
        axes.set_xticks(range(len(order)), names, rotation=90 if max(map(len, names)) > 4 else 0)
        axes.set_yticks(range(len(order)), names)
        axes.tick_params(length=0, pad=14)
        rim = 0.1 / side * len(order)
        for place, c in enumerate(order):
            dot: dict[str, Any] = {
                "marker": "o",
                "color": colours[c],
                "markeredgecolor": darker(colours[c]),
                "markersize": 5.5,
            }
            axes.plot(-0.5 - rim, place, clip_on=False, **dot)
            axes.plot(place, len(order) - 0.5 + rim, clip_on=False, **dot)
        axes.set(xlim=(-0.5, len(order) - 0.5), ylim=(len(order) - 0.5, -0.5))
        axes.set_xlabel("predicted class")
        axes.set_ylabel("labelled class")

        bars = panel(figure, left=side + 0.15, top=0.0, width=SUPPORT, height=side)
        largest, least = max(int(support.max()), 1), 0.8 if log else 0
        if log:
            _decades(bars, largest)
        else:
            bars.axis("off")
        long = np.maximum(support, least)
        bars.barh(range(len(order)), long, height=0.62, color=[colours[c] for c in order], linewidth=0.5)
        bars.set(ylim=(len(order) - 0.5, -0.5), xlim=(least, largest))
        for row, cells in enumerate(support):
            found = f"{cells:,}" if cells == 0 else f"{cells:,} · {100 * share[row, row]:.0f} %"
            offset: dict[str, Any] = {
                "xytext": (4, 0),
                "textcoords": "offset points",
                "va": "center_baseline",
            }
            bars.annotate(found, (max(cells, least), row), fontsize=7.5, **offset)
        above = 0.22 if log else 0.06
        write(figure, side + 0.15, -above, "cells · recall", va="bottom", fontsize=8, color=QUIET)
        scale = panel(figure, left=side + 0.15, top=side + 0.18, width=SUPPORT, height=0.11)
        ramp = np.linspace(0, 1, 64)[None]
        scale.imshow(ramp, cmap="Blues", vmin=0, vmax=SHADE, aspect="auto", extent=(0, 1, 0, 1))
        scale.set_yticks([])
        scale.set_xticks([0, 0.5, 1], ["0", "50", "100 %"], fontsize=7)
        scale.tick_params(length=2, pad=2)
        scale.set_xlabel("share of the row", fontsize=7.5, labelpad=2)
        heading(figure, title, gap=0.28 + above)
    return Path(path)


def _decades(bars: Axes, largest: int) -> None:
    """A logarithmic axis above the bars."""
    ticks = 10.0 ** np.arange(int(np.log10(largest)) + 1)
    bars.set_xscale("log")
    bars.xaxis.tick_top()
    bars.set_xticks(ticks, [power(tick) for tick in ticks], fontsize=7)
    bars.set_xticks([], minor=True)
    bars.set_yticks([])
    bars.tick_params(length=2, pad=1)
    bars.spines[:].set_visible(False)


def _frames(axes: Axes, groups: Mapping[str, Sequence[int]], size: float) -> None:
    """Lines between the groups, a frame around each on the diagonal, and its name above."""
    count = sum(map(len, groups.values()))
    start = 0
    for name, members in groups.items():
        end = start + len(members)
        if start:
            axes.axhline(start - 0.5, color=QUIET, linewidth=0.6)
            axes.axvline(start - 0.5, color=QUIET, linewidth=0.6)
        low, high = start - 0.5, end - 0.5
        axes.plot(
            [low, high, high, low, low],
            [low, low, high, high, low],
            color=INK,
            linewidth=1.3,
            clip_on=False,
            zorder=4,
        )
        room = len(members) * size
        words = name
        while words and text_width(words, 8) > room - 0.04:
            words = shorten(name, len(words) - 1) if len(words) > 2 else ""
        if len(groups) > 1:
            above = axes.annotate(words, ((low + high) / 2, -0.5), (0, 5), textcoords="offset points", fontsize=8)
            above.set(ha="center", va="bottom", color=QUIET)
        start = end
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=FAINT, linewidth=0.5)
    axes.tick_params(which="minor", length=0)
