"""Run folders: made once, locked while in use, written atomically."""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from smrjax.errors import InputError
from smrjax.files import beside, sync, take_away_parts, write_json


class InUse(InputError):
    """Another process is working there."""


def run_folder(out: Path, experiment: str, name: str) -> Path:
    """Where a new run goes, ``out/experiment/name``.

    Raises:
        InputError: if the name is not a plain one.
    """
    if Path(name).name != name or name in ("", ".", ".."):
        raise InputError(f"--name {name!r}: give a plain name, without folders")
    return out / experiment / name


def create_run(folder: Path, files: Mapping[str, Any], *, also: Callable[[Path], object] = lambda folder: None) -> None:
    """A run's folder with the JSON that a resume needs, whole or not at all; two runs never share one.

    Args:
        folder: See `run_folder`.
        files: Name -> content.
        also: Writes into the folder what is no JSON.

    Raises:
        InputError: if it exists or cannot be written.
    """
    taken = InputError(
        f"{folder}: there is a run of this name; choose another --name, or go on with it by --resume {folder}"
    )
    temporary = beside(folder)
    try:
        if folder.exists():
            raise taken
        temporary.mkdir(parents=True)
        for name, content in files.items():
            write_json(temporary / name, content)
        also(temporary)
        # Fails where another run was quicker, whose folder is not empty.
        os.rename(temporary, folder)
        sync(folder.parent)
    except OSError as error:
        if folder.exists():
            raise taken from None
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    except InputError as error:
        # By the name that the user gave, for the other one is gone.
        raise InputError(str(error).replace(str(temporary), str(folder))) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder for this process; when it ends, however it does, the folder is free.

    Whoever holds it alone has it without what a killed process left half written, there and in the folders within it,
    but for those that another process holds.

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
            _take_away_all_parts(folder)
        yield


def _take_away_all_parts(folder: Path) -> None:
    """`take_away_parts` of a folder that is held and of those within it, but for those where others may be at work."""
    import fcntl

    take_away_parts(folder)
    for inner in [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            if (inner / ".lock").exists():
                # Who works on a fold holds the folders around it shared; both are left alone.
                handle = held.enter_context(open(inner / ".lock", "a+"))
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _take_away_all_parts(inner)
