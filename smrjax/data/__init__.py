"""Cells from anywhere, as one `CellSet`: drawn, published, or anyone's own."""

from collections.abc import Callable
from pathlib import Path

from smrjax.data.cellset import CellSet, select
from smrjax.data.load import load_folder, load_pbc, load_synthetic
from smrjax.errors import InputError

#: Sets with a name: each takes count, size, seed, cache_dir and progress, and may ignore the first and third.
DATASETS: dict[str, Callable[..., CellSet]] = {
    "synthetic_marrow": load_synthetic,
    "pbc": lambda *, count, seed, **how: load_pbc(**how),
}


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
        spec: A name in `DATASETS`, or the path of a folder of class folders, of a CSV manifest, or of the
            published archive of ``pbc`` (``./pbc`` for a folder of that name).
        size: Pixels a side.
        count: How many cells to draw, for synthetic_marrow alone.
        seed: Of the drawn set.
        cache_dir: Folder of decoded images; by default $SMRJAX_CACHE, or smrjax in the user's cache folder.
        progress: Show bars.

    Raises:
        InputError: in one line, for anything wrong with the data.
    """
    if str(spec) in DATASETS:
        return DATASETS[str(spec)](count=count, size=size, seed=seed, cache_dir=cache_dir, progress=progress)
    if size < 1:
        raise InputError(f"--image-size {size}: give 1 pixel or more")
    if not Path(spec).expanduser().exists():
        raise InputError(f"--data {spec}: there is no such folder or manifest; or say {' or '.join(DATASETS)}")
    if Path(spec).suffix.lower() == ".zip":
        return load_pbc(spec, size=size, cache_dir=cache_dir, progress=progress)
    return load_folder(spec, size=size, cache_dir=cache_dir, progress=progress)


__all__ = ["DATASETS", "CellSet", "load", "load_folder", "load_pbc", "load_synthetic", "select"]
