"""Images of cells on a disk: a folder of class folders, or a CSV manifest, as a checked list."""

import csv
import errno
import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from smrjax.data.decode import MAX_BYTES
from smrjax.errors import DAMAGED, InputError
from smrjax.files import read_text

T = TypeVar("T")

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Record:
    """One image that has not been read yet.

    Attributes:
        name: Path below the folder, or as the manifest has it.
        path: Of the file, or of the zip archive that holds it.
        label: Class.
        group: Slide or patient; empty where unknown.
        fold: Fold that the data prescribe; -1 where none.
        member: Name within the archive; empty for a plain file.
    """

    name: str
    path: str
    label: str
    group: str = ""
    fold: int = -1
    member: str = ""


def read_folder(path: str | Path, *, classes: Sequence[str] | None = None) -> tuple[list[Record], tuple[str, ...]]:
    """The images of a folder or a manifest, sorted by class and name (a manifest keeps its order).

    A folder has one folder a class; folders within those are searched too, names that begin with a dot are passed
    over. Links are followed wherever they lead, out of the folder, too (data sets are often made of links, and
    whoever can put one there could copy the file as well), and no folder is entered twice. A manifest is a CSV file
    with a header: ``path`` (relative to the file, or absolute) and ``label``, and, if known for all cells,
    ``patient`` or ``slide`` (patient wins) and ``fold``.

    Args:
        path: Of the folder or the ``.csv`` file.
        classes: Codes in the order of the labels; alphabetical if None.

    Returns:
        Records and classes.

    Raises:
        InputError: if there is nothing there, or it is not as described above; one line, with file and row.
    """
    path = Path(os.path.expanduser(path))
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such folder or manifest; check the path")
    records = _read_class_folders(path) if path.is_dir() else _read_manifest(path)
    found = sorted({record.label for record in records})
    if classes is not None:
        for record in records:
            if record.label not in classes:
                raise InputError(f"{record.path}: label {record.label!r} is unknown; there are {', '.join(classes)}")
    elif len(found) < 2:
        raise InputError(
            f"{path}: all {len(records)} images are of one class, {found[0]}; "
            "there must be a folder for each of two classes or more (are they one level deeper?)"
        )
    return records, tuple(classes or found)


def find_images(folder: str) -> list[str]:
    """Paths of all images below a folder, sorted; links are followed, and no folder is entered twice.

    Raises:
        InputError: for a folder that cannot be listed: whatever is in it would be missing, and nobody told.
    """
    found: list[str] = []
    entered: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True, onerror=partial(_cannot_be_listed, folder)):
        real = os.path.realpath(where)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        found += [os.path.join(where, name) for name in files if is_image(name)]
    return sorted(found)


def _cannot_be_listed(folder: str | Path, error: OSError) -> NoReturn:
    where = error.filename or folder
    raise InputError(f"{where}: cannot be listed ({error.strerror}); check its permissions") from None


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return not os.path.basename(name).startswith(".") and name.lower().endswith(SUFFIXES)


def read_bytes(records: Sequence[Record]) -> Iterator[bytes]:
    """The files' bytes, one after another; raises as `read_files`."""
    return read_files(records, lambda file: file.read())


def read_files(records: Sequence[Record], read: Callable[[Any], T], *, largest: float = MAX_BYTES) -> Iterator[T]:
    """What a function makes of each file, one after another; an archive is opened once, and never unpacked on a disk.

    Args:
        records: The files.
        read: Gets an open file.
        largest: Bytes that a file may have, or a member of an archive when it is unpacked.

    Raises:
        InputError: for a file that cannot be read, or is larger, with its name.
    """
    import zipfile

    archive: zipfile.ZipFile | None = None
    try:
        for record in records:
            try:
                if record.member and (archive is None or archive.filename != record.path):
                    archive = zipfile.ZipFile(record.path)
                if record.member and archive:
                    _check_size(archive.getinfo(record.member).file_size, largest)
                with (
                    archive.open(record.member)
                    if record.member and archive
                    else open_plain(record.path, largest) as file
                ):
                    found = read(file)
            except (OSError, *DAMAGED) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise InputError(f"{record.path}: {record.name} cannot be read ({reason})") from None
            yield found
    finally:
        if archive is not None:
            archive.close()


