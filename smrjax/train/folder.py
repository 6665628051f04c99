"""Run folders: made once, locked while in use, written atomically."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from smrjax.errors import InputError
from smrjax.files import atomic, read_arrays, read_json, write_arrays, write_json

__all__ = ["InUse", "atomic", "create_run", "locked", "read_arrays", "read_json", "write_arrays", "write_json"]


class InUse(InputError):
    """Another process is working there."""


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
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder for this process; when it ends, however it does, the folder is free.

    Args:
        folder: Of a run, or of one of its folds.
        shared: Beside others who hold it shared, too, but nobody who holds it alone: who works on a fold holds the
            run's folder like this and the fold's alone.

    Raises:
        InUse: if another process holds it.
        InputError: if it cannot be written.
    """
    import fcntl

    try:
        # For reading, too: over NFS, a lock that is shared asks for it.
        handle = open(folder / ".lock", "a+")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); check its permissions") from None
    with handle:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            who = handle.read(200).strip() or "others"
            raise InUse(f"{folder}: another process is working on this run ({who}); wait for it or stop it") from None
        if not shared:
            # Who it is, for those who come later; a full disk is no reason not to read on.
            with contextlib.suppress(OSError):
                os.ftruncate(handle.fileno(), 0)
                os.write(handle.fileno(), f"{socket.gethostname()}, process {os.getpid()}\n".encode())
        yield
