"""BloodMNIST of MedMNIST v2 (Yang et al. 2023): the cells of Acevedo et al. 2020 in eight classes, as arrays."""

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.data import cache
from smrjax.data.cellset import CellSet
from smrjax.data.folder import Record
from smrjax.data.load import cached_cells, digest_of
from smrjax.data.published import place_of, warn_of_numbers
from smrjax.errors import InputError

CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocytes",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)

#: Images of each official part.
PARTS = {"train": 11959, "val": 1712, "test": 3421}

#: Folds that the training part is dealt out to, class by class.
TRAINING_FOLDS = (2, 3, 4, 5)

WHERE = (
    "the set is at doi.org/10.5281/zenodo.10519652 (CC BY 4.0): download bloodmnist.npz, or bloodmnist_64, _128 or "
    "_224.npz for larger images, and give the file or its folder"
)

#: Bytes of an array: the largest, of images of 224 px, has 1.8 GB.
MOST = 2**31

CITATION = (
    "Yang J, Shi R, Wei D, Liu Z, Zhao L, Ke B, Pfister H, Ni B: MedMNIST v2: a large-scale lightweight benchmark for "
    "2D and 3D biomedical image classification. Scientific Data 10 (2023) 41"
)


def load_bloodmnist(
    path: str | Path | None = None,
    *,
    size: int,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """Peripheral blood cells of eight kinds, with the official parts as folds.

    Fold 0 is the official test part and fold 1 the official validation part, so `smrjax.data.folds.split` gives the
    official split as its fold 0. The official training part is dealt out to folds 2 to 5, so that the other folds
    are an ordinary cross-validation over all cells.

    Args:
        path: An ``.npz`` file or a folder with one or more; the folder ``bloodmnist`` in $SMRJAX_DATA if None.
        size: Pixels a side; of several files, the smallest is read whose images are not smaller.
        cache_dir: See `smrjax.data.cache.cache_root`.
        progress: Show bars.

    Raises:
        InputError: if it is not there, is damaged, or is another set of MedMNIST.
    """
    file = find_bloodmnist(place_of("bloodmnist", path, WHERE), size)
    records = [Record("bloodmnist", str(file), "")]
    hashes = cache.file_hashes(records, cache.cache_root(cache_dir), progress=False, largest=math.inf)

    def builder(target: Path, on_example: Callable[[], None]) -> Any:
        from smrjax.data.cells import BloodMnist

        return BloodMnist(file, on_example=on_example, data_dir=target)

    digest = digest_of(records, hashes, CLASSES)
    cells = cached_cells("bloodmnist", digest, sum(PARTS.values()), builder, size, cache_dir, progress)
    found = {part: sum(name.startswith(part) for name in cells.names) for part in PARTS}
    warn_of_numbers("bloodmnist", found, PARTS)
    return cells


def find_bloodmnist(path: str | Path, size: int = 224) -> Path:
    """The file to be read for images of a size.

    Args:
        path: An ``.npz`` file, or a folder with ``bloodmnist.npz``, ``bloodmnist_64.npz`` and so on.
        size: Pixels a side.

    Raises:
        InputError: if there is none.
    """
    path = Path(os.path.expanduser(path))
    if path.is_file():
        return path
    files = {side: path / f"bloodmnist{'' if side == 28 else f'_{side}'}.npz" for side in (28, 64, 128, 224)}
    there = [side for side, file in files.items() if file.is_file()]
    if not there:
        raise InputError(f"{path}: there is no bloodmnist.npz or bloodmnist_64, _128 or _224.npz; {WHERE}")
    return files[min((side for side in there if side >= size), default=max(there))]


def is_bloodmnist(path: Path) -> bool:
    """Whether a path is that of an ``.npz`` file, or of a folder with files of this set."""
    return path.suffix.lower() == ".npz" or any(path.glob("bloodmnist*.npz"))


def read_bloodmnist(path: Path) -> Iterator[tuple[str, np.ndarray, int, int]]:
    """Names, images UInt8[S, S, 3], labels and folds, part after part; a part is held in memory.

    Args:
        path: See `find_bloodmnist`.

    Raises:
        InputError: for a file that is damaged or another set of MedMNIST.
    """
    path = find_bloodmnist(path)
    for part in PARTS:
        images, labels = _read_part(path, part)
        dealt = [0] * len(CLASSES)
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            fold = {"test": 0, "val": 1, "train": TRAINING_FOLDS[dealt[label] % len(TRAINING_FOLDS)]}[part]
            dealt[label] += 1
            yield f"{part}/{i:05d}", image, label, fold


def _read_part(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images UInt8[N, S, S, 3] and labels Int[N], checked."""
    try:
        # Opened here, because np.load leaves a damaged archive open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if any(info.file_size > MOST for info in arrays.zip.infolist()):
                raise InputError(f"{path}: is larger than any file of the set when unpacked; {WHERE}")
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    except KeyError as error:
        raise InputError(f"{path}: is not BloodMNIST, it has no array {error.args[0].split()[0]}; {WHERE}") from None
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: is not a whole .npz archive ({error}); download it again") from None
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"{path}: is not BloodMNIST, whose images are in colour: {part}_images is {images.dtype} of shape "
            f"{images.shape}; {WHERE}"
        )
    found = np.unique(labels)
    known = np.isin(found, range(len(CLASSES))).all() and (part != "train" or len(found) == len(CLASSES))
    if labels.shape not in ((len(images), 1), (len(images),)) or not known:
        raise InputError(
            f"{path}: is not BloodMNIST, whose images have one of 8 labels each: {part}_labels is of shape "
            f"{labels.shape} with {len(found)} values for {len(images)} images; {WHERE}"
        )
    return images, labels.reshape(-1).astype(int)
