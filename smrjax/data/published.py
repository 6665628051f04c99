"""What published sets have in common: a place, names of files that tell the class, numbers that are known."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from smrjax.data.folder import Record, find_images, is_image, plain
from smrjax.errors import InputError


def place_of(name: str, given: str | Path | None, where: str) -> Path:
    """Where a published set lies: the path given, or the folder of its name in $SMRJAX_DATA.

    Args:
        name: Of the set.
        given: Path, or None.
        where: Where the set comes from, for messages.

    Raises:
        InputError: if none is given and SMRJAX_DATA is not set.
    """
    if given is None:
        if "SMRJAX_DATA" not in os.environ:
            raise InputError(f"{name}: give its folder, or set SMRJAX_DATA to the folder that holds {name}/; {where}")
        given = Path(os.environ["SMRJAX_DATA"]) / name
    return Path(os.path.expanduser(given))


def find_by_prefix(path: str | Path, classes: Sequence[str], where: str) -> list[Record]:
    """The images of a published set whose file names begin with a class and ``_``, sorted by class and name.

    Args:
        path: A folder with the images anywhere below it, a folder with a zip archive, or the archive.
        classes: Codes in the order of the labels; other images are passed over.
        where: Where the set comes from, for messages.

    Raises:
        InputError: if there are none.
    """
    path = Path(os.path.expanduser(path))
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such folder; {where}")
    archives = [path] if path.is_file() else []
    records: list[Record] = []
    if path.is_dir():
        records = [
            Record(plain(image[len(str(path)) + 1 :]), image, _prefix(image)) for image in find_images(str(path))
        ]
        archives = sorted(path.glob("*.zip"))
    if not records and archives:
        records = _in_archive(archives[0])
    place = {code: i for i, code in enumerate(classes)}
    records = [record for record in records if record.label in place]
    if not records:
        few = ", ".join(f"{code}_" for code in classes[:3])
        raise InputError(f"{path}: there is no image whose name begins with {few} and so on; {where}")
    return sorted(records, key=lambda record: (place[record.label], record.name))


def warn_of_numbers(name: str, found: Mapping[str, int], published: Mapping[str, int]) -> None:
    """Say in one line where a set has fewer or more images than were published.

    Args:
        name: Of the set.
        found: Images of each class or part.
        published: The numbers to be found.
    """
    odd = [f"{code} ({found.get(code, 0):,} of {n:,})" for code, n in published.items() if found.get(code, 0) != n]
    if odd:
        more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
        warnings.warn(
            f"{name}: other numbers of images than published: {', '.join(odd[:4])}{more}; "
            "if it should be the whole set, download what is missing",
            stacklevel=3,
        )


def _prefix(name: str) -> str:
    return os.path.basename(name).split("_")[0]


def _in_archive(path: Path) -> list[Record]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a whole zip archive ({error}); download it again") from None
    return [
        Record(member, str(path), _prefix(member), member=member)
        for member in members
        if is_image(member) and not member.startswith("__MACOSX")
    ]
