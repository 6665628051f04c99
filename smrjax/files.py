"""JSON and arrays in files: written whole or not at all, read without running code from them."""

import contextlib
import csv
import errno
import io
import json
import os
import re
import secrets
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import DAMAGED, InputError

#: How words begin that spreadsheets take for formulas, and those that `cell` has changed, which must stay apart.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
#: Bytes of a file of words: a table of a million cells has 100 MB. What is read becomes about ten times as much.
MAX_TEXT = 2**27


def read_text(path: str | Path) -> str:
    """The words of a file, with or without a mark of UTF-8.

    Raises:
        OSError: if it cannot be opened, is no plain file (a pipe might never end), or has more than `MAX_TEXT` bytes.
        ValueError: if it is not UTF-8.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no plain file")
    if found.st_size > MAX_TEXT:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_TEXT >> 20} MB, as no file of this kind is")
    with open(path, encoding="utf-8-sig", newline="") as file:
        return file.read()


def beside(path: Path) -> Path:
    """A name beside a path for what is not yet whole, with ``.part`` and the path's suffix: unlike all others.

    Processes of several hosts may write into one folder, where their numbers do not tell them apart.
    """
    return path.with_name(f".{path.stem}-{secrets.token_hex(4)}.part{path.suffix}")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place at the end, whole or not at all."""
    temporary = beside(path)
    try:
        # Opened rather than made by mkstemp, whose files only their owner can read: results are for the whole group.
        temporary.open("wb").close()
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); what was there is untouched") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync(path: Path) -> None:
    """Have a file, or a folder's list of names, outlive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    # Not every file system can do it for a folder.
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        os.fsync(handle)
    os.close(handle)


def sync_tree(folder: Path) -> None:
    """`sync` a folder and all that is in it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def take_away_parts(folder: Path) -> None:
    """Delete what killed processes left of `atomic` in a folder that nobody writes to; not in those within it."""
    for path in folder.glob(".*-*.part*"):
        with contextlib.suppress(OSError):
            path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinities are errors, since JSON has none."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: if the file is missing or damaged.
    """
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from None


def read_object(path: Path, *names: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: Of the file.
        *names: Of values that it must have.

    Raises:
        InputError: if the file is missing or damaged, no object, or without one of them.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; it is damaged, or of another program")
    for name in names:
        if name not in value:
            raise InputError(f"{path}: has no {name!r}; it is damaged, or of another version")
    return value


def cell(word: str) -> str:
    """A word as tables in CSV hold it: an apostrophe goes before one that spreadsheets would take for a formula.

    Names of files, slides and classes come from strangers, and ``=cmd|...`` in one of them would be run, or ask to be,
    in the program of whoever opens the table. `read_rows` takes the apostrophe away again; Parquet and JSON have none.

    >>> cell("=1+1"), cell("+x"), cell("a=1"), cell("'=1")
    ("'=1+1", "'+x", 'a=1', "''=1")
    """
    return f"'{word}" if _FORMULA.match(word) else word


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that this library wrote as CSV, words as they were before `cell`.

    Raises:
        InputError: if the file is missing or damaged.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); is its folder whole?") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: is damaged ({error}); is its folder whole?") from None
    for row in rows:
        if None in row or None in row.values():
            raise InputError(f"{path}: is damaged (a row has more or fewer cells than the first line)")
        row.update({name: word[1:] for name, word in row.items() if word[:1] == "'" and _FORMULA.match(word[1:])})
    return rows


def write_arrays(path: Path, tree: Any) -> None:
    """Write the arrays of nested dictionaries and lists as an ``.npz`` file, atomically; names are ``a/0/b``."""
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = {jax.tree_util.keystr(keys, simple=True, separator="/"): np.asarray(leaf) for keys, leaf in leaves}
    with atomic(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def read_flat(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file by their names.

    Raises:
        InputError: if the file is missing or damaged, or holds anything but arrays of numbers and words.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            check_inflated(stored.zip)
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); is its folder whole?") from None
    except DAMAGED as error:
        raise InputError(f"{path}: is damaged ({error}); is its folder whole?") from None


def check_inflated(archive: zipfile.ZipFile) -> None:
    """Make sure that an archive is not much larger inside than outside, before a small file fills the memory.

    Numbers of a training do not halve when they are packed; zeros shrink to a thousandth.

    Raises:
        ValueError: for one that has more than 64 MB and 64 times the bytes of its packed content.
    """
    inside, outside = (
        sum(getattr(info, size) for info in archive.infolist()) for size in ("file_size", "compress_size")
    )
    if inside > 2**26 + 64 * outside:
        raise ValueError(f"{outside >> 10} kB of it would become {inside >> 20} MB")


def read_arrays(path: Path) -> Any:
    """What `write_arrays` wrote, of NumPy arrays.

    Raises:
        InputError: if the file is missing or damaged.
    """
    tree: dict[str, Any] = {}
    for name, array in read_flat(path).items():
        *folders, last = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise InputError(f"{path}: is damaged ({name} is within an array); is its folder whole?")
        place[last] = array
    return _with_lists(tree)


def _with_lists(tree: Any) -> Any:
    """Dictionaries whose names are 0, 1, 2, ... as lists."""
    if not isinstance(tree, dict):
        return tree
    inner = {name: _with_lists(value) for name, value in tree.items()}
    if inner and set(inner) == {str(i) for i in range(len(inner))}:
        return [inner[str(i)] for i in range(len(inner))]
    return inner
