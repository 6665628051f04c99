"""The tasks of a sweep: one a fold and one a summary, each known by its run's folder alone."""

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from experiments.config import DataOptions, RunOptions
from experiments.runtime import prepare_jax
from smrjax.data.cache import cache_root


@dataclass(frozen=True)
class Task:
    """Work for one worker; all that it needs is in the folder.

    Attributes:
        name: Unlike any other task's.
        experiment: The module, ``smr`` of ``experiments.smr``.
        folder: Of the run.
        row: Of the sweep.
        fold: To train; None for what comes before or after the folds.
        result: The file that is there when it is done.
        after: Names of tasks that are done before it.
        anyway: Whether it is done even if some of them fail.
    """

    name: str
    experiment: str
    folder: str
    row: str
    fold: int | None
    result: str
    after: tuple[str, ...] = ()
    anyway: bool = False

    def done(self) -> bool:
        """Whether nothing is left to do."""
        return Path(self.result).exists()


class HasData(Protocol):
    """Any experiment's options."""

    @property
    def data(self) -> DataOptions:
        """Which cells."""

    @property
    def run(self) -> RunOptions:
        """Where results go."""


def of_run(experiment: str, row: str, run: Path, folds: Iterable[int], *, part: str = "") -> list[Task]:
    """The tasks of a run: its folds, then its summary.

    Args:
        experiment: The module.
        row: Of the sweep.
        run: The run's folder.
        folds: Their numbers.
        part: Folder within it that holds the folds.
    """
    place = run / part
    trained = [
        Task(f"{row}, fold {fold}", experiment, str(run), row, fold, str(place / f"fold_{fold}" / "result.json"))
        for fold in folds
    ]
    after = tuple(task.name for task in trained)
    summary = Task(f"{row}, summary", experiment, str(run), row, None, str(place / "summary.json"), after)
    return [*trained, summary]


#: Of sweep.json, a task.
STORED = dict.fromkeys(("name", "experiment", "row"), str) | {
    **{"folder": Path, "result": Path, "fold": (int, None), "after": [str], "anyway": bool}
}


def to_json(tasks: Iterable[Task], home: Path) -> list[dict[str, Any]]:
    """Tasks as sweep.json has them: with paths within the sweep's folder, which may be moved."""
    return [
        asdict(task) | {place: os.path.relpath(getattr(task, place), home) for place in ("folder", "result")}
        for task in tasks
    ]


def from_json(stored: list[dict[str, Any]], home: Path) -> list[Task]:
    """The inverse of `to_json`, of tasks of the kind `STORED`."""
    known = [{name: one[name] for name in STORED} for one in stored]
    return [
        Task(**one | {place: str(home / one[place]) for place in ("folder", "result")} | {"after": tuple(one["after"])})
        for one in known
    ]


def left_of(tasks: Sequence[Task]) -> list[Task]:
    """Those that are to be done; what sums up others is done again if one of them is."""
    done = {task.name for task in tasks if task.done()}
    done -= {task.name for task in tasks if task.anyway and not done.issuperset(task.after)}
    return [task for task in tasks if task.name not in done]


def set_up(devices: int, config: HasData) -> None:
    """Set up JAX as the experiment's own command line does, once in a worker's life."""
    _set_up(devices, cache_root(config.data.cache) / "xla" if config.run.compile_cache else None)


@functools.cache
def _set_up(devices: int, compile_cache: Path | None) -> None:
    prepare_jax(devices, compile_cache)
