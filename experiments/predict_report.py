"""What a prediction says as a whole: ``summary.json``, and lines for the screen."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.predict_work import Job
from experiments.summary import versions
from smrjax.predict.members import Member
from smrjax.predict.run import FinishedRun
from smrjax.predict.table import FLAGS, read_columns
from smrjax.train.folder import write_json

WARNING = "For research use only; not a medical device."


def report(
    folder: Path, run: FinishedRun, members: Sequence[Member], job: Job, *, seconds: float, command: str
) -> list[str]:
    """Write ``summary.json``, which ends a prediction, and take its parts away.

    Args:
        folder: Of the prediction, with its whole table.
        run: That was asked.
        members: Of it.
        job: What was done.
        seconds: That it took; 0 where nothing was left to do.
        command: As it was called.

    Returns:
        Lines for the screen.
    """
    found = read_columns(folder / "predictions.parquet", ["predicted", "unreadable", *FLAGS])
    count = len(found["predicted"])
    classes = {code: int((found["predicted"] == code).sum()) for code in run.taxonomy.classes}
    flags = {name: sum(map(bool, found[name])) for name in FLAGS}
    unreadable = int(found["unreadable"].sum())
    summary: dict[str, Any] = {
        "warning": WARNING,
        "run": {
            "folder": str(run.folder),
            "title": run.title,
            "digest": job.run,
            "folds": list(job.folds),
            "decision": job.decision,
        },
        "images": count,
        "unreadable": unreadable,
        "flags": flags,
        "classes": classes,
        "seconds": seconds,
        "images_per_second": count / seconds if seconds else None,
        "options": dict(job.options),
        "command": command,
        "versions": versions(),
    }
    write_json(folder / "summary.json", summary)
    shutil.rmtree(folder / "parts")
    folds = "fold " + str(job.folds[0]) if len(job.folds) == 1 else f"{len(job.folds)} folds"
    speed = f", {count / seconds:.0f} images/s" if seconds else ""
    lines = [f"{run.title}, {folds}: {count} images, {unreadable} unreadable{speed}"]
    lines.append("classes: " + ", ".join(f"{code} {n}" for code, n in classes.items() if n))
    lines.append("flags: " + ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in flags.items()))
    lines += [str(folder / name) for name in ("predictions.csv", "predictions.parquet", "summary.json")]
    return [*lines, WARNING]
