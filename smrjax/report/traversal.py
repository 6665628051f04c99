"""Real cells along the curve of their lineage, with the model's position under each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.report.figures import (
    FAINT,
    INK,
    QUIET,
    caption,
    check_classes,
    darker,
    heading,
    number,
    panel,
    sheet,
    shorten,
    write,
)

WIDTH = 7.6  # inches of a strip
SPACE = 0.07


@dataclass(frozen=True)
class Strip:
    """Cells of one set that lie along a curve.

    Attributes:
        name: of the set.
        t: [K] positions wanted, ascending.
        found: [K] position of the cell shown in each place; NaN where there is none near.
        labels: [K] class of that cell; -1 where there is none.
        images: u8 [K, H, W, 3]; whatever where there is none.
    """

    name: str
    t: np.ndarray
    found: np.ndarray
    labels: np.ndarray
    images: np.ndarray


def along(t: np.ndarray, low: float = 0.0, high: float = 1.0, *, count: int = 13) -> tuple[np.ndarray, np.ndarray]:
    """Of many cells, one for each of `count` evenly spaced positions.

    Args:
        t: [N] positions of the cells; those that are not finite are left out.
        low: first position.
        high: last position, above `low`.
        count: positions, at least 2.

    Returns:
        The positions [count], and the index of the cell nearest to each, [count]: no further than half a step away,
        no cell twice; -1 where there is none. Of cells equally near, the first.

    >>> along(np.array([0.1, 0.9, 0.55, 0.0]), count=3)[1].tolist()
    [3, 2, 1]
    """
    places = np.linspace(low, high, count)
    reach = 0.5 * (high - low) / (count - 1) + 1e-9
    chosen = np.full(count, -1)
    t = np.asarray(t, np.float64)
    for i, place in enumerate(places):
        away = np.abs(t - place)
        away[~np.isfinite(t)] = np.inf
        away[chosen[chosen >= 0]] = np.inf
        if away.size and away.min() <= reach:
            chosen[i] = int(away.argmin())
    return places, chosen


def traversal_figure(
    path: str | os.PathLike[str],
    *,
    strips: Mapping[str, Sequence[Strip]],
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws, per lineage, a strip of cells for every set, evenly spaced in t, in frames of their classes' colours.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        strips: lineage -> strips, all with the same positions.
        class_names: [C] codes or short names.
        colours: [C] "#rrggbb".
        lineages: name -> class indices, youngest first.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no strip, or strips of unequal length.
    """
    check_classes(class_names, colours, lineages)
    shown = {name: list(of) for name, of in strips.items() if len(of)}
    counts = {len(strip.t) for of in shown.values() for strip in of}
    if len(counts) != 1:
        raise ValueError("a traversal needs at least one strip, and all of the same number of places")
    step = WIDTH / counts.pop()
    thumb = step - SPACE
    down = thumb + 0.4  # the cell, its position and its class
    several = any(len(of) > 1 for of in shown.values())
    named = 0.24 if several else 0.0
    tops, height = [], 0.0
    for of in shown.values():
        tops.append(height + 0.32)
        height += 0.32 + len(of) * (down + named) + 0.16
    with sheet(path, width=WIDTH, height=height - 0.16, svg=svg) as figure:
        for (lineage, of), top in zip(shown.items(), tops, strict=True):
            write(figure, 0.0, top - 0.3, shorten(lineage, 60), fontsize=9.5, fontweight="bold")
            for row, strip in enumerate(of):
                y = top + row * (down + named)
                if several:
                    write(figure, 0.0, y + 0.08, shorten(strip.name, 80), color=QUIET, fontsize=8)
                _strip(figure, strip, y + named, step, thumb, class_names, colours)
        caption(
            figure,
            "Cells at even steps of the model's own position t along the curve, which runs from 0 to 1 and goes on "
            "straight beyond its ends; under each its t and the code of its class. A gap: no cell lies nearer than "
            "half a step.",
            gap=0.06,
        )
        heading(figure, title, gap=0.1)
    return Path(path)


def _strip(
    figure: Any,
    strip: Strip,
    top: float,
    step: float,
    thumb: float,
    class_names: Sequence[str],
    colours: Sequence[str],
) -> None:
    down = thumb + 0.4
    axes = panel(figure, left=0.0, top=top, width=WIDTH, height=down)
    axes.axis("off")
    axes.set(xlim=(0, WIDTH), ylim=(down, 0))
    axes.autoscale(False)
    for k, (wanted, found, label) in enumerate(zip(strip.t, strip.found, strip.labels, strict=True)):
        left = k * step + SPACE / 2
        right, middle, low = left + thumb, k * step + step / 2, 0.03
        corners = ([left, right, right, left, left], [low, low, low + thumb, low + thumb, low])
        if label < 0:
            axes.plot(*corners, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.text(middle, thumb + 0.15, number(float(wanted)), color=FAINT, ha="center", fontsize=7.5)
            continue
        axes.imshow(strip.images[k], extent=(left, right, low + thumb, low), aspect="auto", zorder=2)
        axes.plot(*corners, color=darker(colours[label]), linewidth=3.4, solid_joinstyle="miter", zorder=3)
        axes.plot(*corners, color=colours[label], linewidth=2.4, solid_joinstyle="miter", zorder=4)
        style: dict[str, Any] = {"ha": "center", "va": "baseline"}
        axes.text(middle, thumb + 0.19, number(float(found)), fontsize=8, color=INK, **style)
        axes.text(middle, thumb + 0.33, shorten(class_names[label], 9), fontsize=7.5, color=QUIET, **style)
