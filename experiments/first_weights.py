"""What trainings begin with: what it is known by, and whether it has seen cells that are to be tested."""

import hashlib
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smrjax.data import CellSet
from smrjax.errors import InputError
from smrjax.files import read_object
from smrjax.train.processes import leads
from smrjax.train.transfer import find_training


def digest_of(arrays: Any) -> str:
    """A hash of the arrays of a pytree."""
    content = hashlib.sha256()
    for leaf in jax.tree.leaves(arrays):
        content.update(np.asarray(leaf).tobytes())
    return content.hexdigest()


def known_by(variables: Any, encoder: str, init: str, *, seed: int) -> str:
    """A hash of what decides an encoder's first variables: of the bits of those alone that come from files.

    Random ones are computed, and their last bits are the processor's. All but the embedding head come from files,
    where any do.

    Args:
        variables: From `prepare.first_variables`.
        encoder: Name in `ENCODERS`.
        init: See `EncoderOptions.init`.
        seed: Of random weights.
    """
    shapes = [(jax.tree_util.keystr(path), leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(variables)]
    read = {kind: {k: v for k, v in tree.items() if k != "head"} for kind, tree in variables.items()}
    content = "" if init == "random" else digest_of(read)
    return hashlib.sha256(repr((encoder, seed, shapes, content)).encode()).hexdigest()


def check_unseen(init: str, cells: CellSet, folds: np.ndarray, tested: Collection[int], *, strict: bool) -> None:
    """Say so if the network that ``init`` names was trained on cells that a fold of this run tests.

    By the hashes in that run's ``run.json``: of sets that only overlap, or where the file is away, nothing is known.

    Args:
        init: See `EncoderOptions.init`.
        cells: Of this run.
        folds: Whatever its parts follow from, as its own ``run.json`` has their hash.
        tested: Its folds.
        strict: Refuse to train then.

    Raises:
        InputError: if ``strict`` and it was, or as `find_training` and `read_object`.
    """
    if not Path(init).is_dir():
        return
    training = find_training(Path(init)).resolve()
    run = next((folder for folder in training.parents if (folder / "run.json").is_file()), None)
    if run is None:
        return
    known, parts = read_object(run / "run.json"), training.relative_to(run).parts
    own = [int(part.removeprefix("fold_")) for part in parts if re.fullmatch(r"fold_\d+", part)]
    if any(known.get(f"cells of {name}") == cells.digest for part in parts for name in part.split("+")):
        seen, instead = list(tested), "begin with another network"
    # Of the baselines, there are two hashes, for networks and for descriptors.
    elif own and cells.digest in str(known.get("cells")):
        same = known.get("folds") == digest_of(np.asarray(folds, np.int32))
        seen = [fold for fold in tested if not (same and fold == own[0])]
        instead = f"{'' if same else 'the folds of that run and '}--only-folds {own[0]} avoid{'s' if same else ''} it"
    else:
        return
    if not seen:
        return
    words = (
        f"--init {init}: that network was trained on cells which fold{'s' if len(seen) > 1 else ''} "
        f"{', '.join(map(str, seen))} will test"
    )
    if strict:
        raise InputError(f"--strict-split: {words}; {instead}")
    if leads():
        warnings.warn(f"{words}: scores would be too good; {instead}; --strict-split refuses this", stacklevel=2)
