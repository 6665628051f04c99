"""Where the cells of each class lie along their lineage's curve, with real cells below (SMR, Figure 4)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.report.figures import (
    BOUNDARY,
    FAINT,
    INK,
    QUIET,
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
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.46  # inches a class
SPACE = 0.35  # inches between readouts
WIDTH = 7.6  # inches for all readouts together
LEADERS = 0.6  # inches from the axis down to the nearest cells


@dataclass(frozen=True)
class Readout:
    """One way to read maturity off the cells: a trained run, or another curve through the same embedding.

    Attributes:
        name: what stands above the panel.
        t: [N] raw position of each cell on the curve of its lineage; may leave [0, 1]; NaN outside a lineage.
        targets: lineage -> [C] targets of its classes in maturity order.
        boundaries: lineage -> [C-1] positions where the classifier's decision changes; midway between targets if
            absent.
        nearest: class index -> u8 [K, H, W, 3] square cells next to the class's target; may be left out.
    """

    name: str
    t: np.ndarray
    targets: Mapping[str, np.ndarray]
    boundaries: Mapping[str, np.ndarray] = field(default_factory=dict)
    nearest: Mapping[int, np.ndarray] = field(default_factory=dict)


def maturity_figure(
    path: str | os.PathLike[str],
    *,
    readouts: Sequence[Readout],
    labels: np.ndarray,
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws, per lineage and side by side per readout, a ridge of t for every class over its cells.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        readouts: one or more, all over the same cells.
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
    labels = np.asarray(labels)
    check_classes(class_names, colours, lineages, labels)
    shown = {name: list(members) for name, members in lineages.items() if len(members)}
    if not readouts or not shown:
        raise ValueError("a maturity figure needs at least one readout and one lineage")
    for readout in readouts:
        if np.shape(readout.t) != labels.shape:
            raise ValueError(f"{readout.name}: t has shape {np.shape(readout.t)} for labels {labels.shape}")
    across = (WIDTH - SPACE * (len(readouts) - 1)) / len(readouts)
    across = max(across, 2.2)
    width = 0.05 + across * len(readouts) + SPACE * (len(readouts) - 1)
    names = [shorten(name, 28) for name in class_names]

    blocks, height = [], 0.0
    for name, members in shown.items():
        thumb = min(0.72, across / len(members) - 0.05)
        deepest = max((len(r.nearest.get(c, ())) for r in readouts for c in members), default=0)
        top = height + 0.62
        height = top + ROW * len(members) + (LEADERS + deepest * (thumb + 0.04) if deepest else 0.3)
        blocks.append((name, members, top, thumb if deepest else 0.0))
        height += 0.12

    with sheet(path, width=width, height=height, svg=svg) as figure:
        for name, members, top, thumb in blocks:
            write(figure, 0.0, top - 0.56, shorten(name, 60), fontsize=9.5, fontweight="bold")
            for i, readout in enumerate(readouts):
                left = i * (across + SPACE)
                axes = panel(figure, left=left, top=top, width=across, height=ROW * len(members))
                span = _span([r.t for r in readouts], np.isin(labels, members))
                line = _ridges(axes, readout, name, members, labels, colours, span)
                axes.set_yticks(range(len(members)), [names[c] if i == 0 else "" for c in members])
                write(figure, left, top - 0.35, shorten(readout.name, int(across * 13)))
                write(figure, left, top - 0.19, line, color=QUIET, fontsize=7.5)
                if thumb:
                    place = (left, top + ROW * len(members), across, thumb)
                    _nearest(figure, place, span, readout, name, members, colours)
        caption(
            figure,
            "Raw position t along the curve of each lineage, which runs from t = 0 to t = 1 (white band). "
            "Ridges: density per class, each scaled to its own peak; dots: cells. Upright bars: targets. "
            f"Dashed red lines: {_boundaries_in_words(readouts)}. Triangles at the rim: cells further out. "
            "τ: Kendall's tau-b of t and stage."
            + (" Images: the cells nearest to each target." if any(b[3] for b in blocks) else ""),
        )
        heading(figure, title, gap=0.1)
    return Path(path)


def _boundaries_in_words(readouts: Sequence[Readout]) -> str:
    if all(readout.boundaries for readout in readouts):
        return "where the classifier's decision changes along the curve"
    if any(readout.boundaries for readout in readouts):
        return "where the classifier's decision changes along the curve, or midway between targets in a reduced space"
    return "midway between targets"


def _span(positions: Sequence[np.ndarray], inside: np.ndarray) -> tuple[float, float]:
    """Limits in t that all readouts of a lineage share; a few far cells do not squeeze the rest."""
    low, high = -0.08, 1.08
    for t in positions:
        seen = np.asarray(t, dtype=np.float64)[inside]
        seen = seen[np.isfinite(seen)]
        if seen.size:
            low = max(min(low, float(np.quantile(seen, 0.003)) - 0.02), -1.0)
            high = min(max(high, float(np.quantile(seen, 0.997)) + 0.02), 2.0)
    return low, high


def _ridges(
    axes: Axes,
    readout: Readout,
    name: str,
    members: Sequence[int],
    labels: np.ndarray,
    colours: Sequence[str],
    span: tuple[float, float],
) -> str:
    """Draws the ridges and returns the line of numbers above them."""
    t = np.asarray(readout.t, dtype=np.float64)
    targets = np.asarray(readout.targets.get(name, ()), dtype=np.float64)
    boundaries = np.asarray(readout.boundaries.get(name, (targets[1:] + targets[:-1]) / 2), dtype=np.float64)
    stage = np.full(len(colours), np.nan)
    stage[list(members)] = np.arange(len(members))
    inside = np.isin(labels, members) & np.isfinite(t)
    seen = t[inside]
    low, high = span
    axes.set(xlim=(low, high), ylim=(len(members) - 0.5 + 0.22, -0.86))
    axes.set_facecolor("#f1f1f1")
    axes.axvspan(0, 1, color="white", zorder=0)
    axes.vlines([0, 1], 0, 1, transform=axes.get_xaxis_transform(), color=QUIET, linewidth=0.9, zorder=1)
    if boundaries.size:
        rule = axes.get_xaxis_transform()
        axes.vlines(boundaries, 0, 1, transform=rule, color=BOUNDARY, linewidth=0.9, linestyle=(0, (4, 2.5)), zorder=6)
    axes.tick_params(axis="y", length=0, pad=5)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["t = 0", "", "0.5", "", "1"])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    grid = np.linspace(low, high, 300)
    for row, c in enumerate(members):
        own = t[inside & (labels == c)]
        edge = darker(colours[c])
        axes.axhline(row, color=FAINT, linewidth=0.6, zorder=1)
        near = (own >= low) & (own <= high)
        ridge = density(own[near], grid)
        axes.fill_between(grid, row - 0.76 * ridge, row, color=colours[c], linewidth=0, alpha=0.85, zorder=3)
        if ridge.any():
            ridge[ridge < 0.004] = np.nan  # no outline along the foot
            axes.plot(grid, row - 0.76 * ridge, color=edge, linewidth=0.8, zorder=3.1)
        rain = row + 0.07 + 0.17 * np.random.default_rng(c).random(own.size)
        dots = {"rasterized": own.size > VECTOR_POINTS // 4, "linewidths": 0.15, "edgecolors": edge}
        size = float(np.clip(1500 / max(own.size, 1), 2.0, 9.0))
        axes.scatter(own[near], rain[near], s=size, color=colours[c], alpha=0.7, zorder=2, **dots)
        for beyond, marker, rim in ((own < low, "<", low), (own > high, ">", high)):
            axes.scatter(np.full(beyond.sum(), rim), rain[beyond], s=9, marker=marker, color=edge, clip_on=False)
        if row < targets.size and np.isfinite(targets[row]):
            axes.vlines(targets[row], row - 0.8, row + 0.26, color="white", linewidth=3.4, zorder=4)
            axes.vlines(targets[row], row - 0.8, row + 0.26, color=INK, linewidth=1.5, zorder=5)
        if own.size == 0:
            axes.text(0.5, row - 0.1, "no cells", color=QUIET, fontsize=7.5, ha="center", va="bottom")
    outside = 100 * float(((seen < 0) | (seen > 1)).mean()) if seen.size else 0.0
    tau = kendall(seen, stage[labels[inside]])
    return f"τ = {number(tau)} · n = {seen.size:,} · {number(outside, 0)} % beyond the ends"


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density on a grid, scaled to a peak of 1; zero for fewer than three values.

    The width follows Silverman's rule with the smaller of deviation and scaled quartile range, and is at
    least one grid step, so that a class in one point is a spike, not a division by zero.

    >>> density(np.zeros(5), np.array([-1.0, 0.0, 1.0])).round(2).tolist()
    [0.61, 1.0, 0.61]
    """
    if values.size < 3:
        return np.zeros_like(grid)
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.349
    spread = min(float(values.std()), spread) if spread > 0 else float(values.std())
    width = max(0.9 * spread * values.size**-0.2, float(grid[1] - grid[0]))
    height = np.exp(-0.5 * ((grid[:, None] - values[None]) / width) ** 2).sum(axis=1)
    peak = float(height.max())
    return height / peak if peak > 0 else height


