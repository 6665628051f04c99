"""Cells from anywhere, as one `CellSet`: drawn, published, or anyone's own."""

import os
from collections.abc import Callable
from pathlib import Path

from smrjax.data.bloodmnist import is_bloodmnist, load_bloodmnist
from smrjax.data.cellset import CellSet, select
from smrjax.data.load import load_folder, load_synthetic
from smrjax.data.marrow21 import is_marrow21, load_marrow21
from smrjax.data.pbc import is_pbc, load_pbc
from smrjax.data.pcam import is_pcam, load_pcam
from smrjax.errors import InputError

#: Sets with a name: each takes count, size, seed, cache_dir and progress, and may ignore the first and third.
DATASETS: dict[str, Callable[..., CellSet]] = {
    "synthetic_marrow": load_synthetic,
    "pbc": lambda *, count, seed, **how: load_pbc(**how),
    "marrow21": lambda *, count, seed, **how: load_marrow21(**how),
    "bloodmnist": lambda *, count, seed, **how: load_bloodmnist(**how),
    "pcam": lambda *, count, seed, **how: load_pcam(**how),
}

#: What reads a path, by what is there; the first that fits. All else is a folder of class folders or a manifest.
FILES: tuple[tuple[Callable[[Path], bool], Callable[..., CellSet]], ...] = (
    (is_marrow21, load_marrow21),
    (is_bloodmnist, load_bloodmnist),
    (is_pcam, load_pcam),
    (is_pbc, load_pbc),
)


def load(
    spec: str | Path,
    *,
    size: int,
    count: int = 3000,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """The cells that ``--data`` names.

    Args:
        spec: A name in `DATASETS`, whose files lie in the folder of that name in $SMRJAX_DATA; the path of a
            published set's folder or archive; or the path of a folder of class folders or of a CSV manifest
            (``./pbc`` for a folder of that name).
        size: Pixels a side.
        count: How many cells to draw, for synthetic_marrow alone.
        seed: Of the drawn set.
        cache_dir: Folder of decoded images; by default $SMRJAX_CACHE, or smrjax in the user's cache folder.
        progress: Show bars.

    Raises:
        InputError: in one line, for anything wrong with the data.
    """
    if size < 1:
        raise InputError(f"--image-size {size}: give 1 pixel or more")
    if str(spec) in DATASETS:
        return DATASETS[str(spec)](count=count, size=size, seed=seed, cache_dir=cache_dir, progress=progress)
    path = Path(os.path.expanduser(spec))
    if not os.path.exists(path):
        known = f"{', '.join(list(DATASETS)[:-1])} or {list(DATASETS)[-1]}"
        raise InputError(f"--data {spec}: there is no such folder or manifest; or say {known}")
    reads = next((reads for fits, reads in FILES if fits(path)), load_folder)
    return reads(path, size=size, cache_dir=cache_dir, progress=progress)


__all__ = [
    "DATASETS",
    "CellSet",
    "load",
    "load_bloodmnist",
    "load_folder",
    "load_marrow21",
    "load_pbc",
    "load_pcam",
    "load_synthetic",
    "select",
]