def open_plain(path: str, largest: float = MAX_BYTES) -> IO[bytes]:
    """An image's file, opened: of a pipe, no end might come, and of a device, no end there is.

    Raises:
        OSError: if it cannot be opened, is no plain file, or is larger than so many bytes.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no plain file")
    _check_size(found.st_size, largest)
    return open(path, "rb")


def _check_size(size: int, largest: float) -> None:
    if size > largest:
        raise OSError(errno.EFBIG, f"{size >> 20} MB; an image of a cell has {int(largest) >> 20} MB at most")


def plain(path: str) -> str:
    """A path as text that can be written anywhere: forward slashes, undecodable bytes and carriage returns replaced.

    Of the characters that a path may have, tables in CSV cannot hold the last.
    """
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "replace").replace("\r", "\ufffd")


def _read_class_folders(folder: Path) -> list[Record]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        classes = [entry for entry in entries if entry.is_dir() and entry.name != "__MACOSX"]
    except OSError as error:
        _cannot_be_listed(folder, error)
    records = []
    for entry in classes:
        images = find_images(str(entry))
        if not images and any(name for _, _, files in os.walk(entry) for name in files if name[0] != "."):
            raise InputError(f"{entry}: has files, but no images ({', '.join(SUFFIXES)}); convert or move them")
        if not images:
            warnings.warn(f"{entry}: a class without images; it is left out", stacklevel=4)
        label = plain(entry.name)
        records += [Record(label + plain(image[len(str(entry)) :]), image, label) for image in images]
    if not records:
        loose = any(is_image(entry.name) for entry in entries)
        raise InputError(
            f"{folder}: its images lie in no class folder; make one folder a class, or write a CSV manifest"
            if loose
            else f"{folder}: there are no images in it; one folder a class is needed ({', '.join(SUFFIXES)})"
        )
    return records


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; separated by commas, semicolons or tabs, with or without a mark of UTF-8.

    Args:
        path: Of the file.

    Returns:
        Rows by name of the column, names in lower case and stripped, as the values are.

    Raises:
        InputError: if it cannot be read, has no rows, or a row has fewer or more cells than the header, beyond which
            only empty ones are passed over.
    """
    try:
        text = read_text(path)
    except ValueError:
        raise InputError(f"{path}: is not UTF-8 text; save it as CSV (UTF-8)") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    lines = text.splitlines()
    header = lines[0] if lines else ""
    delimiter = max(",;\t", key=header.count)
    try:
        head, *rows = [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row] or [[]]
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV file ({error})") from None
    if not rows:
        raise InputError(f"{path}: has no rows; write path,label in the first line and one line a cell")
    for number, row in enumerate(rows, start=2):
        # A cell too few or too many is a delimiter forgotten, or one within a name: what follows it is out of place.
        if len(row) < len(head) or any(map(str.strip, row[len(head) :])):
            raise InputError(
                f"{path}, row {number}: has {len(row)} cells, and the header {len(head)}; write every cell, empty ones "
                f'too, and those with a {delimiter!r} in them in "quotes"'
            )
    columns = [name.strip().lower() for name in head]
    return [dict(zip(columns, map(str.strip, row), strict=False)) for row in rows]


def check_listed_once(names: Sequence[str], path: Path) -> None:
    """Make sure that a manifest lists no cell twice.

    Raises:
        InputError: if it does.
    """
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"{path}: {name} is listed {times} times; list a cell once")


def _read_manifest(path: Path) -> list[Record]:
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: is neither a folder nor a .csv manifest")
    rows = read_table(path)
    for needed in ("path", "label"):
        if needed not in rows[0]:
            raise InputError(f"{path}: has no column {needed}; its first line must name path and label")
    group_column = next((name for name in ("patient", "slide") if name in rows[0]), None)
    records = []
    for number, cell in enumerate(rows, start=2):
        where = f"{path}, row {number}"
        name, label = cell["path"], cell["label"]
        group = cell[group_column] if group_column else ""
        for what, value in (("path", name), ("label", label), (group_column, group or not group_column)):
            if not value:
                raise InputError(f"{where}: no {what}; fill it in, in every row")
        records.append(Record(name, os.path.join(path.parent, name), label, group, _fold(cell, where)))
        if not is_image(name):
            raise InputError(f"{where}: {name} is not an image ({', '.join(SUFFIXES)})")
        if not os.path.isfile(records[-1].path):
            raise InputError(f"{where}: there is no file {records[-1].path}; paths are relative to the manifest")
    check_listed_once([record.name for record in records], path)
    return records


def _fold(cell: dict[str, str], where: str) -> int:
    if "fold" not in cell:
        return -1
    text = cell["fold"]
    if not text.isdecimal() or len(text) > 6:
        raise InputError(f"{where}: fold {text[:20]!r} is not a number from 0; fill it in, in every row")
    return int(text)
