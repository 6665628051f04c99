"""Run folders: made once, locked while in use, written atomically."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smrjax.errors import InputError


def create_run(out: Path, experiment: str, name: str) -> Path:
    """A new folder ``out/experiment/name``; two runs never share one.

    Raises:
        InputError: if it exists or cannot be written.
    """
    if Path(name).name != name or name in ("", ".", ".."):
        raise InputError(f"--name {name!r}: give a plain name, without folders")
    folder = out / experiment / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputError(
            f"{folder}: there is a run of this name; choose another --name, or go on with it by --resume {folder}"
        ) from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    return folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process.

    Raises:
        InputError: if another process holds it, or it cannot be written.
    """
    import fcntl

    try:
        handle = open(folder / ".lock", "w")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); check its permissions") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: another process is working on this run; wait for it or stop it") from None
        yield


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place at the end, whole or not at all."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        # Opened rather than made by mkstemp, whose files only their owner can read: results are for the whole group.
        temporary.open("wb").close()
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); what was there is untouched") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinities are errors, since JSON has none."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: if the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from None
