"""What a sweep does of SMR: its runs are made, their folds trained and summed up, in workers that know the folder."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.config import read_config
from experiments.crossval import cross_validate, learner_of, train_fold, write_lasting
from experiments.prepare import Prepared, prepare
from experiments.runs import check_same, identity_of, open_run, severity_of
from experiments.smr import Config, method_of, resolved, title
from experiments.sweep_tasks import Task, of_run, set_up
from smrjax.method import Method
from smrjax.taxonomy import Taxonomy
from smrjax.train.learner import Learner


def begin(config: Config, rows: Mapping[str, dict[str, Any]], out: Path, command: str) -> list[Task]:
    """Make the folder of every row's run.

    Raises:
        InputError: for anything that does not fit, before a folder is made.
    """
    own = {
        name: resolved(
            replace(config, smr=replace(config.smr, **changes), run=replace(config.run, name=name, out=out, resume=""))
        )
        for name, changes in rows.items()
    }
    first = next(iter(own.values()))
    set_up(first.train.devices, first)

    def checked(taxonomy: Taxonomy) -> Method:
        # What does not fit the classes is said before a folder is made, whichever row it is of.
        for one in own.values():
            method_of(one.smr, taxonomy)
        return method_of(first.smr, taxonomy)

    prepared = prepare(first, checked)
    # The same for all rows: they differ in nothing but the method.
    identity, severity = identity_of(prepared), severity_of(prepared.severity, prepared.severity_file)
    tasks = []
    for name, one in own.items():
        folder = open_run(
            one, "smr", name, identity=identity, severity=severity, repeated=prepared.repeated, command=command
        )
        folds = one.data.only_folds or tuple(range(len(prepared.parts)))
        write_lasting(folder, prepared, folds)
        tasks += of_run("smr", name, folder, folds)
    return tasks


def do(task: Task, should_stop: Callable[[], bool]) -> int:
    """Train a fold, or sum up a run; returns the steps that were done before."""
    folder = Path(task.folder)
    config = read_config(Config, folder, {})
    set_up(config.train.devices, config)
    prepared, learner = _equipped(config)
    # What this worker reads is to be what the run began with.
    check_same(folder, identity_of(prepared))
    if task.fold is not None:
        return train_fold(config, prepared, learner, folder, task.fold, should_stop=should_stop)
    cross_validate(config, prepared, folder, title=title(config), should_stop=should_stop)
    return 0


@functools.lru_cache(maxsize=1)
def _equipped(config: Config) -> tuple[Prepared, Learner]:
    """Kept from one fold of a row to the next, with the compiled programs."""
    prepared = prepare(config, lambda taxonomy: method_of(config.smr, taxonomy))
    return prepared, learner_of(config, prepared)
