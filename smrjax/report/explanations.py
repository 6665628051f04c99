"""A page of cells beside what a network looked at: image, heat map and both in one."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smrjax.report.figures import PNG_DPI, QUIET, caption, heading, panel, sheet, shorten, text_width, write
from smrjax.report.overlays import check_heat, coloured, overlay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 1.3
SPACE = 0.07
#: Inches from line to line of a heading and of the words below a cell.
LINE, SMALL_LINE = 0.145, 0.118
#: Size of these words.
SMALL = 6.5
READING = (
    "Hot are the places whose features speak for the score (Grad-CAM); each map is scaled to its own largest value, so "
    "that heat tells where, not how much. An overlay is the more opaque the hotter."
)


def by_outcome(labels: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]) -> dict[str, list[int]]:
    """Cells by what became of them: "correct", then each mistake by the classes that it confuses.

    Within a group cells keep their order; mistakes go by the label, then by what it was taken for.

    >>> by_outcome([0, 1, 1], [0, 0, 1], ["MY", "BNE"])
    {'correct': [0, 2], 'wrong: labelled BNE, taken for MY': [1]}
    """
    cells: dict[tuple[int, int] | None, list[int]] = {None: []}
    for index, (true, found) in enumerate(zip(labels, predicted, strict=True)):
        cells.setdefault(None if true == found else (int(true), int(found)), []).append(index)
    groups = {"correct": cells.pop(None)}
    for (true, found), members in sorted((pair, members) for pair, members in cells.items() if pair):
        groups[f"wrong: labelled {class_names[true]}, taken for {class_names[found]}"] = members
    return {name: members for name, members in groups.items() if members}


def explanations_figure(
    path: str | os.PathLike[str],
    *,
    images: np.ndarray,
    maps: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    title: str,
    predicted: np.ndarray | None = None,
    notes: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    columns: int = 5,
    svg: bool = True,
) -> Path:
    """Draws cells in columns of three, image, heat map and overlay, as BM's figures 5 and 6; ten fill a page.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        images: u8 [N, H, W, 3].
        maps: heat [N, H, W] in 0..1, as `evaluate.rescale` gives it.
        labels: [N] class indices.
        class_names: [C] names.
        title: one sentence that says what is seen, and of which score.
        predicted: [N] class indices, or None where no class is predicted.
        notes: a few words a cell, such as "p = 0.93" or "t = 0.41".
        groups: heading -> cells, each at most once; by default `by_outcome`, or all cells under no heading where
            nothing is predicted.
        columns: cells beside each other, at least 1.
        svg: also write an SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: arrays that do not belong together, or heat outside of 0..1.
    """
    images, maps, labels = np.asarray(images), np.asarray(maps), np.asarray(labels)
    check_heat(images, maps)
    lengths = {len(each) for each in (images, labels, predicted, notes) if each is not None}
    if len(lengths) > 1 or columns < 1:
        raise ValueError(f"no picture of explanations: {lengths} cells, {columns} columns")
    if groups is None:
        groups = {"": range(len(labels))} if predicted is None else by_outcome(labels, predicted, class_names)
    words = [
        [f"true {class_names[labels[i]]}"]
        + ([f"pred. {class_names[predicted[i]]}"] if predicted is not None else [])
        + ([notes[i]] if notes is not None else [])
        for i in range(len(labels))
    ]
    rows = _rows(groups, columns)
    margin, step = 0.22, TILE + SPACE
    below = SMALL_LINE * max((len(lines) for lines in words), default=0) + 0.2
    lines = [max((len(lines) for lines, _, _ in row), default=0) for row in rows]
    bands = [LINE * count + 0.09 if count else 0.04 for count in lines]
    width = margin + max((left + len(cells) for row in rows for _, left, cells in row), default=1) * step + 0.5
    height = max(sum(bands) + len(rows) * (3 * step + below), step)

    with sheet(path, width=width, height=height, svg=svg) as figure:
        top = 0.0
        for row, band in zip(rows, bands, strict=True):
            top += band
            for k, name in enumerate(("image", "heat map", "overlay")):
                side = {"rotation": 90, "ha": "center", "va": "center", "fontsize": 8, "color": QUIET}
                write(figure, margin / 2, top + k * step + TILE / 2, name, **side)
            for head, first, cells in row:
                left = margin + first * step
                if head:
                    write(figure, left, top - 0.07, "\n".join(head), va="bottom", fontweight="bold", fontsize=8)
                    _rule(figure, left, top - 0.045, len(cells) * step - SPACE)
                for k, index in enumerate(cells):
                    tiles = (images[index], coloured(maps[index]), overlay(images[index], maps[index]))
                    for j, tile in enumerate(tiles):
                        _draw(figure, tile, left + k * step, top + j * step)
                    write(figure, left + k * step, top + 3 * step, "\n".join(map(_fit, words[index])), fontsize=SMALL)
            top += 3 * step + below
        if rows:
            _scale(figure, left=width - 0.42, top=bands[0])
        heading(figure, title, gap=0.06)
        caption(figure, READING, gap=0.0)
    return Path(path)


def _fit(words: str) -> str:
    """A line cut to what a tile has room for."""
    width = text_width(words, SMALL)
    length = len(words) if width <= TILE else int(len(words) * TILE / width)
    while text_width(shorten(words, length), SMALL) > TILE:
        length -= 1
    return shorten(words, length)


def _rows(groups: Mapping[str, Sequence[int]], columns: int) -> list[list[tuple[list[str], int, Sequence[int]]]]:
    """Groups beside each other where they fit, else below: (heading in lines, first column, cells)."""
    rows: list[list[tuple[list[str], int, Sequence[int]]]] = []
    first = columns
    for name, members in groups.items():
        for start in range(0, len(members), columns):
            cells = members[start : start + columns]
            if first + len(cells) > columns:
                rows.append([])
                first = 0
            head = f"{name} (continued)" if name and start else name
            rows[-1].append((textwrap.wrap(head, int(len(cells) * (TILE + SPACE) * 12.5)), first, cells))
            first += len(cells)
    return rows


def _draw(figure: Figure, tile: np.ndarray, left: float, top: float) -> None:
    height, width = tile.shape[:2]
    across, down = (TILE * n / max(height, width) for n in (width, height))
    place = {"left": left + (TILE - across) / 2, "top": top + (TILE - down) / 2, "width": across, "height": down}
    axes = panel(figure, **place)
    axes.axis("off")
    # Pixels of small images stay what they are; large ones are averaged.
    axes.imshow(tile, aspect="auto", interpolation="none" if max(height, width) < TILE * PNG_DPI else "antialiased")


def _rule(figure: Figure, left: float, top: float, width: float) -> None:
    axes = panel(figure, left=left, top=top, width=width, height=0.008)
    axes.set_facecolor(QUIET)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _scale(figure: Figure, *, left: float, top: float) -> None:
    axes = panel(figure, left=left, top=top, width=0.12, height=2 * TILE)
    axes.imshow(coloured(np.linspace(1, 0, 256))[:, None], aspect="auto", extent=(0, 1, 0, 1))
    axes.set(xticks=[], yticks=[0, 0.5, 1])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel("heat, as a share of the cell's largest", fontsize=8)
    axes.spines[:].set_visible(False)
