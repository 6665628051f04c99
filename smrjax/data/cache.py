"""Decoded once, read many times: images as a memory map, in a folder named by what they are made of."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.data.cellset import CellSet
from smrjax.data.decode import MAX_BYTES
from smrjax.data.folder import Record, read_files
from smrjax.errors import InputError
from smrjax.files import atomic

FORMAT = 1  # raise it when decoded pixels or files change
_CHUNK = 256


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """The cache folder: the one given, else $SMRJAX_CACHE, else ~/.cache/smrjax; made if it is not there.

    Raises:
        InputError: if it cannot be made or written.
    """
    root = Path(os.path.expanduser(cache_dir or os.environ.get("SMRJAX_CACHE") or "~/.cache/smrjax"))
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        raise InputError(
            f"{root}: the cache cannot be written there ({error.strerror}); give another folder by --cache"
        ) from None
    return root.resolve()


def check_space(root: Path, need: int, *, what: str = "decoded images", less: str = "a smaller --image-size") -> None:
    """Make sure that so many bytes fit: a memory map on a full disk ends the process, not with an error.

    Args:
        root: Folder on the disk.
        need: Bytes.
        what: Needs them.
        less: Would need fewer.

    Raises:
        InputError: if they do not.
    """
    free = shutil.disk_usage(root).free
    if free < need + 2**24:
        raise InputError(
            f"{root}: {what} need {need / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; "
            f"make room, use {less}, or give another folder by --cache"
        )


def file_hashes(
    records: Sequence[Record], root: Path, *, progress: bool = True, largest: float = MAX_BYTES
) -> list[str]:
    """A hash of each file's bytes; read again only if a path, size or time of change in the list is new.

    Args:
        records: The files.
        root: The cache folder, which remembers.
        progress: Show a bar.
        largest: Bytes that a file may have.

    Raises:
        InputError: for a file that cannot be read, or is larger.
    """
    stats: dict[str, tuple[int, int]] = {}
    listing = hashlib.sha256(str(FORMAT).encode())
    for record in records:
        if record.path not in stats:
            try:
                found = os.stat(record.path)
            except OSError as error:
                raise InputError(f"{record.path}: cannot be read ({error.strerror})") from None
            stats[record.path] = found.st_size, found.st_mtime_ns
        line = (os.path.abspath(record.path), record.member, *stats[record.path])
        listing.update(repr(line).encode())
    memory = root / "hashes" / f"{listing.hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
        if isinstance(known, list) and len(known) == len(records):
            return known
    with bar(len(records), "reading", progress) as shown:
        hashes = []
        for digest in read_files(
            records, lambda file: hashlib.file_digest(file, "sha256").hexdigest(), largest=largest
        ):
            hashes.append(digest[:32])
            shown.update()
    memory.parent.mkdir(exist_ok=True)
    with atomic(memory) as temporary:
        temporary.write_text(json.dumps(hashes))
    return hashes


def open_cells(folder: Path) -> CellSet | None:
    """Cells that `write_cells` wrote, within milliseconds; None if they are not there or are damaged."""
    try:
        about = json.loads((folder / "about.json").read_text())
        # Opened here, because np.load leaves a damaged archive open.
        with open(folder / "cells.npz", "rb") as file, np.load(file, allow_pickle=False) as table:
            columns = {name: table[name] for name in table.files}
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        n, size = about["count"], about["size"]
        if about["format"] != FORMAT or images.shape != (n, size, size, 3) or images.dtype != np.uint8:
            return None
        if any(len(column) != n for column in columns.values()):
            return None
        return CellSet(
            images=images,
            labels=columns["labels"],
            names=tuple(columns["names"].tolist()),
            classes=tuple(about["classes"]),
            groups=columns.get("groups"),
            folds=columns.get("folds"),
            maturity=columns.get("maturity"),
            digest=about["digest"],
            name=about["name"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def write_cells(
    folder: Path,
    source: Any,
    *,
    size: int,
    classes: Sequence[str],
    name: str,
    digest: str,
    progress: bool = True,
) -> None:
    """Decode records into a memory map, in threads; the folder appears whole or not at all.

    Args:
        folder: To be made.
        source: Examples with random access: image (bytes), label, name, group, fold, maturity.
        size: Pixels a side.
        classes: Codes in the order of the labels.
        name: Of the data set.
        digest: Of the cells.
        progress: Show a bar with the time left.

    Raises:
        InputError: for a file that is not a readable image, with its name.
    """
    n = len(source)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        images = np.lib.format.open_memmap(
            temporary / "images.npy", mode="w+", dtype=np.uint8, shape=(n, size, size, 3)
        )
        columns: dict[str, list[Any]] = {key: [] for key in ("label", "name", "group", "fold", "maturity")}
        converted: Counter[str] = Counter()
        with (
            bar(n, "decoding", progress) as shown,
            ThreadPoolExecutor(os.cpu_count()) as threads,
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", module="PIL")  # of odd metadata; odd pixels are errors
            one = threading.Lock()

            def read(row: int) -> tuple[dict[str, Any], np.ndarray, list[str]]:
                # One by one, and only as decoding asks for them: files may be large.
                with one:
                    example = source[row]
                return {column: example[column] for column in columns}, *_decode(example, size)

            for start in range(0, n, _CHUNK):
                decoded = threads.map(read, range(start, min(start + _CHUNK, n)))
                for row, (example, image, words) in enumerate(decoded, start):
                    for column, values in columns.items():
                        values.append(example[column])
                    images[row] = image
                    converted.update(words)
                    shown.update()
        images.flush()
        del images
        np.savez(temporary / "cells.npz", allow_pickle=False, **_arrays(columns))
        about = {
            "format": FORMAT,
            "name": name,
            "digest": digest,
            "classes": list(classes),
            "count": n,
            "size": size,
        }
        (temporary / "about.json").write_text(json.dumps(about, indent=1))
        for path in temporary.iterdir():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, folder)
        for what, count in converted.items():
            logging.getLogger(__name__).info("%d of %d images of %s are %s", count, n, name, what)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time build an entry of the cache; others wait for it, and say so."""
    import fcntl

    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            logging.getLogger(__name__).info("another run is writing %s; waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _decode(example: dict[str, Any], size: int) -> tuple[np.ndarray, list[str]]:
    """The image, and what was done to it in words."""
    from smrjax.data.decode import conversions, decode

    try:
        return decode(example["image"], size), conversions(example["image"], size)
    except OSError as error:
        name = example["name"].decode()
        raise InputError(f"{name}: cannot be read as an image ({error}); repair it or take it away") from None


def _arrays(columns: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    """The columns of all examples as arrays, without those that say nothing."""
    groups = np.array([value.decode() for value in columns["group"]])
    arrays = {
        "labels": np.array(columns["label"], np.int32),
        "names": np.array([value.decode() for value in columns["name"]]),
        "folds": np.array(columns["fold"], np.int32),
        "maturity": np.array(columns["maturity"], np.float32),
    }
    if (groups != "").all():
        # Numbers stay what they are, names are numbered in their order.
        numbers = all(value.isdecimal() and len(value) < 10 for value in groups.tolist())
        arrays["groups"] = (groups if numbers else np.unique(groups, return_inverse=True)[1]).astype(np.int32)
    if (arrays["folds"] < 0).all():
        del arrays["folds"]
    if np.isnan(arrays["maturity"]).all():
        del arrays["maturity"]
    return arrays


def bar(total: int, what: str, progress: bool) -> Any:
    """A progress bar with the time left."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=" cells", disable=not progress, leave=False)
