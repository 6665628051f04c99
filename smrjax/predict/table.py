"""Answers as a table, the same in CSV and Parquet: one row an image, unreadable ones with their reason."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.data.listing import Picture
from smrjax.errors import DAMAGED, InputError, first_line
from smrjax.files import atomic, cell
from smrjax.predict.answers import Answers
from smrjax.predict.model import WARNING
from smrjax.taxonomy import Taxonomy

#: Columns of numbers, of `Answers` attributes.
NUMBERS = ("t", "raw_t", "distance", "off_curve_ratio", "unfamiliar_ratio")
FLAGS = ("borderline", "off_curve", "unfamiliar")


def to_table(pictures: Sequence[Picture], reasons: Sequence[str], answers: Answers, taxonomy: Taxonomy) -> Any:
    """A ``pyarrow.Table`` with a row an image, in their order.

    Columns: path, group, true (null where unknown), predicted, second, p_CODE of every class, lineage, t, raw_t,
    distance, off_curve_ratio, unfamiliar_ratio, borderline, off_curve, unfamiliar, unreadable, reason. What is not
    known is null: maturity outside of lineages with a curve, all answers of an unreadable image, the reason of others.
    Its metadata, which Parquet keeps, have the `WARNING`.

    Args:
        pictures: N of them.
        reasons: Why each cannot be read; empty where it can.
        answers: Of the readable ones.
        taxonomy: Of the run.
    """
    import pyarrow

    good = np.array([not reason for reason in reasons], bool)
    row_of = np.cumsum(good) - 1

    def column(values: np.ndarray, kind: Any) -> Any:
        """Values of the readable images as a column of all; null where not finite or unreadable."""
        if not len(values):
            return pyarrow.nulls(len(good), kind)
        spread = values[np.maximum(row_of, 0)]
        missing = ~good
        if spread.dtype.kind == "f":
            missing = missing | ~np.isfinite(spread)
        return pyarrow.array(spread.tolist(), kind, mask=missing)

    def words(values: Iterable[str]) -> Any:
        return pyarrow.array([value or None for value in values], pyarrow.string())

    def names(labels: np.ndarray, known: Sequence[str]) -> Any:
        return column(np.array([*known, ""], object)[labels], pyarrow.string())

    lineages = [line.name for line in taxonomy.lineages]
    columns = {
        "path": words(picture.name for picture in pictures),
        "group": words(picture.group for picture in pictures),
        "true": words(picture.true for picture in pictures),
        "predicted": names(answers.predicted, taxonomy.classes),
        "second": names(answers.second, taxonomy.classes),
    }
    columns |= {
        f"p_{code}": column(answers.probabilities[:, i], pyarrow.float32()) for i, code in enumerate(taxonomy.classes)
    }
    # The place -1, of no lineage, names the empty word at the end.
    columns["lineage"] = words(names(answers.lineage, lineages).to_pylist())
    columns |= {name: column(getattr(answers, name), pyarrow.float32()) for name in NUMBERS}
    columns |= {name: column(getattr(answers, name), pyarrow.bool_()) for name in FLAGS}
    columns |= {"unreadable": pyarrow.array(~good), "reason": words(reasons)}
    return pyarrow.table(columns, metadata={"warning": WARNING})


def write_part(path: Path, table: Any) -> None:
    """Write one table as Parquet, atomically, with checksums: it may lie there for long before it is read."""
    from pyarrow import parquet

    # Files are opened here, and below: pyarrow takes no names that are not UTF-8.
    with atomic(path) as temporary, open(temporary, "wb") as out:
        parquet.write_table(table, out, write_page_checksum=True)


def read_part(path: Path) -> Any:
    """A table that `write_part` wrote.

    Raises:
        InputError: if the file is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with open(path, "rb") as file:
            table = parquet.read_table(file, page_checksum_verification=True)
        table.validate(full=True)
        return table.select(table.schema.names)  # which reads the names, too
    except (OSError, pyarrow.ArrowException, *DAMAGED) as error:
        raise InputError(
            f"{path}: is damaged ({first_line(error)}); take it away, and the same command goes on"
        ) from None


def join_parts(parts: Sequence[Path], stem: Path, *, images: Sequence[int]) -> None:
    """Write ``stem.parquet`` and ``stem.csv`` from parts in their order, a part in memory at a time.

    In CSV, words that spreadsheets would take for formulas have an apostrophe before them, see `smrjax.files.cell`.

    Args:
        parts: Of `write_part`.
        stem: Of the files to write.
        images: How many each part is of.

    Raises:
        InputError: if a part is damaged, of another table than the first, or of another number of images.
    """
    from pyarrow import csv, parquet

    schema = read_part(parts[0]).schema
    with (
        atomic(stem.with_suffix(".parquet")) as columns,
        atomic(stem.with_suffix(".csv")) as rows,
        open(columns, "wb") as columns_out,
        open(rows, "wb") as rows_out,
        parquet.ParquetWriter(columns_out, schema) as one,
        csv.CSVWriter(rows_out, schema) as other,
    ):
        for part, count in zip(parts, images, strict=True):
            table = read_part(part)
            if table.schema != schema or len(table) != count:
                raise InputError(f"{part}: is not of these images; take it away, and the same command goes on")
            one.write_table(table)
            other.write_table(_for_spreadsheets(table))


def _for_spreadsheets(table: Any) -> Any:
    """Words as `smrjax.files.cell` makes them."""
    import pyarrow

    for i, field in enumerate(table.schema):
        if pyarrow.types.is_string(field.type):
            words = [None if word is None else cell(word) for word in table.column(i).to_pylist()]
            table = table.set_column(i, field, pyarrow.array(words, pyarrow.string()))
    return table


def read_columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some columns of a Parquet file, nulls as None or NaN.

    Raises:
        InputError: if it lacks one of them.
    """
    from pyarrow import parquet

    with open(path, "rb") as file:
        table = parquet.read_table(file, columns=list(names))
    if missing := sorted(set(names) - set(table.schema.names)):
        raise InputError(f"{path}: has no column {missing[0]}; predict anew into another --out")
    return {name: table.column(name).to_numpy() for name in names}
