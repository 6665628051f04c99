"""The embedding with its curves, seen from two sides (SMR, Figure 2)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.errors import InputError
from smrjax.report.figures import (
    INK,
    VECTOR_POINTS,
    check_classes,
    class_groups,
    darker,
    heading,
    number,
    panel,
    sheet,
    shorten,
    write,
)
from smrjax.report.labelling import legend, name_points, tags
from smrjax.report.projection import limits, lineage_plane, oriented, principal_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN = 4.3
GAP = 0.62
MEAN: dict[str, Any] = {"marker": "o", "linestyle": "", "markerfacecolor": "none", "color": INK}
MEAN |= {"markersize": 9.5, "markeredgewidth": 1.3}
TARGET: dict[str, Any] = {"marker": "D", "linestyle": "", "markerfacecolor": "white", "color": INK}
TARGET |= {"markersize": 4.0, "markeredgewidth": 1.1}
CURVE: dict[str, Any] = {"color": INK, "linewidth": 1.5, "solid_capstyle": "round"}


def embedding_figure(
    path: str | os.PathLike[str],
    *,
    embeddings: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    curves: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws all cells on their two principal axes, and each lineage in the plane of its own curve.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        embeddings: [N, D] finite.
        labels: [N] class indices.
        class_names: [C] codes or names; names of more than six letters are numbered in the panels.
        colours: [C] "#rrggbb".
        lineages: name -> class indices, youngest first.
        curves: lineage -> [T, D] polyline from t = 0 to t = 1; lineages without one show cells alone.
        targets: lineage -> [C', D] points of the curve at the targets of the lineage's classes.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: embeddings that are not finite, or a file that cannot be written.
        ValueError: arrays that do not belong together.
    """
    embeddings, labels = np.asarray(embeddings, dtype=np.float64), np.asarray(labels)
    check_classes(class_names, colours, lineages, labels)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings {embeddings.shape} and labels {labels.shape} do not belong together")
    broken = int((~np.isfinite(embeddings)).any(axis=1).sum())
    if broken:
        raise InputError(f"{broken} of {len(embeddings)} embeddings are not finite; lower the learning rate")
    shown = {name: list(members) for name, members in lineages.items() if len(members)}
    groups = class_groups(len(class_names), lineages)
    rows = max(len(shown), 1)
    side = 3.2 if rows == 1 else (MAIN - GAP) / 2
    height = max(MAIN, rows * side + (rows - 1) * GAP)
    width = 0.5 + MAIN + (GAP + 3.2 if shown else 0.0)

    marks: list[tuple[str, dict]] = [("class mean", MEAN)]
    if any(name in curves for name in shown):
        marks = [("curve, t = 0 to 1", CURVE), ("target on the curve", TARGET), *marks]

    with sheet(path, width=width, height=height + 0.5, svg=svg) as figure:
        centre, plane, shares = principal_axes(embeddings)
        plane = oriented(plane, [np.asarray(curves[name]) for name in shown if name in curves])
        views = [("", 0.5, 0.0, MAIN, MAIN, list(range(len(class_names))), list(shown), centre, plane)]
        for row, (name, members) in enumerate(shown.items()):
            curve = np.asarray(curves.get(name, np.zeros((0, embeddings.shape[1]))), dtype=np.float64)
            centre, plane = lineage_plane(embeddings[np.isin(labels, members)], curve)
            views.append((name, 0.5 + MAIN + GAP, row * (side + GAP), 3.2, side, members, [name], centre, plane))
        short = tags(class_names, groups)
        for name, left, top, across, down, members, drawn, centre, plane in views:
            axes = panel(figure, left=left, top=top, width=across, height=down)
            chosen = np.isin(labels, members)
            present = [c for c in members if (labels == c).any()]
            _draw(
                axes,
                cells=_flat(embeddings[chosen], centre, plane),
                cell_colours=[colours[c] for c in labels[chosen]],
                paths=[_flat(curves[lineage], centre, plane) for lineage in drawn if lineage in curves],
                points=[_flat(targets[lineage], centre, plane) for lineage in drawn if lineage in targets],
                means=_flat([embeddings[labels == c].mean(axis=0) for c in present], centre, plane),
                names=[short[c] for c in present],
                box=(across, down),
            )
            if name:
                along, across_it = "first principal axis of its cells", "second"
                if name in curves and np.array_equal(centre, np.asarray(curves[name])[0]):
                    along, across_it = "along the chord of the curve", "away from it"
                axes.set(xlabel=along, ylabel=across_it)
                write(figure, left, top - 0.04, shorten(name, 44), fontweight="bold", va="bottom")
            else:
                axes.set_xlabel(f"first principal axis ({number(100 * shares[0], 0)} % of the variance)")
                axes.set_ylabel(f"second principal axis ({number(100 * shares[1], 0)} %)")
        legend(
            figure,
            left=0.4,
            top=height + 0.6,
            class_names=class_names,
            colours=colours,
            groups=groups,
            marks=marks,
        )
        heading(figure, title, gap=0.28)
    return Path(path)


def _flat(points: np.ndarray | Sequence[np.ndarray], centre: np.ndarray, plane: np.ndarray) -> np.ndarray:
    return (np.asarray(points, dtype=np.float64).reshape(-1, len(centre)) - centre) @ plane.T


def _draw(
    axes: Axes,
    *,
    cells: np.ndarray,
    cell_colours: Sequence[str],
    paths: Sequence[np.ndarray],
    points: Sequence[np.ndarray],
    means: np.ndarray,
    names: Sequence[str],
    box: tuple[float, float],
) -> None:
    marks = [*paths, *points, means]
    low, high = limits(np.concatenate([cells, *marks]), *box)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.tick_params(labelsize=7)
    # One scatter in mixed order: no class lies on top of the others because it was drawn last.
    order = np.random.default_rng(0).permutation(len(cells))
    mixed = [cell_colours[i] for i in order]
    size = float(np.clip(9000 / max(len(cells), 1), 4.0, 16.0))
    axes.scatter(
        cells[order, 0],
        cells[order, 1],
        s=size,
        c=mixed or None,
        alpha=0.75,
        edgecolors=[darker(colour, 0.7) for colour in mixed],
        linewidths=0.25,
        rasterized=len(cells) > VECTOR_POINTS,
        zorder=2,
    )
    for line in paths:
        axes.plot(line[:, 0], line[:, 1], color="white", linewidth=3.2, alpha=0.85, zorder=3)
        axes.plot(line[:, 0], line[:, 1], zorder=3.1, **CURVE)
    axes.plot(means[:, 0], means[:, 1], zorder=4, **{**MEAN, "color": "white", "markeredgewidth": 2.8})
    axes.plot(means[:, 0], means[:, 1], zorder=4.1, **MEAN)
    for target in points:
        axes.plot(target[:, 0], target[:, 1], zorder=4.2, **TARGET)
    # Names keep off the curves too: a few points of each stand for its course.
    courses = [line[:: max(1, len(line) // 12)] for line in paths]
    name_points(axes, means, names, np.concatenate([*points, *courses, np.zeros((0, 2))]), size=8)
