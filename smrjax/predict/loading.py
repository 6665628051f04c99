"""Read an exported model: files that are as they were written, and nothing run from them.

``model.json`` names every file with its SHA-256, so a file that was damaged, or exchanged by itself, is found. Whoever
changes a file and its digest alike is not: take models from people whom you trust, as you would programs. Even so, no
file is unpickled, none outside of the folder is read, and a network that calls out of its program is refused.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from smrjax.data.stain import statistics_of
from smrjax.errors import InputError, first_line
from smrjax.evaluate.svm_model import load_model as load_svm
from smrjax.files import read_arrays, read_flat, read_json
from smrjax.predict.checks import check_members, check_targets
from smrjax.predict.model import Judged, Member, Model
from smrjax.predict.program import OWN, SHARED, read_programs
from smrjax.predict.reader import Reader
from smrjax.taxonomy import Taxonomy
from smrjax.taxonomy.stored import from_json

#: What says of a folder that a model is in it.
MODEL = "model.json"
#: Of the folder and of model.json. One that is raised is not read by versions that do not know it.
FORMAT = 1
#: Of every fold; with ``reducer.npz`` where its curves live in a reduced space, and ``svm.skops`` for scikit-learn.
ARRAYS = ("variables", "svm", "curves", "training", "tested")


def load_model(path: str | Path) -> Model:
    """A model that ``python -m experiments.export`` wrote.

    Args:
        path: Its folder.

    Raises:
        InputError: if there is none, it is of another format, or a file is missing, damaged or not what it should be.
    """
    folder = Path(path)
    if not (folder / MODEL).is_file():
        raise InputError(f"{folder}: there is no {MODEL} in it; make a model by python -m experiments.export")
    about = read_json(folder / MODEL)
    _check_format(folder / MODEL, about)
    try:
        folds, size = _folds(about["folds"]), int(about["images"]["size"])
        _check_files(folder, about["files"], folds)
        taxonomy = _taxonomy(about["taxonomy"])
        severity, stain = about["severity"], about["stain"]
        members = tuple(_member(folder, fold, taxonomy, about["files"]) for fold in folds)
        check_members(members, taxonomy)
        networks, dimensions = [member.variables for member in members], members[0].reader.training.shape[1]
        shared, own = read_programs(folder, networks, size=size, dimensions=dimensions)
        return Model(
            folder=folder,
            title=str(about["title"]),
            taxonomy=taxonomy,
            image_size=size,
            severity=None if severity is None else _severity(severity, len(taxonomy.classes)),
            stain=None if stain is None else statistics_of(stain),
            members=members,
            shared=shared,
            own=own,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{folder}: its {MODEL} and its files do not fit together ({first_line(error)}); export it again"
        ) from None


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_format(path: Path, about: Any) -> None:
    if not isinstance(about, dict) or "format" not in about:
        raise InputError(f"{path}: does not describe a model; make one by python -m experiments.export")
    if about["format"] != FORMAT:
        raise InputError(
            f"{path}: is of format {about['format']}, and this version of smrjax reads {FORMAT}; export the run again, "
            "or use the version that wrote it"
        )


def _folds(stored: Any) -> list[int]:
    """Numbers of the folds, ascending."""
    folds = sorted(map(int, stored))
    if not folds or len(set(folds)) < len(folds):
        raise ValueError(f"folds {folds}")
    return folds


def _taxonomy(stored: Any) -> Taxonomy:
    try:
        return from_json(stored)
    except InputError as error:
        raise ValueError(str(error)) from None


def _check_files(folder: Path, digests: dict[str, str], folds: Sequence[int]) -> None:
    """That every file is inside the folder and as it was written, and none is read that has no digest."""
    wanted = [SHARED, OWN, *(f"fold_{fold}/{name}.npz" for fold in folds for name in ARRAYS)]
    if missing := sorted(set(wanted) - set(digests)):
        raise InputError(f"{folder / MODEL}: does not name {missing[0]}; export the run again")
    for name, digest in digests.items():
        plain, path = PurePosixPath(name), folder / name
        if plain.is_absolute() or ".." in plain.parts or not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder / MODEL}: names {name}, which is outside of the folder; do not use this model")
        try:
            found = digest_of_file(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); copy the whole folder again") from None
        if found != digest:
            raise InputError(f"{path}: is not as it was written (its SHA-256 differs); copy it again, or export again")


def _member(folder: Path, fold: int, taxonomy: Taxonomy, digests: dict[str, str]) -> Member:
    own, names = folder / f"fold_{fold}", [line.name for line in taxonomy.lineages]
    curves, training, tested = (read_flat(own / f"{name}.npz") for name in ("curves", "training", "tested"))
    reducer = read_arrays(own / "reducer.npz") if f"fold_{fold}/reducer.npz" in digests else {}
    here = [name for name in sorted(names) if f"control_{name}" in curves]
    check_targets(curves, taxonomy)
    reader = Reader(
        svm=load_svm(own / "svm.npz"),
        n_classes=len(taxonomy.classes),
        curves={name: curves[f"control_{name}"] for name in here},
        reducer=reducer,
        training=training["embeddings"],
        unfamiliar=float(training["limit"].item()),
        off_curve={name: float(curves[f"limit_{name}"].item()) for name in here},
    )
    return Member(fold, read_flat(own / "variables.npz"), reader, Judged(**tested))


def _severity(stored: Any, classes: int) -> np.ndarray:
    severity = np.array(stored, np.float64)
    if severity.shape != (classes, classes):
        raise ValueError(f"severities {severity.shape} of {classes} classes")
    if not np.isfinite(severity).all():
        raise ValueError("severities are not finite")
    return severity
