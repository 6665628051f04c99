"""JSON and arrays in files: written whole or not at all, read without running code from them."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smrjax.errors import DAMAGED, InputError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place at the end, whole or not at all."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}.part{path.suffix}")
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
    """Delete what killed processes left of `atomic`, anywhere in a folder that nobody writes to."""
    for path in folder.rglob(".*-*.part*"):
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
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from None


def write_arrays(path: Path, tree: Any) -> None:
    """Write the arrays of nested dictionaries and lists as an ``.npz`` file, atomically; names are ``a/0/b``."""
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
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); is its folder whole?") from None
    except DAMAGED as error:
        raise InputError(f"{path}: is damaged ({error}); is its folder whole?") from None


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
