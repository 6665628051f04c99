"""A run's folder: made with all that a resume must find again, and gone on with on nothing else."""

import hashlib
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from experiments.config import to_json
from experiments.prepare import Blocks, Prepared
from smrjax.errors import InputError
from smrjax.train.folder import create_run, read_json, write_json


def open_run(
    blocks: Blocks, prepared: Prepared, experiment: str, name: str, *, also: Mapping[str, np.ndarray] | None = None
) -> Path:
    """The folder of a run: a new one with `config.json` and what a resume must find again, or the one to go on with.

    Args:
        blocks: Options.
        prepared: From `prepare`, of the same options.
        experiment: The module, ``smr`` of ``experiments.smr``.
        name: Of a new run, unless ``--name`` gives one.
        also: Name -> whatever else a resume must find as it was.

    Raises:
        InputError: if a new folder exists or cannot be written, or a run was begun on other cells, folds, weights or
            matrices.
    """
    identity = _identity(prepared, also or {})
    if blocks.run.resume:
        folder = Path(blocks.run.resume)
        _check_same(folder, identity)
        return folder
    folder = create_run(blocks.run.out, experiment, blocks.run.name or name)
    write_json(folder / "config.json", to_json(blocks))
    command = shlex.join(["python", "-m", f"experiments.{experiment}", *sys.argv[1:]])
    resume = shlex.join(["python", "-m", f"experiments.{experiment}", "--resume", str(folder)])
    matrix = None if prepared.severity is None else prepared.severity.tolist()
    severity = {"file": prepared.severity_file, "matrix": matrix}
    write_json(folder / "run.json", {"command": command, "resume": resume, "severity": severity} | identity)
    return folder


def _check_same(folder: Path, identity: Mapping[str, str]) -> None:
    stored = read_json(folder / "run.json")
    for what, digest in identity.items():
        if stored.get(what) != digest:
            raise InputError(
                f"{folder}: the {what} are no longer those the run began with, so its folds would not belong together; "
                "bring them back, or begin a new run"
            )


def _identity(prepared: Prepared, also: Mapping[str, np.ndarray]) -> dict[str, str]:
    weights = hashlib.sha256()
    for leaf in jax.tree.leaves(prepared.variables):
        weights.update(np.asarray(leaf).tobytes())
    known = {"folds": np.asarray(prepared.fold_of, np.int32), **also}
    if prepared.severity is not None:
        known["severities"] = np.asarray(prepared.severity, np.int32)
    digests = {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in known.items()}
    return {"cells": prepared.cells.digest, "initial weights": weights.hexdigest(), **digests}
