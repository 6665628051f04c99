"""Arrays that `assess_fold` left behind, read back: what does not fit together is said here, and once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from smrjax.errors import InputError
from smrjax.files import read_flat

#: No embedding and no place is farther out; squares of what is are infinite in single precision.
LARGEST = 1e15


def read_embeddings(folder: Path, classes: int, tested: int | None = None) -> dict[str, np.ndarray]:
    """Arrays of embeddings.npz, see `assess_fold`; none for a method without embeddings.

    Args:
        folder: Of the fold.
        classes: C.
        tested: How many cells its test part has, if that is known.

    Raises:
        InputError: if the file is damaged, or its arrays do not fit together.
    """
    path = folder / "embeddings.npz"
    arrays = read_flat(path) if path.exists() else {}
    if not arrays:
        return {}
    need(path, arrays, "embeddings", "labels", "predicted", "part")
    n = (arrays["labels"].size,)
    for name, below in (("labels", classes), ("predicted", classes), ("part", 3)):
        found = arrays[name]
        if found.dtype.kind not in "iu" or found.shape != n or not ((found >= 0) & (found < below)).all():
            raise _damaged(path, f"{name} are not one for each cell, from 0 to {below - 1}")
    for name, found in arrays.items():
        if name in ("embeddings", "place"):
            _check_numbers(path, name, found, (*n, None), defined=True)
        elif name.startswith(("t_", "missed_")):
            _check_numbers(path, name, found, n, defined=False)
    if tested is not None and tested != (arrays["part"] == 2).sum():
        raise _damaged(path, "its test part is not that of predictions.csv")
    return arrays


def read_curves(folder: Path, stages: Mapping[str, int], dimensions: int) -> dict[str, np.ndarray]:
    """Arrays of curves.npz, likewise; none for a method without lineages.

    Args:
        folder: Of the fold.
        stages: Lineage -> number of its stages.
        dimensions: Of the space in which its curves live.

    Raises:
        InputError: if the file is damaged, or its arrays do not fit together.
    """
    path = folder / "curves.npz"
    arrays = read_flat(path) if path.exists() else {}
    for line, count in stages.items():
        control = arrays.get(f"control_{line}")
        if control is None:
            continue
        need(path, arrays, f"targets_{line}")
        targets = arrays[f"targets_{line}"]
        _check_numbers(path, f"control_{line}", control, (None, None, dimensions), defined=True)
        _check_numbers(path, f"targets_{line}", targets, (count,), defined=True)
        if ((targets < 0) | (targets > 1)).any():
            raise _damaged(path, f"targets_{line} are not from 0 to 1")
    for name, found in arrays.items():
        if name.startswith("boundaries_"):
            _check_numbers(path, name, found, (found.size,), defined=False)
    return arrays


def need(path: Path, arrays: Mapping[str, np.ndarray], *names: str) -> None:
    """Make sure that arrays of these names are there.

    Raises:
        InputError: for the first that is not.
    """
    for name in names:
        if name not in arrays:
            raise _damaged(path, f"there is no {name} in it")


def _check_numbers(path: Path, name: str, found: np.ndarray, shape: tuple[int | None, ...], *, defined: bool) -> None:
    """Make sure that an array has a shape (None: any number, but one at least) and holds finite numbers.

    NaN is let through where it means undefined.
    """
    fits = found.ndim == len(shape) and all(
        n > 0 if m is None else n == m for n, m in zip(found.shape, shape, strict=True)
    )
    if found.dtype.kind not in "fiu" or not fits:
        raise _damaged(path, f"{name} is not of the form it should be")
    good = np.abs(found) <= LARGEST
    if not (good if defined else good | np.isnan(found)).all():
        raise _damaged(path, f"{name} holds what is no number, or too large a one")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path}: is damaged ({what}); bring it back, or train the fold again")
