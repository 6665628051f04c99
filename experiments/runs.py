"""A run's folder: made with all that a resume must find again, and gone on with on nothing else."""

import hashlib
import shlex
import sys
from pathlib import Path

import jax
import numpy as np

from experiments.config import to_json
from experiments.prepare import Blocks, Prepared
from smrjax.errors import InputError
from smrjax.train.folder import create_run, read_json, write_json


def open_run(blocks: Blocks, prepared: Prepared, experiment: str, name: str) -> Path:
    """The folder of a run: a new one with `config.json` and what a resume must find again, or the one to go on with.

    Args:
        blocks: Options.
        prepared: From `prepare`, of the same options.
        experiment: The module, ``smr`` of ``experiments.smr``.
        name: Of a new run, unless ``--name`` gives one.

    Raises:
        InputError: if a new folder exists or cannot be written, or a run was begun on other cells, folds or weights.
    """
    if blocks.run.resume:
        folder = Path(blocks.run.resume)
        _check_same(folder, prepared)
        return folder
    folder = create_run(blocks.run.out, experiment, blocks.run.name or name)
    write_json(folder / "config.json", to_json(blocks))
    command = shlex.join(["python", "-m", f"experiments.{experiment}", *sys.argv[1:]])
    resume = shlex.join(["python", "-m", f"experiments.{experiment}", "--resume", str(folder)])
    write_json(folder / "run.json", {"command": command, "resume": resume} | _identity(prepared))
    return folder


def _check_same(folder: Path, prepared: Prepared) -> None:
    stored = read_json(folder / "run.json")
    for what, digest in _identity(prepared).items():
        if stored.get(what) != digest:
            raise InputError(
                f"{folder}: the {what} are no longer those the run began with, so test cells may have been trained on; "
                "bring them back, or begin a new run"
            )


def _identity(prepared: Prepared) -> dict[str, str]:
    weights = hashlib.sha256()
    for leaf in jax.tree.leaves(prepared.variables):
        weights.update(np.asarray(leaf).tobytes())
    folds = hashlib.sha256(np.asarray(prepared.fold_of, np.int32).tobytes())
    return {"cells": prepared.cells.digest, "folds": folds.hexdigest(), "initial weights": weights.hexdigest()}