def _nearest(
    figure: Figure,
    place: tuple[float, float, float, float],
    span: tuple[float, float],
    readout: Readout,
    name: str,
    members: Sequence[int],
    colours: Sequence[str],
) -> None:
    """The nearest cells in equal slots in maturity order, each tied to its target on the axis above."""
    left, top, across, thumb = place
    deepest = max((len(readout.nearest.get(c, ())) for c in members), default=0)
    if not deepest:
        return
    down = LEADERS + deepest * (thumb + 0.04)
    axes = panel(figure, left=left, top=top, width=across, height=down)
    axes.axis("off")
    axes.set(xlim=(0, across), ylim=(down, 0))
    axes.autoscale(False)
    targets = np.asarray(readout.targets.get(name, ()), dtype=np.float64)
    for row, c in enumerate(members):
        cells = readout.nearest.get(c, ())
        middle = (row + 0.5) * across / len(members)
        if len(cells) and row < targets.size and np.isfinite(targets[row]):
            x = (targets[row] - span[0]) / (span[1] - span[0]) * across
            axes.plot([x, x, middle, middle], [0.28, 0.33, LEADERS - 0.08, LEADERS], color=INK, linewidth=0.8)
            axes.plot(x, 0.28, marker="^", color=INK, markersize=3.5, clip_on=False)
        for k, cell in enumerate(cells):
            y = LEADERS + k * (thumb + 0.04)
            box = (middle - thumb / 2, middle + thumb / 2, y + thumb, y)
            axes.imshow(cell, extent=box, aspect="auto", zorder=2)
            frame: dict[str, Any] = {"color": colours[c], "linewidth": 1.8, "solid_joinstyle": "miter"}
            axes.plot([box[0], box[1], box[1], box[0], box[0]], [y, y, y + thumb, y + thumb, y], zorder=3, **frame)
