"""A sheet of example cells, a row per class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.report.figures import (
    FAINT,
    QUIET,
    check_classes,
    class_groups,
    darker,
    heading,
    panel,
    sheet,
    shorten,
    text_width,
    write,
)

TILE = 0.62
SPACE = 0.04


def contact_sheet(
    path: str | os.PathLike[str],
    *,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    title: str,
    per_class: int = 10,
    svg: bool = False,
) -> Path:
    """Draws `per_class` cells of each class, classes by lineage and maturity.

    The cells of a class are taken evenly from the order in which they come: sorted by maturity they show
    its course.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        images: u8 [N, H, W, 3], square; a memory map is fine, only what is shown is read.
        labels: [N] class indices.
        class_names: [C] names.
        colours: [C] "#rrggbb".
        lineages: name -> class indices, youngest first.
        title: one sentence that says what is seen.
        per_class: cells a row, at least 1.
        svg: also write an SVG, with the cells as they are embedded in it.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: arrays that do not belong together, or no cell a row.
    """
    labels = np.asarray(labels)
    check_classes(class_names, colours, lineages, labels)
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) != len(labels) or per_class < 1:
        raise ValueError(f"no contact sheet: images {images.shape}, labels {labels.shape}, {per_class} a class")
    groups = class_groups(len(class_names), lineages)
    names = {c: shorten(class_names[c], 32) for members in groups.values() for c in members}
    margin = 0.3 + max((text_width(name, 8.5) for name in names.values()), default=0.0)
    step = TILE + SPACE
    band = 0.28  # for the name of a group
    width = margin + per_class * step
    height = max(sum(band + len(members) * step for members in groups.values()), step)

    with sheet(path, width=width, height=height, svg=svg) as figure:
        axes = panel(figure, left=0.0, top=0.0, width=width, height=height)
        axes.axis("off")
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.autoscale(False)
        top = 0.0
        for group, members in groups.items():
            write(
                figure,
                0.0,
                top + band - 0.08,
                shorten(group, 60),
                va="bottom",
                fontweight="bold",
                color=QUIET,
            )
            top += band
            for c in members:
                middle = top + TILE / 2
                dot: dict[str, Any] = {"markersize": 6.5, "markeredgecolor": darker(colours[c])}
                axes.plot(0.06, middle, marker="o", color=colours[c], **dot)
                axes.text(0.17, middle, names[c], va="center_baseline", fontsize=8.5)
                own = np.flatnonzero(labels == c)
                steps = np.linspace(0, len(own) - 1, min(per_class, len(own)))
                chosen = own[steps.round().astype(int)]
                for k, index in enumerate(chosen):
                    left = margin + k * step
                    extent = (left, left + TILE, top + TILE, top)
                    axes.imshow(np.asarray(images[index]), extent=extent, aspect="auto")
                if not len(own):
                    axes.plot([margin, width - SPACE], [middle, middle], color=FAINT, linewidth=0.8)
                    axes.text(margin + 0.05, middle - 0.06, "no cells", color=QUIET, fontsize=7.5, va="bottom")
                top += step
        heading(figure, title, gap=0.06)
    return Path(path)
