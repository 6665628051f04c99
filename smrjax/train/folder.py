"""Run folders: made once, locked while in use, written atomically."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from smrjax.errors import InputError
from smrjax.files import atomic, read_arrays, read_json, write_arrays, write_json

__all__ = ["atomic", "create_run", "locked", "read_arrays", "read_json", "write_arrays", "write_json"]


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
