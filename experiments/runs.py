"""A run's folder: made with all that a resume must find again, and gone on with on nothing else."""

import shlex
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from experiments.config import RunOptions, to_json
from experiments.duplicates import Repeated, counts_of, write_rows
from experiments.first_weights import digest_of
from experiments.prepare import Prepared
from smrjax.errors import InputError
from smrjax.files import read_object
from smrjax.train.folder import create_run, run_folder

#: What run.json called them while it had the hash of all their bits, which are other ones on other processors.
OLD_WEIGHTS = "initial weights"


class HasRun(Protocol):
    """Any experiment's options."""

    @property
    def run(self) -> RunOptions:
        """Where results go."""


def open_run(
    blocks: HasRun,
    experiment: str,
    name: str,
    *,
    identity: Mapping[str, str],
    severity: dict[str, Any],
    repeated: Repeated,
    stored: Mapping[str, Any] | None = None,
    command: str = "",
) -> Path:
    """The folder of a run: a new one with `config.json` and what a resume must find again, or the one to go on with.

    Args:
        blocks: Options.
        experiment: The module, ``smr`` of ``experiments.smr``.
        name: Of a new run, unless ``--name`` gives one.
        identity: What -> its hash, of all that a resume must find as it was; see `identity_of`.
        severity: File and matrix by which errors are scored; see `severity_of`.
        repeated: Duplicates among its cells; ``duplicates.csv`` has them.
        stored: What else a resume takes from run.json.
        command: What the user called, where that was not this process.

    Raises:
        InputError: if a new folder exists or cannot be written, or a run was begun on other cells, folds, weights or
            matrices.
    """
    if blocks.run.resume:
        folder = Path(blocks.run.resume)
        check_same(folder, identity)
        return folder
    folder = run_folder(blocks.run.out, experiment, blocks.run.name or name)
    command = command or shlex.join(["python", "-m", f"experiments.{experiment}", *sys.argv[1:]])
    resume = shlex.join(["python", "-m", f"experiments.{experiment}", "--resume", str(folder)])
    about = {"command": command, "resume": resume, "severity": severity, "duplicates": counts_of(repeated)}
    create_run(
        folder,
        {"config.json": to_json(blocks), "run.json": about | dict(identity) | dict(stored or {})},
        also=lambda new: write_rows(new / "duplicates.csv", repeated.rows),
    )
    return folder


def check_same(folder: Path, identity: Mapping[str, str], file: str = "run.json") -> None:
    """Make sure that a run's cells, folds, weights and matrices are those that it began with.

    Args:
        folder: Of the run.
        identity: As it is now.
        file: Has it as it was.

    Raises:
        InputError: if one of them is not.
    """
    stored = read_object(folder / file)
    for what, digest in identity.items():
        if what == "weights" and what not in stored and OLD_WEIGHTS in stored:
            warnings.warn(
                f"{folder}: was begun by an earlier version, which knew its first weights by their bits; whether they "
                "are the same is not looked at",
                stacklevel=2,
            )
        elif stored.get(what) != digest:
            raise InputError(
                f"{folder}: the {what} are no longer those the run began with, so its folds would not belong together; "
                "bring them back, or begin a new run"
            )


def identity_of(prepared: Prepared, **also: np.ndarray) -> dict[str, str]:
    """What a resume must find as it was: cells, weights, folds, severities, and whatever else is given."""
    known = {"folds": np.asarray(prepared.folds, np.int32), **also}
    if prepared.severity is not None:
        known["severities"] = np.asarray(prepared.severity, np.int32)
    return {"cells": prepared.cells.digest, "weights": prepared.weights} | {
        name: digest_of(values) for name, values in known.items()
    }


def severity_of(matrix: np.ndarray | None, file: str | None) -> dict[str, Any]:
    """A severity matrix and its file, as run.json has them."""
    return {"file": file, "matrix": None if matrix is None else matrix.tolist()}
