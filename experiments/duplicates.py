"""Duplicates across the parts of a split: found before a run begins, said in one line, kept as a table with the run."""

import csv
import hashlib
import os
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from smrjax.data import CellSet
from smrjax.data.cache import bar, cache_root, locked
from smrjax.data.duplicates import Duplicates, find_duplicates
from smrjax.data.pool import Pool, pool_of
from smrjax.errors import InputError
from smrjax.files import atomic, cell
from smrjax.train.processes import leads

#: Raise it when other pairs are found.
FORMAT = 1
#: Parts of a fold.
TRAINING, VALIDATION, TEST = range(3)
#: Columns of duplicates.csv that say in which folds the two cells are in these two parts.
BETWEEN = {
    "train_test": {TRAINING, TEST},
    "validation_test": {VALIDATION, TEST},
    "train_validation": {TRAINING, VALIDATION},
}


@dataclass(frozen=True)
class Counts:
    """What summary.json and run.json say of duplicates.

    Attributes:
        pairs: Of duplicates.
        exact: Those of them with the same pixels.
        across: Cells with a copy in another part of a fold.
        across_test: Those with one on the other side of a test part.
        other_class: Pairs under two labels.
    """

    pairs: int
    exact: int
    across: int
    across_test: int
    other_class: int


@dataclass(frozen=True)
class Repeated:
    """The duplicates of a run's cells.

    Attributes:
        rows: Of duplicates.csv, one a pair.
        counts: Of them.
    """

    rows: list[dict[str, Any]]
    counts: Counts


def sides_of(parts: Collection[tuple[np.ndarray, np.ndarray, np.ndarray]], cells: int) -> np.ndarray:
    """The part of every cell in every fold, Int8[folds, cells], from rows to train on, to validate with and to test."""
    found = np.zeros((len(parts), cells), np.int8)
    for row, (_, validation, test) in zip(found, parts, strict=True):
        row[validation], row[test] = VALIDATION, TEST
    return found


def nested_sides_of(nested: np.ndarray) -> np.ndarray:
    """Likewise of `smrjax.data.folds.nested_folds`, whose inner fold 0 says which epoch is the best."""
    return np.select([nested < 0, nested == 0], [TEST, VALIDATION], TRAINING).astype(np.int8)


