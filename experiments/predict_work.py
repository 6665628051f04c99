"""The folder of a prediction: new, or one that was stopped and is gone on with, and never another's."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.first_weights import digest_of
from smrjax.data.listing import Picture
from smrjax.errors import InputError
from smrjax.files import read_json, write_json
from smrjax.predict.model import Member, Model
from smrjax.taxonomy.stored import to_json


@dataclass(frozen=True)
class Job:
    """What a prediction that is gone on with must find as it was.

    Attributes:
        run: Hash of the networks, classifiers and curves that are asked.
        answers: Hash of whatever else says how answers come about: classes, lineages and their titles, severities,
            colours of the run's cells, pixels a side, images in a part of the table.
        images: Hash of the list of images.
        folds: That are asked.
        decision: likeliest or severity.
        options: Whatever else changes a table.
    """

    run: str
    answers: str
    images: str
    folds: tuple[int, ...]
    decision: str
    options: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, model: Model, pictures: Sequence[Picture], *, rows: int, **options: Any) -> "Job":
        """Of this model, images and options, with so many images in a part of the table."""
        severity = None if model.severity is None else model.severity.tolist()
        return cls(
            run=digest_of_members(model.members),
            answers=_digest(
                [to_json(model.taxonomy), severity, model.stain and asdict(model.stain), model.image_size, rows]
            ),
            images=_digest([tuple(vars(picture).values()) for picture in pictures]),
            folds=tuple(member.fold for member in model.members),
            decision="likeliest" if model.severity is None else "severity",
            options=tuple(sorted(options.items())),
        )


def digest_of_members(members: Sequence[Member]) -> str:
    """A hash of everything that members answer by."""
    return digest_of(
        [
            (dict(m.variables), vars(m.reader.svm), dict(m.reader.curves), m.reader.reducer, m.reader.training)
            + (m.reader.unfamiliar, dict(m.reader.off_curve))
            for m in members
        ]
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "replace")).hexdigest()


def open_out(out: Path | None, run: Path, images: str, job: Job) -> Path:
    """The folder of a prediction.

    Args:
        out: As asked for; None for a new one, or one of the same job that was stopped, in the run's folder.
        run: The run's folder.
        images: What the images were named by, of which a new folder's name is made.
        job: What is to be done.

    Raises:
        InputError: if the folder asked for holds anything but this job, unfinished, or cannot be made.
    """
    if out is not None:
        if not _free(out, job):
            raise InputError(f"{out}: there is something in it already; choose another --out, or take it away")
        return _made(out, job)
    name = Path(images.split("*")[0]).stem.strip(".") or "images"
    number, folder = 1, run / "predictions" / name
    while not _free(folder, job):
        number += 1
        folder = run / "predictions" / f"{name}-{number}"
    return _made(folder, job)


def identity_of_members(members: Sequence[Member]) -> str:
    """A hash of what the folders of the folds hold, by which a prediction is known to be of a run.

    It is the same for a run and for a model exported from it, on every machine. The limits of flags, which
    `digest_of_members` counts, are not in it: they are computed when a run is opened, and their last digits are the
    machine's.
    """
    return digest_of(
        [
            (dict(m.variables), vars(m.reader.svm), dict(m.reader.curves), m.reader.reducer, m.reader.training)
            for m in members
        ]
    )


def done_parts(folder: Path) -> int:
    """How many parts of the table are on the disk: all up to the first that is not."""
    number = 0
    while part_path(folder, number).exists():
        number += 1
    return number


def part_path(folder: Path, number: int) -> Path:
    """Of a part of the table, until it is whole."""
    return folder / "parts" / f"{number:06}.parquet"


def stains_path(folder: Path) -> Path:
    """Of the colours of slides or folders, once they are read; it goes with the parts."""
    return folder / "parts" / "stains.json"


def go_on(command: str, out: Path | None, folder: Path) -> str:
    """The command that goes on with a prediction that was stopped."""
    return command if out is not None else f"{command} {shlex.join(['--out', str(folder)])}"


def _free(folder: Path, job: Job) -> bool:
    """Whether a folder is not there, empty, or of this job and not finished."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    if (folder / "summary.json").exists():
        return False
    if (folder / "job.json").exists():
        return read_json(folder / "job.json") == _plain(job)
    return not any(folder.iterdir())


def _made(folder: Path, job: Job) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First of all: without it, a folder with anything in it is another's.
        write_json(folder / "job.json", _plain(job))
        (folder / "parts").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    return folder


def _plain(job: Job) -> dict[str, object]:
    """As JSON gives it back."""
    return asdict(job) | {"folds": list(job.folds), "options": [list(one) for one in job.options]}
