"""Words beside points without collisions, and the legend in columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from smrjax.report.figures import INK, QUIET, darker, panel, shorten, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.175  # inches from one legend entry to the next
COLUMN_LINES = 8


def place_labels(anchors: np.ndarray, sizes: np.ndarray, obstacles: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Centres for labels near their anchors, off each other, off the obstacles and inside the box.

    Greedy, most crowded anchor first; each label takes the cheapest of a ring of candidates. All in inches.

    Args:
        anchors: [M, 2] points to be named.
        sizes: [M, 2] widths and heights of the labels.
        obstacles: [K, 2] points that a label should not hide.
        box: [2] width and height of the panel, whose corner is (0, 0).

    Returns:
        [M, 2] label centres.
    """
    count = len(anchors)
    centres = np.array(anchors, dtype=float)
    if count == 0:
        return centres
    gaps = np.linalg.norm(anchors[:, None] - anchors[None], axis=-1) + np.where(np.eye(count), np.inf, 0.0)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    placed: list[int] = []
    for i in np.argsort(gaps.min(axis=1), kind="stable"):
        reach = np.array([0.1, 0.18, 0.3, 0.45, 0.65, 0.9])[:, None, None]
        # The label's edge, not its centre, keeps the distance from the anchor.
        candidates = (anchors[i] + ring * (reach + sizes[i] / 2)).reshape(-1, 2)
        cost = np.repeat(reach.ravel(), len(ring)) * 0.4
        outside = np.maximum(0, sizes[i] / 2 - candidates) + np.maximum(0, candidates + sizes[i] / 2 - box)
        cost += 100 * outside.sum(axis=-1)
        for j in placed:
            cost += 60 * _overlap(candidates, sizes[i] + 0.03, centres[j], sizes[j])
        for point in np.concatenate([anchors, obstacles]):
            cost += 12 * _overlap(candidates, sizes[i], point, np.full(2, 0.11))
        centres[i] = candidates[np.argmin(cost)]
        placed.append(int(i))
    return centres


def _overlap(centres: np.ndarray, size: np.ndarray, other: np.ndarray, other_size: np.ndarray) -> np.ndarray:
    """Side of the square as large as the overlap of rectangles: [K], inches."""
    shared = (size + other_size) / 2 - np.abs(centres - other)
    return np.sqrt(np.prod(np.maximum(shared, 0), axis=-1))


def name_points(axes: Axes, points: np.ndarray, names: Sequence[str], obstacles: np.ndarray, *, size: float) -> None:
    """Writes names beside points [M, 2] in data units, with a hair line where a name had to go far.

    The limits of the axes must be final.
    """
    from matplotlib.patheffects import withStroke

    page = np.array(axes.get_figure(root=True).get_size_inches())  # type: ignore[union-attr]
    box = np.array(axes.get_position().size) * page
    low = np.array([axes.get_xlim()[0], axes.get_ylim()[0]])
    scale = box / (np.array([axes.get_xlim()[1], axes.get_ylim()[1]]) - low)
    sizes = np.array([[text_width(name, size) + 0.03, size / 72 * 1.15] for name in names]).reshape(-1, 2)
    anchors = (points - low) * scale
    centres = place_labels(anchors, sizes, (obstacles.reshape(-1, 2) - low) * scale, box)
    for name, anchor, centre, extent in zip(names, anchors, centres, sizes, strict=True):
        x, y = centre / scale + low
        if np.linalg.norm(np.maximum(np.abs(centre - anchor) - extent / 2, 0)) > 0.15:
            start = anchor / scale + low
            axes.plot([start[0], x], [start[1], y], color=INK, linewidth=0.5, zorder=5)
        style = {"fontsize": size, "ha": "center", "va": "center_baseline", "fontweight": "bold"}
        # The halo turns its text into outlines, so the words themselves are written once more on top.
        halo = withStroke(linewidth=2.6, foreground="white", alpha=0.9)
        axes.text(x, y, name, path_effects=[halo], zorder=7, **style)  # type: ignore[arg-type]
        axes.text(x, y, name, zorder=8, **style)  # type: ignore[arg-type]


def tags(class_names: Sequence[str], groups: Mapping[str, Sequence[int]]) -> list[str]:
    """Short marks for the classes: their names where all are codes, else numbers in legend order.

    >>> tags(["MY", "PMY"], {"neutrophil": [1, 0]})
    ['MY', 'PMY']
    >>> tags(["myelocyte", "promyelocyte"], {"neutrophil": [1, 0]})
    ['2', '1']
    """
    if max(map(len, class_names), default=0) <= 6:
        return list(class_names)
    order = [c for members in groups.values() for c in members]
    return [str(order.index(c) + 1) for c in range(len(class_names))]


def legend(
    figure: Figure,
    *,
    left: float,
    top: float,
    class_names: Sequence[str],
    colours: Sequence[str],
    groups: Mapping[str, Sequence[int]],
    marks: Sequence[tuple[str, dict]] = (),
    size: float = 8.5,
) -> None:
    """Columns of coloured dots and names, a column per group; `marks` (words, line style) in their own.

    Columns that do not fit the width of the sheet go on in a next row.
    """
    short = tags(class_names, groups)
    columns: list[tuple[str, list[tuple[str, dict]]]] = []
    for group, members in groups.items():
        entries: list[tuple[str, dict]] = []
        for c in members:
            words = class_names[c] if short[c] == class_names[c] else f"{short[c]}  {class_names[c]}"
            dot = {"marker": "o", "linestyle": "", "color": colours[c], "markersize": 5.5}
            entries.append((shorten(words, 34), {**dot, "markeredgecolor": darker(colours[c])}))
        lines = math.ceil(len(entries) / math.ceil(len(entries) / COLUMN_LINES))
        for start in range(0, len(entries), lines):
            columns.append((group if start == 0 else "", entries[start : start + lines]))
    if marks:
        columns.append(("", list(marks)))
    width = float(figure.get_size_inches()[0])
    x, y, deepest = left, top, 0
    for title, entries in columns:
        needed = 0.5 + max([text_width(title, size) * 1.12 - 0.2] + [text_width(words, size) for words, _ in entries])
        if x > left and x + needed - 0.25 > width:
            x, y, deepest = left, y + (deepest + 1.7) * LINE, 0
        _column(figure, x, y, shorten(title, 34), entries, size)
        x, deepest = x + needed, max(deepest, len(entries))


def _column(
    figure: Figure, left: float, top: float, title: str, entries: Sequence[tuple[str, dict]], size: float
) -> None:
    axes = panel(figure, left=left, top=top, width=1.0, height=LINE * (len(entries) + 1))
    axes.set(xlim=(0, 1), ylim=(len(entries) + 0.5, -0.5))
    axes.axis("off")
    axes.text(0, 0, title, fontsize=size, fontweight="bold", va="center", color=QUIET)
    for row, (words, mark) in enumerate(entries, start=1):
        axes.plot([0.0, 0.07, 0.14], [row] * 3, markevery=[1], clip_on=False, **mark)
        axes.text(0.2, row, words, fontsize=size, va="center")
