"""Differential counts of the cells of a prediction: a table of shares and one of ratios, by slide or folder."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.evaluate.counts import DifferentialCount, differential_count, ratio
from smrjax.evaluate.wilson import cells_needed
from smrjax.files import atomic, cell
from smrjax.predict.model import WARNING
from smrjax.taxonomy import Taxonomy, left_ratios

#: The group of all cells together, beside those of the slides where these are several.
ALL = "all"
SHARES = ("share", "low", "high", "corrected", "corrected_low", "corrected_high")
RATIO = ("over", "under", "value", "low", "high", "corrected", "corrected_low", "corrected_high")


def count_groups(
    groups: Sequence[str], predicted: np.ndarray, taxonomy: Taxonomy, confusion: np.ndarray
) -> dict[str, DifferentialCount]:
    """The differential count of every group in the order of their names, and of all together.

    Classes that the taxonomy calls artefacts are no part of the whole.

    Args:
        groups: Of each image, n of them.
        predicted: Its class, Int[n]; -1 where it could not be read.
        taxonomy: Of the run.
        confusion: Of the run's test cells, rows true, Int[C, C].
    """
    left_out = [taxonomy.classes.index(code) for code in taxonomy.artefacts]
    names, home = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    each = np.zeros((len(names), len(taxonomy.classes)), np.int64)
    good = np.asarray(predicted) >= 0
    np.add.at(each, (home[good], predicted[good]), 1)
    tables = dict(zip(names.tolist(), each, strict=True))
    if len(names) != 1:
        together = ALL
        while together in tables:
            together += " slides"
        tables = {together: each.sum(0), **tables}
    return {name: differential_count(counts, confusion, left_out=left_out) for name, counts in tables.items()}


def write_counts(path: Path, counts: Mapping[str, DifferentialCount], taxonomy: Taxonomy, *, within: float) -> None:
    """One row a group and class: cells, shares with their intervals, and how many cells would settle the share.

    Columns: group, class, count, total, share, low, high, corrected, corrected_low, corrected_high, cells_needed: of
    which half the interval of ``share`` would be no wider than ``within``; and note, the `WARNING`: in every row, since
    rows are what is carried on into other tables.
    """

    def rows() -> Iterable[list[Any]]:
        for group, one in counts.items():
            for i, code in enumerate(taxonomy.classes):
                shares = [float(getattr(one, name)[i]) for name in SHARES]
                needed = cells_needed(shares[0], half_width=within) if np.isfinite(shares[0]) else ""
                yield [group, code, int(one.counts[i]), one.total, *map(_number, shares), needed, WARNING]

    _write(path, ["group", "class", "count", "total", *SHARES, "cells_needed", "note"], rows())


def write_ratios(path: Path, counts: Mapping[str, DifferentialCount], taxonomy: Taxonomy) -> None:
    """One row a group and ratio of the taxonomy, as myeloid to erythroid; an end beyond every bound is empty.

    Columns: group, ratio, classes_over, classes_under, over, under, value, low, high, corrected, corrected_low,
    corrected_high, note.
    """

    def rows() -> Iterable[list[Any]]:
        place = taxonomy.classes.index
        ratios = left_ratios(taxonomy.ratios, [code for code in taxonomy.classes if code not in taxonomy.artefacts])
        for group, one in counts.items():
            for asked in ratios:
                found = ratio(one, [place(code) for code in asked.over], [place(code) for code in asked.under])
                numbers = (_number(found[name]) for name in RATIO)
                yield [group, asked.name, "+".join(asked.over), "+".join(asked.under), *numbers, WARNING]

    _write(path, ["group", "ratio", "classes_over", "classes_under", *RATIO, "note"], rows())


def _number(value: float | int | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"


def _write(path: Path, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(heads)
        # No number here is below zero, so none is taken for a formula.
        writer.writerows([cell(value) if isinstance(value, str) else value for value in row] for row in rows)
