"""The bone marrow cells of Matek et al. 2021 (doi 10.7937/TCIA.AXH3-T579) in a folder or in a zip archive of it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smrjax.data import cache
from smrjax.data.cellset import CellSet
from smrjax.data.folder import Record
from smrjax.data.load import cached_cells, digest_of, warn_of_copies
from smrjax.data.published import find_by_prefix, place_of, warn_of_numbers
from smrjax.errors import InputError

#: Images of each class (BM, Table 5, and for MON what is missing there to the total of 171,374): the neutrophil
#: lineage and the erythroid one, youngest first, then the others.
COUNTS = {
    "BLA": 11973,
    "PMO": 11994,
    "MYB": 6557,
    "MMZ": 3055,
    "NGB": 9968,
    "NGS": 29424,
    "PEB": 2740,
    "EBO": 27395,
    "EOS": 5883,
    "BAS": 441,
    "MON": 4040,
    "LYT": 26242,
    "LYI": 65,
    "HAC": 409,
    "PLM": 7629,
    "ABE": 8,
    "FGC": 47,
    "KSC": 42,
    "OTH": 294,
    "NIF": 3538,
    "ART": 19630,
}

CLASSES = tuple(COUNTS)

WHERE = (
    "the set is at doi.org/10.7937/TCIA.AXH3-T579 (CC BY 4.0, 6.8 GB): download the folder BM_cytomorphology_data "
    "with its 21 class folders and give the folder that holds it"
)

CITATION = (
    "Matek C, Krappe S, Münzenmayer C, Haferlach T, Marr C: An expert-annotated dataset of bone marrow cytology in "
    "hematologic malignancies. The Cancer Imaging Archive (2021)"
)


def load_marrow21(
    folder: str | Path | None = None,
    *,
    size: int,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """Bone marrow cells of Matek et al. 2021, all that are there; copies and missing ones are told.

    Args:
        folder: With the images or a zip archive of them; the folder ``marrow21`` in $SMRJAX_DATA if None.
        size: Pixels a side.
        cache_dir: See `smrjax.data.cache.cache_root`.
        progress: Show bars.

    Raises:
        InputError: if they are not there, or one is not a readable image.
    """
    place = place_of("marrow21", folder, WHERE)
    records = find_marrow21(place)
    warn_of_numbers("marrow21", Counter(record.label for record in records), COUNTS)
    hashes = cache.file_hashes(records, cache.cache_root(cache_dir), progress=progress)
    warn_of_copies(records, hashes, place)

    def builder(target: Path, on_example: Callable[[], None]) -> Any:
        from smrjax.data.cells import Marrow21

        return Marrow21(place, on_example=on_example, data_dir=target)

    digest = digest_of(records, hashes, CLASSES)
    return cached_cells("marrow21", digest, len(records), builder, size, cache_dir, progress)


def find_marrow21(path: str | Path) -> list[Record]:
    """The cells whose file names begin with one of `CLASSES`, sorted by class and name.

    They are published as ``BM_cytomorphology_data/LYT/0001-1000/LYT_00001.jpg``, small classes without the
    folder of a thousand; folders may be missing or others, since the file names tell the class. The 945 patients are
    not told apart, so a split by patient is impossible, and scores on this set are optimistic.

    Args:
        path: A folder with the images anywhere below it, a folder with a zip archive, or the archive.

    Raises:
        InputError: if there are none.
    """
    return find_by_prefix(path, CLASSES, WHERE)


def is_marrow21(path: Path) -> bool:
    """Whether a path is the published folder, the folder that holds it, or a zip archive with such file names."""
    if path.suffix.lower() != ".zip":
        return path.name == "BM_cytomorphology_data" or (path / "BM_cytomorphology_data").is_dir()
    try:
        return bool(find_marrow21(path))
    except InputError:
        return False