def look_for_duplicates(
    cells: CellSet,
    sides: np.ndarray,
    folds: Collection[int],
    *,
    others: Mapping[str, CellSet],
    cache: Path | None,
    strict: bool,
) -> Repeated:
    """Find the duplicates of a run's cells, and say so where some are in two parts of a fold.

    Args:
        cells: N of them.
        sides: Of every fold, Int8[folds, N]; see `sides_of`.
        folds: Those that the run trains; none for all.
        others: Name -> a set that the run trains on, too, before all folds; images of the same size.
        cache: Cache folder, or None for the usual one; pairs are kept there.
        strict: Refuse such a split.

    Raises:
        InputError: if ``strict`` and there are any.
    """
    pool = pool_of(cells, others)
    pairs = _pairs(pool, len(cells), cache)
    sides = np.pad(sides, ((0, 0), (0, len(pool) - len(cells))), constant_values=TRAINING)
    seen = {fold: sides[fold] for fold in folds or range(len(sides))}
    # A copy of a copy is one, too.
    links = coo_array((np.ones(len(pairs), bool), (pairs.first, pairs.second)), shape=(len(pool), len(pool)))
    sets = connected_components(links, directed=False)[1] if len(pairs) else np.arange(len(pool))
    across, across_test = (_across(sets, list(seen.values()), tested) for tested in (False, True))
    # Of pairs within the other sets, nothing follows for this run.
    own = np.flatnonzero(pairs.first < len(cells))
    rows = [_row(pool, pairs, i, sets, seen) for i in map(int, own)]
    other = sum(row["first_class"] != row["second_class"] for row in rows)
    counts = Counts(len(own), int(pairs.exact[own].sum()), int(across.sum()), int(across_test.sum()), other)
    found = Repeated(rows, counts)
    if not counts.across:
        return found
    torn = [row for row in rows if any(row[name] for name in BETWEEN)]
    shown = "; ".join(f"{row['first']} and {row['second']}" for row in torn[:2]) + ("; …" if len(torn) > 2 else "")
    words = f"{counts.across:,} of {len(pool):,} cells have a duplicate on the other side of a split ({shown})"
    slide = (
        ", or, within the set that is tested, give them the same slide" if others else ", or give them the same slide"
    )
    if strict:
        table = cache_root(cache) / f"{_name(pool)}.csv"
        write_rows(table, rows)
        raise InputError(f"--strict-split: {words}; {table} lists them: take all but one of each away{slide}")
    if leads():
        warnings.warn(
            f"{words}: scores may be too good; see duplicates.csv in the run's folder. --strict-split refuses this; to "
            f"avoid it, take all but one of each away{slide}",
            stacklevel=2,
        )
    return found


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write duplicates.csv, one row a pair; where there is none, its heading alone."""
    heads = ["first", "second", "kind", "difference", "set", "first_class", "second_class", "first_slide"]
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, [*heads, "second_slide", *BETWEEN], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: cell(str(value)) for name, value in row.items()} for row in rows)


def counts_of(found: Repeated) -> dict[str, int]:
    """As JSON."""
    return asdict(found.counts)


def in_words(counts: dict[str, int]) -> str:
    """Counts as a run's report says them.

    Example:
        >>> in_words({"pairs": 0, "exact": 0, "across": 0, "across_test": 0, "other_class": 0})
        'none found'
        >>> in_words({"pairs": 3, "exact": 1, "across": 4, "across_test": 2, "other_class": 1})
        '3 pairs (1 of the same pixels, 1 under two labels); 4 cells have one in another part of a fold, 2 ...'
    """
    if not counts["pairs"]:
        return "none found"
    return (
        f"{counts['pairs']} pairs ({counts['exact']} of the same pixels, {counts['other_class']} under two labels); "
        f"{counts['across']} cells have one in another part of a fold, {counts['across_test']} across a test"
    )


def _across(sets: np.ndarray, sides: list[np.ndarray], tested: bool) -> np.ndarray:
    """Which cells have one of their set in another part of any fold, Bool[N]; of tests and all else alone, if so said.

    Args:
        sets: Of duplicates, Int[N].
        sides: See `sides_of`, by fold.
        tested: Whether only the test counts as another part.
    """
    found = np.zeros(len(sets), bool)
    for side in sides:
        part = (side == TEST).astype(np.int8) if tested else side
        low, high = np.full(sets.max() + 1, TEST + 1, np.int8), np.full(sets.max() + 1, -1, np.int8)
        np.minimum.at(low, sets, part)
        np.maximum.at(high, sets, part)
        found |= (low < high)[sets]
    return found


def _row(pool: Pool, pairs: Duplicates, i: int, sets: np.ndarray, seen: dict[int, np.ndarray]) -> dict[str, Any]:
    one, other = int(pairs.first[i]), int(pairs.second[i])
    folds = {
        name: " ".join(str(fold) for fold, side in seen.items() if {int(side[one]), int(side[other])} == both)
        for name, both in BETWEEN.items()
    }
    return {
        "first": pool.names[one],
        "second": pool.names[other],
        "kind": "exact" if pairs.exact[i] else "near",
        "difference": f"{pairs.difference[i]:.3f}",
        "set": int(sets[one]),
        "first_class": pool.classes[one],
        "second_class": pool.classes[other],
        "first_slide": pool.slides[one],
        "second_slide": pool.slides[other],
    } | folds


def _name(pool: Pool) -> str:
    """Of what the cache knows of these cells."""
    return f"duplicates-{hashlib.sha256(repr((FORMAT, pool.digest)).encode()).hexdigest()[:16]}"


def _pairs(pool: Pool, among: int, cache: Path | None) -> Duplicates:
    """The duplicates of so many first cells of a pool, found once and kept in the cache."""
    path = cache_root(cache) / f"{_name(pool)}.npz"
    with locked(path.with_suffix(".lock")):
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as known:
                return Duplicates(**{name: known[name] for name in ("first", "second", "difference", "exact")})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        with bar(len(pool), "looking for duplicates", True) as shown:
            found = find_duplicates(pool.images, among=among, workers=os.cpu_count() or 1, on_cells=shown.update)
        with atomic(path) as temporary:
            np.savez(temporary, **vars(found))
    return found
