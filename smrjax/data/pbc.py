"""The cells of Acevedo et al. 2020 (doi 10.17632/snkd93bnjr.1) in a folder or in the published archive."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from smrjax.data import cache
from smrjax.data.cellset import CellSet
from smrjax.data.folder import Record
from smrjax.data.load import cached_cells, digest_of
from smrjax.data.published import find_by_prefix, place_of

#: Neutrophil lineage first, youngest first.
CLASSES = ("PMY", "MY", "MMY", "BNE", "SNE", "ERB", "EO", "BA", "MO", "LY")

WHERE = (
    "the set is at doi.org/10.17632/snkd93bnjr.1 (CC BY 4.0): download PBC_dataset_normal_DIB.zip and give its folder"
)

CITATION = (
    "Acevedo A, Merino A, Alférez S, Molina Á, Boldú L, Rodellar J: A dataset of microscopic peripheral blood cell "
    "images for development of automatic recognition systems. Data in Brief 30 (2020) 105474"
)


def load_pbc(
    folder: str | Path | None = None,
    *,
    size: int,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """Peripheral blood cells of Acevedo et al. 2020; of exact copies the first is kept.

    Args:
        folder: With the images or the published archive; the folder ``pbc`` in $SMRJAX_DATA if None.
        size: Pixels a side.
        cache_dir: See `smrjax.data.cache.cache_root`.
        progress: Show bars.

    Raises:
        InputError: if they are not there, or one is not a readable image.
    """
    place = place_of("pbc", folder, WHERE)
    records = find_pbc(place)
    hashes = cache.file_hashes(records, cache.cache_root(cache_dir), progress=progress)
    first = {h: i for i, h in reversed(list(enumerate(hashes)))}
    kept = sorted(first.values())

    def builder(target: Path, on_example: Callable[[], None]) -> Any:
        from smrjax.data.cells import Pbc

        return Pbc(place, on_example=on_example, data_dir=target)

    digest = digest_of([records[i] for i in kept], [hashes[i] for i in kept], CLASSES)
    return cached_cells("pbc", digest, len(records), builder, size, cache_dir, progress)


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
    return find_by_prefix(path, CLASSES, WHERE)


def is_pbc(path: Path) -> bool:
    """Whether a path is to be read as this set: any zip archive that is no other set's."""
    return path.suffix.lower() == ".zip"
