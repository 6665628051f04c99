"""What became of the cells: a bar per run, from right to far off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from smrjax.report.figures import FAINT, INK, heading, number, panel, sheet, shorten, text_width, write

ROW = 0.42  # inches a run
#: What became of a cell: words, colour. From quiet to alarming, and from dark to light, for eyes without red or green.
OUTCOMES = {
    "correct": ("right", "#2b6ca3"),
    "adjacent": ("one stage off", "#9cc3e6"),
    "same_lineage": ("further off in the lineage", "#f2c57c"),
    "other": ("other lineage or class", "#c4532d"),
}


def outcomes_figure(
    path: str | os.PathLike[str],
    *,
    shares: Mapping[str, Mapping[str, float]],
    title: str,
    svg: bool = True,
) -> Path:
    """Draws a bar per run: cells that are right, one stage off, further off in the lineage, or elsewhere.

    Args:
        path: the PNG to write; with `svg` its SVG goes beside it.
        shares: run -> share of the cells with each of `OUTCOMES`, as `smrjax.evaluate.error_split` gives them.
        title: one sentence that says what is seen.
        svg: also write the SVG.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: no run, or shares that do not sum to one.
    """
    if not shares or any(abs(sum(of[name] for name in OUTCOMES) - 1) > 1e-6 for of in shares.values()):
        raise ValueError("shares of every outcome must be there, of one run at least, and sum to one")
    width, height = 6.4, ROW * len(shares)
    with sheet(path, width=width, height=height, svg=svg) as figure:
        axes = panel(figure, left=0.0, top=0.0, width=width, height=height)
        axes.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5))
        axes.set_yticks(range(len(shares)), [shorten(run, 44) for run in shares])
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        axes.tick_params(axis="y", length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(FAINT)
        for row, of in enumerate(shares.values()):
            start = 0.0
            for i, (name, (_, colour)) in enumerate(OUTCOMES.items()):
                axes.barh(row, of[name], left=start, height=0.66, color=colour, edgecolor="white", linewidth=0.8)
                words = f"{number(100 * of[name], 1)} %"
                if of[name] * width > text_width(words, 8) + 0.08:
                    ink = "white" if i in (0, 3) else INK
                    middle = start + of[name] / 2
                    axes.text(middle, row, words, ha="center", va="center_baseline", fontsize=8, color=ink)
                start += of[name]
        x = 0.0
        for words, colour in OUTCOMES.values():
            key = panel(figure, left=x, top=-0.23, width=0.13, height=0.13)
            key.set_facecolor(colour)
            key.set(xticks=[], yticks=[])
            key.spines[:].set_visible(False)
            write(figure, x + 0.19, -0.165, words, va="center_baseline", fontsize=8)
            x += 0.42 + text_width(words, 8)
        heading(figure, title, gap=0.4)
    return Path(path)
