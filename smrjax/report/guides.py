"""Guides side by side (GUIDES, Figure 4), and what each of them did to the scores (Figure 5)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from smrjax.report.comparison import interval
from smrjax.report.figures import (
    FAINT,
    INK,
    QUIET,
    caption,
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
from smrjax.report.labelling import legend

SIDE, GAP, COLUMNS = 1.75, 0.32, 4
BAR_HEIGHT = 2.1
#: Shades of the series of a bar chart: the paper's darker and lighter one.
SHADES = ("#1f5a93", "#9cc3e6")


def guides_figure(
    path: str | os.PathLike[str],
    *,
    guides: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws every guide in a panel: a point a class, the stages of a lineage joined in maturity order.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        guides: name -> [C, 2] places of the classes.
        class_names: [C] names.
        colours: [C] "#rrggbb".
        lineages: name -> class indices, youngest first.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no guide, or places that do not belong to the classes.
    """
    check_classes(class_names, colours, lineages)
    if not guides or any(np.shape(g) != (len(class_names), 2) for g in guides.values()):
        raise ValueError(f"guides must hold [{len(class_names)}, 2] places each, one guide at least")
    columns = min(COLUMNS, max(len(guides), 2))
    rows = -(-len(guides) // columns)
    width, height = columns * SIDE + (columns - 1) * 0.15, rows * SIDE + (rows - 1) * GAP
    with sheet(path, width=width, height=height, svg=svg) as figure:
        for i, (name, places) in enumerate(guides.items()):
            left, top = (i % columns) * (SIDE + 0.15), (i // columns) * (SIDE + GAP)
            axes = panel(figure, left=left, top=top, width=SIDE, height=SIDE)
            reach = 1.15 * max(float(np.abs(places).max()), 1e-9)
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
            for side in ("top", "right", "left", "bottom"):
                axes.spines[side].set(visible=True, color=FAINT)
            for members in lineages.values():
                line = places[list(members)]
                axes.plot(line[:, 0], line[:, 1], color=QUIET, linewidth=1.0, alpha=0.7, zorder=1)
            axes.scatter(
                places[:, 0],
                places[:, 1],
                s=42,
                c=list(colours),
                edgecolors=[darker(colour) for colour in colours],
                linewidths=0.8,
                zorder=2,
            )
            write(figure, left, top - 0.05, shorten(name, 30), va="bottom", fontsize=8.5)
        groups = class_groups(len(class_names), lineages)
        legend(figure, left=0.0, top=height + 0.15, class_names=class_names, colours=colours, groups=groups, marks=[])
        heading(figure, title, gap=0.3)
    return Path(path)


def guide_scores_figure(
    path: str | os.PathLike[str],
    *,
    scores: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    baseline: Mapping[str, Sequence[float]],
    baseline_name: str,
    title: str,
    svg: bool = True,
) -> Path:
    """Draws a row of bars per score: a group a guide, a bar a loss, and the baseline as a line over all.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        scores: score -> guide -> loss -> one value per fold. At most two losses; every guide may lack some.
        baseline: score -> one value per fold.
        baseline_name: of the method behind the line.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no score or no guide.
    """
    from matplotlib.patches import Patch

    guides = list(dict.fromkeys(guide for of in scores.values() for guide in of))
    losses = list(dict.fromkeys(loss for of in scores.values() for one in of.values() for loss in one))
    if not guides or not losses or len(losses) > len(SHADES):
        raise ValueError(f"bars need a guide and one or two losses, got {len(guides)} and {len(losses)}")
    # Few names stand upright in two lines, many lean.
    upright = len(guides) <= 5
    width = max(3.4, (1.15 if upright else 0.62) * len(guides) + 0.6)
    height = len(scores) * BAR_HEIGHT + (len(scores) - 1) * 0.25
    across = 0.8 / len(losses)
    with sheet(path, width=width, height=height, svg=svg) as figure:
        for row, (score, of) in enumerate(scores.items()):
            axes = panel(figure, left=0.0, top=row * (BAR_HEIGHT + 0.25), width=width, height=BAR_HEIGHT)
            seen = []
            for k, loss in enumerate(losses):
                for i, guide in enumerate(guides):
                    values = np.asarray(of.get(guide, {}).get(loss, ()), np.float64)
                    if not np.isfinite(values).any():
                        continue
                    mean, half = interval(values)
                    half = 0.0 if np.isnan(half) else half
                    at = i - 0.4 + across * (k + 0.5)
                    axes.bar(at, mean, width=across * 0.92, color=SHADES[k], zorder=2)
                    axes.errorbar(at, mean, yerr=half, color=INK, linewidth=0.9, capsize=2, zorder=3)
                    seen += [mean - half, mean + half]
            base, _ = interval(np.asarray(baseline[score], np.float64))
            axes.axhline(base, color=INK, linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=4)
            axes.text(len(guides) - 0.4, base, f" {baseline_name}\n {number(base, 3)}", va="center", fontsize=7.5)
            low, high = min([*seen, base]), max([*seen, base])
            room = 0.15 * max(high - low, 0.01)
            # Bars of scores that differ by points start where the differences can be seen; the axis says where.
            axes.set(xlim=(-0.6, len(guides) - 0.4), ylim=(max(0.0, low - 2 * room), high + room))
            axes.set_ylabel(score)
            last = row == len(scores) - 1
            names = [shorten(g, 30) if last else "" for g in guides]
            if upright:
                axes.set_xticks(range(len(guides)), [name.replace(", ", "\n") for name in names])
            else:
                axes.set_xticks(range(len(guides)), names, rotation=30, ha="right")
            axes.tick_params(axis="x", length=0)
            if row == 0:
                marks = [Patch(color=SHADES[k], label=loss) for k, loss in enumerate(losses)]
                axes.legend(
                    handles=marks, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, fontsize=8
                )
        caption(
            figure,
            f"Mean over folds with its 95 % interval (Student's t). Dashed: {baseline_name}, without a guide. "
            "Axes may begin above zero.",
            gap=0.5 if upright else 1.25,
        )
        heading(figure, title, gap=0.4)
    return Path(path)
