"""The cells of Acevedo et al. 2020 (doi 10.17632/snkd93bnjr.1) in a folder or in the published archive."""

import os
from pathlib import Path

from smrjax.data.folder import Record, find_images, is_image, plain
from smrjax.errors import InputError

#: Neutrophil lineage first, youngest first.
CLASSES = ("PMY", "MY", "MMY", "BNE", "SNE", "ERB", "EO", "BA", "MO", "LY")

WHERE = (
    "the set is at doi.org/10.17632/snkd93bnjr.1 (CC BY 4.0): download PBC_dataset_normal_DIB.zip and give its folder"
)


def find_pbc(path: str | Path) -> list[Record]:
    """The cells whose file names begin with one of `CLASSES`, sorted by class and name.

    The published folders mix stages (``ig`` holds three and some that were not told apart, ``neutrophil``
    two), the file names do not. Platelets and cells without a stage are passed over. There are no patient
    ids, so a split by patient is impossible, and scores on this set are optimistic.

    Args:
        path: A folder with the images anywhere below it, a folder with the zip archive, or the archive.

    Raises:
        InputError: if there are none.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: there is no such folder; {WHERE}")
    archives = [path] if path.is_file() else []
    records: list[Record] = []
    if path.is_dir():
        records = [Record(plain(image[len(str(path)) + 1 :]), image, _label(image)) for image in find_images(str(path))]
        archives = sorted(path.glob("*.zip"))
    if not records and archives:
        records = _in_archive(archives[0])
    records = [record for record in records if record.label in CLASSES]
    if not records:
        raise InputError(f"{path}: there is no image whose name begins with PMY_, MY_, MMY_ and so on; {WHERE}")
    return sorted(records, key=lambda record: (CLASSES.index(record.label), record.name))


def _label(name: str) -> str:
    return os.path.basename(name).split("_")[0]


def _in_archive(path: Path) -> list[Record]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a whole zip archive ({error}); download it again") from None
    return [
        Record(member, str(path), _label(member), member=member)
        for member in members
        if is_image(member) and not member.startswith("__MACOSX")
    ]
