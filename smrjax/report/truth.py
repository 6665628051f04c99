"""Recovered against true maturity, where the truth is known."""

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
    SERIES,
    VECTOR_POINTS,
    caption,
    check_classes,
    darker,
    heading,
    kendall,
    number,
    panel,
    sheet,
    shorten,
    text_width,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 2.5
GAP = 0.3
BINS = 12
MARKERS = "osD^v"


def true_maturity_figure(
    path: str | os.PathLike[str],
    *,
    recovered: Mapping[str, np.ndarray],
    truth: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws, per lineage and readout, cells and their binned mean, and at the right tau within each class.

    Order between classes comes with the labels; order within a class is what a method finds by itself.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        recovered: readout name -> [N] position along the curve of the cell's lineage; NaN where none.
        truth: [N] true maturity; NaN where unknown.
        labels: [N] class indices.
        class_names: [C] names.
        colours: [C] "#rrggbb".
        lineages: name -> class indices, youngest first.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no readout, no lineage, or arrays that do not belong together.
    """
    truth, labels = np.asarray(truth, dtype=np.float64), np.asarray(labels)
    check_classes(class_names, colours, lineages, labels)
    shown = {name: list(members) for name, members in lineages.items() if len(members)}
    readouts = {name: np.asarray(t, dtype=np.float64) for name, t in recovered.items()}
    if not readouts or not shown:
        raise ValueError("a picture of true maturity needs at least one readout and one lineage")
    if any(t.shape != labels.shape for t in (truth, *readouts.values())):
        raise ValueError("recovered, truth and labels do not hold the same number of cells")
    pitch = SIDE + 1.15
    names = [shorten(name, 28) for name in class_names]
    margin = 0.25 + max(text_width(names[c], 8) for members in shown.values() for c in members)
    width = 0.5 + len(readouts) * (SIDE + GAP) + margin + 1.6

    with sheet(path, width=width, height=len(shown) * pitch - 0.55, svg=svg) as figure:
        for row, (lineage, members) in enumerate(shown.items()):
            top = row * pitch + 0.6
            write(figure, 0.5, top - 0.47, shorten(lineage, 60), fontsize=9.5, fontweight="bold", va="bottom")
            inside = np.isin(labels, members) & np.isfinite(truth)
            lows, highs = zip(*(_range(t[inside]) for t in readouts.values()), strict=True)
            for i, (name, t) in enumerate(readouts.items()):
                left = 0.5 + i * (SIDE + GAP)
                axes = panel(figure, left=left, top=top, width=SIDE, height=SIDE)
                axes.set(xlim=(-0.03, 1.03), ylim=(min(lows), max(highs)))
                if np.isfinite(truth[inside]).any():
                    x_low, x_high = _range(truth[inside])
                    axes.set_xlim(x_low, x_high)
                seen = inside & np.isfinite(t)
                _scatter(axes, truth[seen], t[seen], [colours[c] for c in labels[seen]])
                axes.set_xlabel("true maturity")
                axes.tick_params(labelsize=7.5)
                if i:
                    axes.tick_params(labelleft=False)
                else:
                    axes.set_ylabel("recovered position t")
                within = [kendall(truth[seen & (labels == c)], t[seen & (labels == c)]) for c in members]
                known = [tau for tau in within if np.isfinite(tau)]
                inner = number(float(np.mean(known)) if known else np.nan)
                indent = 0.0
                if len(readouts) > 1:  # the mark that stands for the readout in the last panel
                    mark: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "color": "white"}
                    mark |= {"markeredgecolor": SERIES[i % len(SERIES)], "markeredgewidth": 1.2}
                    place = axes.transAxes
                    axes.plot(0.02, 1 + 0.33 / SIDE, transform=place, markersize=5.5, clip_on=False, **mark)
                    indent = 0.14
                write(figure, left + indent, top - 0.27, shorten(name, 32), va="bottom")
                tau = number(kendall(truth[seen], t[seen]))
                words = f"τ = {tau} · within classes {inner}"
                write(figure, left, top - 0.08, words, va="bottom", fontsize=7.5, color=QUIET)
            left = 0.5 + len(readouts) * (SIDE + GAP) + margin
            axes = panel(figure, left=left, top=top, width=1.6, height=SIDE)
            write(figure, left, top - 0.27, "τ within each class", va="bottom")
            _within(axes, readouts, truth, labels, members, names, colours)
        caption(
            figure,
            "Dots: cells in the colour of their class. Line and bars: mean and standard deviation of t in "
            "bins of equal width of true maturity. τ: Kendall's tau-b of recovered and true maturity; "
            "within classes: the mean of its value in each class.",
            gap=0.45,
        )
        heading(figure, title, gap=0.1)
    return Path(path)


def _range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return -0.05, 1.05
    # Cells in the last half per cent beyond the ends are cut off rather than squeezing the others.
    low, high = min(0.0, *np.quantile(values, [0.005])), max(1.0, *np.quantile(values, [0.995]))
    pad = 0.04 * (high - low)
    return float(low - pad), float(high + pad)


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray, cell_colours: Sequence[str]) -> None:
    order = np.random.default_rng(0).permutation(x.size)
    mixed = [cell_colours[i] for i in order]
    size = float(np.clip(6000 / max(x.size, 1), 3.0, 14.0))
    edges = [darker(colour, 0.7) for colour in mixed]
    points: dict[str, Any] = {"alpha": 0.7, "linewidths": 0.2, "edgecolors": edges}
    points["rasterized"] = x.size > VECTOR_POINTS
    axes.scatter(x[order], y[order], s=size, c=mixed or None, zorder=2, **points)
    centres, means, spreads = binned(x, y)
    axes.errorbar(centres, means, spreads, color="white", linewidth=3.4, elinewidth=2.6, zorder=3)
    axes.errorbar(centres, means, spreads, color=INK, linewidth=1.5, elinewidth=0.9, marker="o", markersize=3, zorder=4)
    axes.grid(color="#ececec", linewidth=0.6)


def binned(x: np.ndarray, y: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, means and standard deviations of y in bins of equal width of x.

    Bins with fewer than three cells are left out.

    >>> x, y = np.array([0.0, 0, 0, 1, 1, 1]), np.array([1.0, 2, 3, 5, 5, 5])
    >>> [values.round(3).tolist() for values in binned(x, y, bins=2)]
    [[0.0, 1.0], [2.0, 5.0], [0.816, 0.0]]
    """
    if x.size == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    edges = np.linspace(x.min(), x.max(), bins + 1)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, bins - 1)
    full = [b for b in range(bins) if (place == b).sum() >= 3]
    groups = [place == b for b in full]
    # The mean of x, not the middle of the bin: the cells of a thin end bin lie to one side.
    return (
        np.array([x[g].mean() for g in groups]),
        np.array([y[g].mean() for g in groups]),
        np.array([y[g].std() for g in groups]),
    )


def _within(
    axes: Axes,
    readouts: Mapping[str, np.ndarray],
    truth: np.ndarray,
    labels: np.ndarray,
    members: Sequence[int],
    names: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Tau of each class, one mark a readout."""
    axes.set(ylim=(len(members) - 0.5, -0.5), xlim=(-0.25, 1.02))
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.hlines(range(len(members)), -0.25, 1.02, color=FAINT, linewidth=0.6)
    axes.set_yticks(range(len(members)), [names[c] for c in members])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    lowest = 0.0
    for i, t in enumerate(readouts.values()):
        for row, c in enumerate(members):
            own = labels == c
            tau = kendall(truth[own], t[own])
            lowest = min(lowest, tau if np.isfinite(tau) else 0.0)
            offset = (i - (len(readouts) - 1) / 2) * min(0.22, 0.6 / len(readouts))
            ring = SERIES[i % len(SERIES)] if len(readouts) > 1 else darker(colours[c])
            mark: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "markersize": 5.5}
            mark |= {"markeredgecolor": ring, "markeredgewidth": 1.2, "linestyle": ""}
            axes.plot(tau, row + offset, color=colours[c], **mark)
    axes.set_xlim(min(-0.25, lowest - 0.05), 1.02)
