"""Run folders: made once, locked while in use, written atomically."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smrjax.errors import InputError
from smrjax.files import atomic, read_arrays, read_json, sync, take_away_parts, write_arrays, write_json

__all__ = ["atomic", "create_run", "locked", "read_arrays", "read_json", "run_folder", "write_arrays", "write_json"]


def run_folder(out: Path, experiment: str, name: str) -> Path:
    """Where a new run goes, ``out/experiment/name``.

    Raises:
        InputError: if the name is not a plain one.
    """
    if Path(name).name != name or name in ("", ".", ".."):
        raise InputError(f"--name {name!r}: give a plain name, without folders")
    return out / experiment / name


def create_run(folder: Path, files: Mapping[str, Any]) -> None:
    """A run's folder with the JSON that a resume needs, whole or not at all; two runs never share one.

    Args:
        folder: See `run_folder`.
        files: Name -> content.

    Raises:
        InputError: if it exists or cannot be written.
    """
    taken = InputError(
        f"{folder}: there is a run of this name; choose another --name, or go on with it by --resume {folder}"
    )
    temporary = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        if folder.exists():
            raise taken
        temporary.mkdir(parents=True)
        for name, content in files.items():
            write_json(temporary / name, content)
        # Fails where another run was quicker, whose folder is not empty.
        os.rename(temporary, folder)
        sync(folder.parent)
    except OSError as error:
        if folder.exists():
            raise taken from None
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, without what a killed one left half written.

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
        take_away_parts(folder)
        yield
