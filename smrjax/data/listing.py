"""Images to be predicted, wherever they lie: folders, manifests, single files, patterns; as one list."""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smrjax.data.folder import SUFFIXES, check_listed_once, find_images, is_image, plain, read_table
from smrjax.errors import InputError


@dataclass(frozen=True)
class Picture:
    """One image that has not been read yet.

    Attributes:
        name: As tables call it: its path as it was found, or as the manifest has it.
        path: Of the file, which need not be there.
        group: Whose cells are counted together: the slide or patient of a manifest, or else the image's folder.
        true: Class that it is known to be; empty where unknown.
    """

    name: str
    path: str
    group: str
    true: str = ""


def list_pictures(sources: Sequence[str], *, classes: Sequence[str] = ()) -> list[Picture]:
    """All images that some words of a command line name, each once.

    Args:
        sources: Each a folder (searched with the folders in it, sorted, links followed), a CSV manifest, an image file,
            or a pattern such as ``slides/*/*.jpg``. A manifest has the column ``path`` (relative to the file) and, if
            known, ``slide`` or ``patient`` (slide wins: cells are counted by it) and ``label``; it keeps its order, and
            what it lists need not be there, or be an image.
        classes: Codes; an image outside of manifests whose folder, or one above it, is called like one is of that
            class, and counted with the images of the folder above that. None by default.

    Raises:
        InputError: for a source that is not there or names no image, a manifest that is not as described, or a folder
            that cannot be listed. An image that cannot be read is a row with a reason; the images of such a folder
            would be no rows at all, and counts would be short of them without a word.
    """
    found: dict[str, Picture] = {}
    for source in sources:
        pictures = _of_source(os.path.expanduser(source), classes)
        if not pictures:
            raise InputError(f"{source}: there are no images in it ({', '.join(SUFFIXES)})")
        for picture in pictures:
            found.setdefault(os.path.abspath(picture.path), picture)
    return list(found.values())


def _of_source(source: str, classes: Sequence[str]) -> list[Picture]:
    if os.path.isdir(source):
        return _of_files(find_images(source), classes)
    if source.lower().endswith(".csv"):
        return _of_manifest(Path(source))
    if os.path.exists(source):
        return _of_files([source], classes)
    if not glob.has_magic(source):
        raise InputError(f"{source}: there is no such folder, manifest or image; check the path")
    matches = sorted(glob.glob(source, recursive=True))
    if not matches:
        raise InputError(f"{source}: nothing is called like that; check the pattern")
    files = [name for one in matches for name in (find_images(one) if os.path.isdir(one) else [one])]
    return _of_files((name for name in files if is_image(name)), classes)


def _of_files(files: Iterable[str], classes: Sequence[str]) -> list[Picture]:
    found = []
    for path in files:
        folder = os.path.dirname(os.path.normpath(path)) or "."
        found.append(_labelled(Picture(plain(os.path.normpath(path)), path, plain(folder)), classes))
    return found


def _of_manifest(path: Path) -> list[Picture]:
    rows = read_table(path)
    if "path" not in rows[0]:
        raise InputError(f"{path}: has no column path; its first line must name it")
    column = next((name for name in ("slide", "patient") if name in rows[0]), None)
    pictures = []
    for number, row in enumerate(rows, start=2):
        for needed in ("path", *([column] if column else [])):
            if not row[needed]:
                raise InputError(f"{path}, row {number}: no {needed}; fill it in, in every row")
        file = os.path.join(path.parent, row["path"])
        group = row[column] if column else plain(os.path.dirname(os.path.normpath(file)))
        pictures.append(Picture(row["path"], file, group, row.get("label", "")))
    check_listed_once([picture.name for picture in pictures], path)
    return pictures


def _labelled(picture: Picture, classes: Sequence[str]) -> Picture:
    """With the class that a folder's name tells; the innermost such folder does."""
    *folders, _ = picture.name.split("/")
    if not set(classes) & set(folders):
        return picture
    depth = max(i for i, folder in enumerate(folders) if folder in classes)
    return replace(picture, true=folders[depth], group="/".join(folders[:depth]) or ".")
