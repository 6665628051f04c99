"""What experts say about pairs of classes: similarity and severity, 1 to 5, rows true and columns predicted."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smrjax.errors import InputError
from smrjax.files import read_text

KINDS = ("similarity", "severity")
LOWEST, HIGHEST = 1, 5
_FOLDER = Path(__file__).parent.parent / "taxonomies"


def read_matrix(path: str | Path, classes: Sequence[str], *, subset: bool = False) -> np.ndarray:
    """A matrix from a CSV file with class codes in the first row and the first column.

    Lines that begin with ``#`` are comments. The diagonal may hold anything or nothing; it counts as 0.

    Args:
        path: The file.
        classes: Codes in the order of the labels.
        subset: Whether the file may know classes beside these.

    Returns:
        Int[C, C] in that order, 1 to 5, zero diagonal; row true class, column predicted class (GUIDES, section III-A).

    Raises:
        InputError: for a file that cannot be read, is not square, lacks a class or has an unknown one, or holds a value
            that is not a whole number from 1 to 5; with the row and the column.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path}: is empty; write the class codes into the first row and the first column")
    # Spreadsheets write semicolons where the comma is a decimal sign.
    comma = ";" if lines[0][1].count(";") > lines[0][1].count(",") else ","
    rows = []
    for line, words in lines:
        try:
            (row,) = csv.reader([words], delimiter=comma, strict=True)
        except (csv.Error, ValueError) as error:
            raise InputError(f"{path}, line {line}: is not a row of a CSV file ({error})") from None
        rows.append([cell.strip() for cell in row])
    heads, names = rows[0][1:], [row[0] for row in rows[1:]]
    _check_names(path, heads, names, classes, subset)
    values: dict[tuple[str, str], int] = {}
    for (line, _), row in zip(lines[1:], rows[1:], strict=True):
        if len(row) != len(heads) + 1:
            raise InputError(f"{path}, line {line}: {len(row) - 1} values for {len(heads)} columns; give one a column")
        for head, cell in zip(heads, row[1:], strict=True):
            if head != row[0]:
                values[row[0], head] = _value(path, line, head, cell)
    return np.array([[0 if a == b else values[a, b] for b in classes] for a in classes])


def _check_names(
    path: str | Path, heads: Sequence[str], names: Sequence[str], classes: Sequence[str], subset: bool
) -> None:
    for where, codes in (("first row", heads), ("first column", names)):
        for i, code in enumerate(codes):
            if code in codes[:i]:
                raise InputError(f"{path}: class {code} is twice in the {where}; name it once")
            if code not in classes and not subset:
                raise InputError(f"{path}: class {code or '(blank)'} in the {where} is none of {', '.join(classes)}")
    odd = sorted(set(heads) ^ set(names))
    if odd:
        raise InputError(f"{path}: is not square, class {odd[0]} has no {'row' if odd[0] in heads else 'column'}")
    for code in classes:
        if code not in heads:
            raise InputError(f"{path}: class {code} is missing; give it a row and a column")


def _value(path: str | Path, line: int, head: str, cell: str) -> int:
    try:
        value = int(cell)
    except ValueError:
        value = 0
    if not LOWEST <= value <= HIGHEST:
        raise InputError(f"{path}, line {line}, column {head}: {cell[:20]!r} is not a whole number from 1 to 5")
    return value


def find_matrix_file(kind: str, classes: Sequence[str]) -> Path | None:
    """The file that comes with smrjax and knows all these classes, or None; see `find_matrix`."""
    for path in sorted(_FOLDER.glob(f"*_{kind}.csv")):
        known = next(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        if set(classes) <= set(known.split(",")[1:]):
            return path
    return None


def find_matrix(kind: str, classes: Sequence[str]) -> np.ndarray | None:
    """The matrix that comes with smrjax and knows all these classes, or None.

    Args:
        kind: In `KINDS`.
        classes: Codes in the order of the labels.

    >>> find_matrix("severity", ["PMY", "SNE", "ERB"]).shape
    (3, 3)
    """
    path = find_matrix_file(kind, classes)
    return None if path is None else read_matrix(path, classes, subset=True)


def adjacency(
    matrix: np.ndarray, *, kind: str = "similarity", lineages: Sequence[Sequence[int]] = (), maturity: bool = False
) -> np.ndarray:
    """Which classes a layout is to draw together (GUIDES, section III-B).

    The lowest entries are dropped, the rest is scaled to [0, 1] and rounded: of 1 to 5, only 4 and 5 become an edge.
    A severity is turned round first, so that harmless errors draw together. An edge in one direction is an edge.

    Args:
        matrix: Int[C, C] of `read_matrix`.
        kind: In `KINDS`: what the matrix says.
        lineages: Labels of the classes of each lineage.
        maturity: Also join all classes of a lineage with one another.

    Returns:
        Int[C, C] of 0 and 1, symmetric, zero diagonal; it may be disconnected or empty.

    Raises:
        ValueError: for another kind.

    >>> adjacency(np.array([[0, 4, 1], [2, 0, 3], [1, 1, 0]])).tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    strength = matrix if kind == "similarity" else LOWEST + HIGHEST - matrix
    # Python and numpy round one half to the even 0, as the reading has it.
    edges = np.round((strength - LOWEST) / (HIGHEST - LOWEST)).astype(int)
    edges = np.maximum(edges, edges.T)
    if maturity:
        for members in lineages:
            edges[np.ix_(members, members)] = 1
    np.fill_diagonal(edges, 0)
    return edges
