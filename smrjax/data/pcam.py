"""PatchCamelyon (Veeling et al. 2018): patches of lymph node sections with and without metastases, in HDF5 files."""

import contextlib
import gzip
import os
import tempfile
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

#: Whether the middle 32 x 32 pixels of a patch show tumour.
CLASSES = ("normal", "tumor")

#: Images of each official part.
PARTS = {"train": 262144, "valid": 32768, "test": 32768}

#: The fold of each part: `smrjax.data.folds.split` gives the official split as its fold 0.
FOLDS = {"test": 0, "valid": 1, "train": 2}

WHERE = (
    "the set is at doi.org/10.5281/zenodo.2546921 (CC0, 8 GB): download the six files "
    "camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5.gz and give their folder"
)

CITATION = (
    "Veeling BS, Linmans J, Winkens J, Cohen T, Welling M: Rotation equivariant CNNs for digital pathology. "
    "MICCAI (2018) 210-218"
)

#: Bytes of a file when it is unpacked: the largest has 7.2 GB.
MOST = 2**33

_CHUNK = 512


def load_pcam(
    folder: str | Path | None = None,
    *,
    size: int,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> CellSet:
    """Patches of lymph node sections, with the official parts as folds.

    Fold 0 is the official test part, fold 1 the validation part and fold 2 the training part. No slide is in two of
    them, and which slide a patch is of is not in these files, so the training part is left whole: only fold 0 of
    `smrjax.data.folds.split` is of use.

    Args:
        folder: With the six files, packed (``.h5.gz``) or not; the folder ``pcam`` in $SMRJAX_DATA if None.
        size: Pixels a side.
        cache_dir: See `smrjax.data.cache.cache_root`; while packed files are recorded, they are unpacked there.
        progress: Show bars.

    Raises:
        InputError: if a file is not there or damaged, or h5py is missing.
    """
    place = place_of("pcam", folder, WHERE)
    records = [Record(f"{part}_{what}", str(file), "") for (part, what), file in find_pcam(place).items()]
    hashes = cache.file_hashes(records, cache.cache_root(cache_dir), progress=progress, largest=MOST)

    def builder(target: Path, on_example: Callable[[], None]) -> Any:
        from smrjax.data.cells import Pcam

        return Pcam(place, on_example=on_example, data_dir=target)

    digest = digest_of(records, hashes, CLASSES)
    cells = cached_cells("pcam", digest, sum(PARTS.values()), builder, size, cache_dir, progress)
    assert cells.folds is not None
    found = np.bincount(cells.folds, minlength=len(FOLDS))
    warn_of_numbers("pcam", {part: int(found[fold]) for part, fold in FOLDS.items()}, PARTS)
    return cells


def find_pcam(folder: str | Path) -> dict[tuple[str, str], Path]:
    """The six files by part and ``x`` or ``y``; one that is unpacked goes before a packed one.

    Raises:
        InputError: naming the first that is missing.
    """
    found = {}
    for part in PARTS:
        for what in ("x", "y"):
            file = Path(os.path.expanduser(folder)) / f"camelyonpatch_level_2_split_{part}_{what}.h5"
            packed = file.with_suffix(".h5.gz")
            if not file.is_file() and not packed.is_file():
                raise InputError(f"{file}[.gz]: there is no such file; {WHERE}")
            found[part, what] = file if file.is_file() else packed
    return found


def is_pcam(path: Path) -> bool:
    """Whether a path is a folder with files of this set."""
    return any(path.glob("camelyonpatch_level_2_split_*.h5*"))


def read_pcam(folder: Path, scratch: Path) -> Iterator[tuple[str, np.ndarray, int, int]]:
    """Names, images UInt8[96, 96, 3], labels and folds, part after part; few of them are in memory at a time.

    Args:
        folder: With the six files.
        scratch: Where packed files are unpacked, one part at a time, and removed after it.

    Raises:
        InputError: for a file that is missing or damaged, or if h5py is missing.
    """
    files = find_pcam(folder)
    for part in PARTS:
        x_file, y_file = files[part, "x"], files[part, "y"]
        with _array(x_file, "x", scratch) as x, _array(y_file, "y", scratch) as y:
            if x.ndim != 4 or x.shape[1] != x.shape[2] or x.shape[3] != 3 or x.dtype != np.uint8:
                raise InputError(f"{x_file}: x is {x.dtype} of shape {x.shape}, not UInt8[N, 96, 96, 3]; {WHERE}")
            if y.size != len(x) or y.shape[0] != len(x):
                raise InputError(f"{y_file}: has labels of shape {y.shape} for {len(x)} images; download both again")
            for start in range(0, len(x), _CHUNK):
                rows = slice(start, start + _CHUNK)
                labels = _rows(y, y_file, rows).reshape(-1)
                if not np.isin(labels, (0, 1)).all():
                    raise InputError(f"{y_file}: has a label that is neither 0 nor 1 in rows {start} and on; {WHERE}")
                for i, (image, label) in enumerate(zip(_rows(x, x_file, rows), labels, strict=True), start):
                    yield f"{part}/{i:06d}", image, int(label), FOLDS[part]


@contextlib.contextmanager
def _array(path: Path, key: str, scratch: Path) -> Iterator[Any]:
    """An array of an HDF5 file that is not read yet; HDF5 cannot be read out of a packed file in order."""
    try:
        import h5py
    except ImportError:
        raise InputError("pcam: reading its files needs h5py; pip install 'smrjax[pcam]'") from None
    with contextlib.ExitStack() as stack:
        plain = path
        if path.suffix == ".gz":
            plain = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))) / path.stem
            try:
                with gzip.open(path) as packed, open(plain, "wb") as file:
                    while piece := packed.read(2**20):
                        if file.tell() > MOST:
                            raise InputError(f"{path}: is larger than any file of the set when unpacked; {WHERE}")
                        file.write(piece)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise InputError(f"{path}: is not a whole .gz file ({error}); download it again") from None
        try:
            array = stack.enter_context(h5py.File(plain, "r"))[key]
            assert isinstance(array, h5py.Dataset)
        except (OSError, KeyError, AssertionError) as error:
            raise InputError(f"{path}: is not a whole HDF5 file with an array {key} ({error}); {WHERE}") from None
        yield array


def _rows(array: Any, path: Path, rows: slice) -> np.ndarray:
    try:
        return array[rows]
    except OSError as error:
        raise InputError(f"{path}: is damaged ({error}); download it again") from None
