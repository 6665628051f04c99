"""How far probabilities can be believed: the share of right answers against what was claimed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.report.figures import FAINT, INK, QUIET, SERIES, caption, heading, panel, sheet, shorten, write

SIDE, BELOW, GAP, COLUMNS = 2.2, 0.5, 0.5, 3


@dataclass(frozen=True)
class Reliability:
    """Cells of one run in bins of the probability that was claimed for the answer.

    Attributes:
        name: of the run.
        note: a few numbers below the name.
        claimed: [B] mean claimed probability of the cells of a bin; NaN where it is empty.
        right: [B] share of these that are right.
        low: [B] lower end of the 95 % interval of that share.
        high: [B] upper end.
        cells: [B] how many.
    """

    name: str
    note: str
    claimed: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cells: np.ndarray


def reliability_figure(
    path: str | os.PathLike[str], *, runs: Sequence[Reliability], title: str, svg: bool = True
) -> Path:
    """Draws, per run, the share of right answers against the claimed probability, over a count of the cells.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        runs: one panel each.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no run.
    """
    if not runs:
        raise ValueError("there is no run to draw")
    columns = min(COLUMNS, len(runs))
    pitch = SIDE + BELOW + 1.05
    lines = math.ceil(len(runs) / columns)
    width = max(columns * SIDE + (columns - 1) * GAP, 5.2)  # room for the words
    with sheet(path, width=width, height=lines * pitch - 0.6, svg=svg) as figure:
        for i, one in enumerate(runs):
            left, top = (i % columns) * (SIDE + GAP), (i // columns) * pitch + 0.45
            axes = panel(figure, left=left, top=top, width=SIDE, height=SIDE)
            axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=(0, (4, 2.5)))
            seen = np.asarray(one.cells) > 0
            dots: dict[str, Any] = {"color": SERIES[0], "markersize": 4.5, "markeredgecolor": "white"}
            axes.vlines(one.claimed[seen], one.low[seen], one.high[seen], color=SERIES[0], linewidth=1.2)
            axes.plot(one.claimed[seen], one.right[seen], marker="o", linewidth=1.0, markeredgewidth=0.6, **dots)
            ticks = [0, 0.5, 1]
            axes.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)
            axes.set_xticklabels([])
            axes.set_yticklabels(["0", "0.5", "1"] if i % columns == 0 else [])
            if i % columns == 0:
                axes.set_ylabel("share right")
            write(figure, left, top - 0.24, shorten(one.name, 34), va="bottom", fontweight="bold")
            write(figure, left, top - 0.08, one.note, va="bottom", fontsize=7.5, color=QUIET)
            bars = panel(figure, left=left, top=top + SIDE + 0.08, width=SIDE, height=BELOW - 0.08)
            edges = np.linspace(0, 1, len(one.cells) + 1)
            bars.bar(edges[:-1], one.cells, width=np.diff(edges), align="edge", color=FAINT, edgecolor="white")
            most = int(np.max(one.cells))
            bars.set(xlim=(0, 1), ylim=(0, max(most, 1)), xticks=ticks, yticks=[most])
            bars.set_yticklabels([f"{most:,}"], fontsize=7, va="top")
            bars.set_xticklabels(["0", "0.5", "1"])
            bars.set_xlabel("claimed probability")
            bars.tick_params(color=INK)
        caption(
            figure,
            "Dots: cells in bins of the probability of the likeliest class, and the share of them that are right, with "
            "95 % intervals. On the dashed line probabilities are what they claim; below it they promise too much. "
            "Bars: cells per bin.",
            gap=0.5,
        )
        heading(figure, title, gap=0.0)
    return Path(path)
