"""From a name or a path to decoded cells: list, hash, write records once, decode once, map."""

import dataclasses
import errno
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from smrjax.data import cache
from smrjax.data.cellset import CellSet
from smrjax.data.folder import Record, read_folder
from smrjax.errors import InputError

# Makes a builder (of smrjax.data.cells) for a folder of records; gets a function to be called at each
# example.
MakeBuilder = Callable[[Path, Callable[[], None]], Any]


def load_synthetic(
    count: int = 3000,
    *,
    size: int,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """Drawn marrow cells with known maturity; groups are slides.

    Args:
        count: How many cells.
        size: Pixels a side.
        seed: Of the set.
        cache_dir: See `smrjax.data.cache.cache_root`.
        progress: Show bars.

    Raises:
        InputError: for a count below 1, a size that cannot be drawn, or a cache that cannot be written.
    """
    from smrjax.data.synthetic import VERSION

    if count < 1 or not 16 <= size <= 512 or seed < 0:
        raise InputError(f"{count} drawn cells of {size} px (seed {seed}): 1 or more, of 16 to 512 px, seed 0 or more")

    def builder(folder: Path, on_example: Callable[[], None]) -> Any:
        from smrjax.data.cells import SyntheticMarrow

        return SyntheticMarrow(count=count, size=size, seed=seed, on_example=on_example, data_dir=folder)

    digest = _sha("synthetic_marrow", VERSION, count, seed, size)
    return cached_cells("synthetic_marrow", digest, count, builder, size, cache_dir, progress)


def load_folder(
    path: str | Path,
    *,
    size: int,
    classes: Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """Anyone's images, as `smrjax.data.folder.read_folder` finds them.

    Args:
        path: A folder of class folders, or a CSV manifest.
        size: Pixels a side.
        classes: Codes in the order of the labels; alphabetical if None.
        cache_dir: See `smrjax.data.cache.cache_root`.
        progress: Show bars.

    Raises:
        InputError: as `read_folder`, and for a file that is not a readable image.
    """
    records, codes = read_folder(path, classes=classes)
    hashes = cache.file_hashes(records, cache.cache_root(cache_dir), progress=progress)
    warn_of_copies(records, hashes, Path(path))

    def builder(folder: Path, on_example: Callable[[], None]) -> Any:
        from smrjax.data.cells import CellFolder

        return CellFolder(records, codes, on_example=on_example, data_dir=folder)

    digest = digest_of(records, hashes, codes)
    cells = cached_cells("cell_folder", digest, len(records), builder, size, cache_dir, progress)
    # Records may hold names of classes in another spelling.
    return dataclasses.replace(cells, name=Path(os.path.expanduser(path)).resolve().stem, classes=codes)


def cached_cells(
    name: str,
    digest: str,
    count: int,
    make_builder: MakeBuilder,
    size: int,
    cache_dir: str | Path | None,
    progress: bool,
) -> CellSet:
    """The cells of one cache entry, built if they are not there or are damaged.

    Args:
        name: Of the data set.
        digest: Of the cells' content, whatever their size.
        count: How many cells there are, or about so many: for the bar and the room on the disk.
        make_builder: See `MakeBuilder`.
        size: Pixels a side.
        cache_dir: See `smrjax.data.cache.cache_root`.
        progress: Show bars.

    Raises:
        InputError: for images that cannot be read, or a cache that cannot be written.
    """
    root = cache.cache_root(cache_dir)
    digest_here = _sha(cache.FORMAT, digest, size)
    folder = root / f"{name}-{size}px-{digest_here[:16]}"
    found = cache.open_cells(folder)
    if found is not None:
        return found
    records = root / "records" / digest[:16]

    def build() -> None:
        # Only here: a machine with prepared cells needs neither TFDS nor Pillow.
        from smrjax.data.cells import prepare, read_records

        with cache.bar(count, "drawing" if name == "synthetic_marrow" else "recording", progress) as shown:
            where = prepare(make_builder(records, shown.update))
        source, classes = read_records(where)
        cache.write_cells(folder, source, size=size, classes=classes, name=name, digest=digest_here, progress=progress)

    # By content, not by entry: entries of other sizes share the records.
    with cache.locked(root / f".{digest[:16]}.lock"):
        found = cache.open_cells(folder)
        if found is not None:
            return found
        shutil.rmtree(folder, ignore_errors=True)
        cache.check_space(root, count * size * size * 3)
        old = records.exists()
        try:
            build()
        except InputError:
            # Of a file that cannot be decoded: the next try will have other files.
            shutil.rmtree(records, ignore_errors=True)
            raise
        except Exception as error:
            shutil.rmtree(records, ignore_errors=True)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise InputError(f"{root}: the disk is full; make room, or give another folder by --cache") from None
            # Records of an earlier time may be damaged; fresh ones are not.
            if not old:
                raise
            build()
    found = cache.open_cells(folder)
    if found is None:
        raise InputError(f"{folder}: was written but cannot be read back; check the disk or give another --cache")
    return found


def digest_of(records: Sequence[Record], hashes: Sequence[str], classes: Sequence[str]) -> str:
    """A hash of what cells are: names, labels, groups and folds, and the hashes of their files."""
    rows = [(r.name, r.label, r.group, r.fold, h) for r, h in zip(records, hashes, strict=True)]
    return _sha(tuple(classes), rows)


def _sha(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def warn_of_copies(records: Sequence[Record], hashes: Sequence[str], path: Path) -> None:
    """Say in one line that some images are exact copies of others."""
    first: dict[str, str] = {}
    copies = [(first[h], r.name) for r, h in zip(records, hashes, strict=True) if first.setdefault(h, r.name) != r.name]
    if copies:
        warnings.warn(
            f"{path}: {len(copies)} images are exact copies of others ({copies[0][1]} of {copies[0][0]}, for one); "
            "a copy in the test part makes scores too good, so take them away",
            stacklevel=3,
        )
