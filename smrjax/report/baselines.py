"""Classifiers on descriptors and networks, class by class and by m-score (OOTB, Figure 2)."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.report.figures import (
    FAINT,
    INK,
    QUIET,
    SERIES,
    caption,
    check_classes,
    darker,
    heading,
    number,
    panel,
    sheet,
    shorten,
    text_width,
    write,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, LEAST, TALL = 6.9, 2.8, 6.4  # inches: of a page, of the panel where names are long, of all rows
ROW, GAP = 0.19, 0.07  # inches: the lowest row, and what parts two groups
MACRO, M, WEAKEST = 0.52, 1.0, 1.14  # inches from the panel to the ends of two columns and the start of the third
LINE = 0.175  # inches from one line of the legend to the next
NAME = 28  # letters of a name
SIZE, SMALL = 8.0, 7.5  # points of the words, and of the numbers
FLOOR = 0.01  # a lower F1 counts as this much in the m-score


def baselines_figure(
    path: str | os.PathLike[str],
    *,
    scores: Mapping[str, Mapping[str, tuple[Sequence[float] | np.ndarray, float]]],
    class_names: Sequence[str],
    colours: Sequence[str] | None = None,
    title: str,
    svg: bool = True,
) -> Path:
    """Draws one task: a row per classifier, a square per class at its F1, and a cross at the m-score.

    Source: OOTB, Figure 2 (a-c), a panel each. F1 has the axis below, the m-score the one above, which runs from
    all classes at 0.01, where OOTB caps the F1, to 0. A square takes the colour of its class rather than the
    classifier's, so it can be seen which class fails; squares of a row that would hide one another are moved apart
    upwards and downwards.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        scores: group (descriptor, "networks") -> row (classifier) -> F1 of every class Float[C], NaN where it is
            undefined, and the m-score, the sum of ln F1 over the classes, NaN where it is unknown. Drawn in this
            order; groups without rows are left out.
        class_names: [C] names.
        colours: [C] "#rrggbb"; None gives colours that can be told apart.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no row, no class, a row with another number of classes, or a score out of its range.
    """
    count = len(class_names)
    colours = _some_colours(count) if colours is None else colours
    check_classes(class_names, colours, {})
    lowest = count * math.log(FLOOR)
    rows = [(group, row, *_checked(group, row, *of, count)) for group, own in scores.items() for row, of in own.items()]
    if not rows or not count:
        raise ValueError(f"baselines need a row and a class, got {len(rows)} and {count}")

    f1, m = np.stack([one for *_, one, _ in rows]), np.array([one for *_, one in rows])
    known = np.isfinite(f1).any(axis=1)
    macro = np.array([np.nanmean(one) if any_ else math.nan for one, any_ in zip(f1, known, strict=True)])
    weakest = ["–" if not any_ else class_names[int(np.nanargmin(one))] for one, any_ in zip(f1, known, strict=True)]
    weakest = [shorten(name, 20) for name in weakest]
    groups = list(dict.fromkeys(group for group, *_ in rows))
    of_group = np.array([groups.index(group) for group, *_ in rows])
    words = [shorten(row, NAME) for _, row, *_ in rows]
    # A group of one row has room for one line.
    folded = [textwrap.wrap(g, 18, max_lines=1 + (len(scores[g]) > 1), placeholder=" …") for g in groups]

    left = 0.06 + max(text_width(line, SIZE) for of in folded for line in [*of, ""]) * 1.15 + 0.14
    left += max(text_width(word, SIZE) for word in words) + 0.08
    right = WEAKEST + max(text_width(word, SMALL) for word in (*weakest, "weakest")) + 0.1
    across = max(LEAST, WIDTH - left - right)
    side, most = (5.4, 3) if count <= 6 else (4.8, 5) if count <= 12 else (4.2, 5)  # points; lanes of a row
    pitch = (side + 1.2) / 72
    lanes = [_lanes(of * across, 0.9 * pitch, most) for of in np.column_stack([f1, 1 - m / lowest])]
    used = 2 * int(np.abs(lanes).max())
    # Many rows on a page bring the lanes closer, so that squares of two lanes may lap.
    tall = max(ROW, min((used + 1) * pitch + 0.05, TALL / len(rows), 0.36))
    pitch = min(pitch, (tall - 0.04 - side / 72) / max(used, 1))
    at = (np.arange(len(rows)) + 0.5) * tall + of_group * GAP
    height, width = float(at[-1] + tall / 2), left + across + right
    lines = 2 + max(line for _, line in _places(class_names, width))

    with sheet(path, width=width, height=height + 0.5 + lines * LINE, svg=svg) as figure:
        axes = panel(figure, left=left, top=0.0, width=across, height=height)
        above = axes.twiny()
        # Both axes go on for half a mark at either end; 0 and 1 below are the ends of the one above.
        axes.set(xlim=(-0.02, 1.02), ylim=(height, 0), yticks=[], xticks=np.linspace(0, 1, 6), xlabel="F1 of a class")
        above.set(xlim=(1.02 * lowest, -0.02 * lowest), xticks=_ticks(lowest), xlabel="m-score")
        for one in (axes, above):
            one.spines[:].set_visible(False)
            one.tick_params(axis="x", labelsize=SMALL, length=3)
        for i, lines_of in enumerate(folded):
            own = at[of_group == i]
            top, bottom = own[0] - tall / 2 - GAP / 2, own[-1] + tall / 2 + GAP / 2
            if i % 2 == 0:
                ends, over_names = (-left / across, 1 + right / across), axes.get_yaxis_transform()
                shade: dict[str, Any] = {"transform": over_names, "clip_on": False, "linewidth": 0, "zorder": 0}
                axes.fill_between(ends, top, bottom, color="#f3f3f3", **shade)
            write(figure, 0.06, own.mean(), "\n".join(lines_of), va="center", fontsize=SIZE, fontweight="bold")
        axes.vlines(np.linspace(0, 1, 6), -GAP / 2, height + GAP / 2, color="#dedede", linewidth=0.6, clip_on=False)
        axes.hlines(at, 0, 1, color=FAINT, linewidth=0.5)
        axes.scatter(macro, at, marker="|", s=(62 * tall) ** 2, color=INK, linewidths=1, zorder=2.5, label="macro-F")
        for c, lane in enumerate(np.transpose(lanes)[:-1]):
            style: dict[str, Any] = {"color": colours[c], "edgecolors": darker(colours[c]), "linewidths": 0.7}
            axes.scatter(
                f1[:, c],
                at + lane * pitch,
                marker="s",
                s=side**2,
                zorder=3,
                clip_on=False,
                label=class_names[c],
                **style,
            )
        above.scatter(m, at, marker="x", s=4.6**2, color=INK, linewidths=1.1, clip_on=False, label="m-score")

        level = partial(write, figure, va="center_baseline")
        for column, end, digits in ((macro, MACRO, 3), (m, M, 2)):
            best = number(np.nanmax(column), digits) if len(rows) > 1 and np.isfinite(column).any() else ""
            for y, word in zip(at, [number(value, digits) for value in column], strict=True):
                weight = "bold" if word == best else "normal"
                level(left + across + end, y, word, ha="right", fontsize=SMALL, fontweight=weight)
        for y, word, low in zip(at, words, weakest, strict=True):
            level(left - 0.08, y, word, ha="right", fontsize=SIZE)
            level(left + across + WEAKEST, y, low, fontsize=SMALL)
        for end, word, ha in ((MACRO, "macro-F", "right"), (M, "m", "right"), (WEAKEST, "weakest", "left")):
            write(figure, left + across + end, -0.08, word, ha=ha, va="bottom", fontsize=SMALL, color=QUIET)
        _key(figure, height + 0.5, class_names, colours, side)
        undefined = " A class without F1 has no square." if np.isnan(f1).any() else ""
        caption(
            figure,
            "A row is a classifier on the descriptor at its left, or a network. Squares: F1 of each class (axis below);"
            " those that would hide one another are moved up or down. Cross: m-score (axis above), the sum of ln F1"
            f" over the classes, each F1 at least {FLOOR}; 0 is perfect. At the right: macro-F, the mean F1 of the"
            " classes, the m-score, and the class of lowest F1; bold: the best of each score." + undefined,
        )
        heading(figure, title, gap=0.5)
    return Path(path)


def _checked(group: str, row: str, f1: Sequence[float] | np.ndarray, m: float, count: int) -> tuple[np.ndarray, float]:
    """The scores of a row as they are drawn, or a ValueError that names the row."""
    values = np.asarray(f1, np.float64)
    if values.shape != (count,):
        raise ValueError(f"{group}, {row}: F1 of shape {values.shape} for {count} classes")
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"{group}, {row}: F1 from {np.nanmin(values):g} to {np.nanmax(values):g} leaves 0 to 1")
    if m > 1e-6 or m < count * math.log(FLOOR) - 1e-3:
        raise ValueError(f"{group}, {row}: m-score {m:g} leaves {count} ln {FLOOR} to 0")
    return values, float(m)


def _lanes(x: np.ndarray, apart: float, most: int) -> np.ndarray:
    """Lanes 0, 1, -1, … for marks at `x`, so that those of a lane are `apart`; the last mark has lane 0.

    >>> _lanes(np.array([0.0, 0.1, 0.2, 1.0]), 0.15, 3)
    array([0, 1, 0, 0])
    """
    lanes = np.zeros(x.size, int)
    choice = [(k + 1) // 2 * (1 if k % 2 else -1) for k in range(most)]
    placed = [x.size - 1] if np.isfinite(x[-1]) else []
    for c in np.argsort(x[:-1], kind="stable"):
        if np.isfinite(x[c]):
            room = [min([abs(x[c] - x[o]) for o in placed if lanes[o] == lane], default=apart) for lane in choice]
            # The first lane with room; where none has any, the roomiest.
            lanes[c] = choice[int(np.argmax(np.minimum(room, apart)))]
            placed.append(int(c))
    return lanes


def _ticks(lowest: float) -> np.ndarray:
    """Round m-scores from `lowest` to 0."""
    from matplotlib.ticker import MaxNLocator

    ticks = np.asarray(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(lowest, 0))
    return ticks[(ticks >= lowest) & (ticks <= 0)]


def _places(class_names: Sequence[str], width: float) -> list[tuple[float, int]]:
    """Inches from the left and the line of each class in the legend: one line, or columns of one width, downwards."""
    needed = [0.32 + text_width(shorten(name, NAME), SIZE) for name in class_names]
    if sum(needed) <= width:
        return [(sum(needed[:c]), 0) for c in range(len(needed))]
    lines = math.ceil(len(needed) / max(1, int((width + 0.15) / max(needed))))
    return [(c // lines * max(needed), c % lines) for c in range(len(needed))]


def _key(figure: Figure, top: float, class_names: Sequence[str], colours: Sequence[str], side: float) -> None:
    """The legend: the classes, and a line for the tick and the cross."""
    width = float(figure.get_size_inches()[0])
    places = _places(class_names, width)
    last = 1 + max(line for _, line in places)
    axes = panel(figure, left=0.06, top=top, width=width, height=(last + 1) * LINE)
    axes.set(xlim=(0, width), ylim=(last + 0.5, -0.5))
    axes.axis("off")
    marks = [("macro-F (axis below)", "|", 8.0, INK, INK), ("m-score (axis above)", "x", 4.6, INK, INK)]
    marks += [(shorten(n, NAME), "s", side, own, darker(own)) for n, own in zip(class_names, colours, strict=True)]
    for (word, mark, size, own, edge), (x, y) in zip(marks, [(0.0, last), (1.6, last), *places], strict=True):
        axes.plot(x, y, mark, color=own, markeredgecolor=edge, ms=size, mew=0.7 if mark == "s" else 1.1, clip_on=False)
        axes.text(x + 0.1, y, word, va="center_baseline", fontsize=SIZE)


def _some_colours(count: int) -> list[str]:
    """Colours for classes that have none: the series where they suffice, else a rainbow in class order."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if count <= len(SERIES):
        return list(SERIES[:count])
    return [to_hex(colour) for colour in colormaps["turbo"](np.linspace(0.03, 0.97, count))]
