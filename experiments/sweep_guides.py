"""What a sweep does of the guides: one set of runs is made, whose runs are the rows."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import read_config
from experiments.crossval import learner_of, train_fold, write_lasting
from experiments.guides import baseline, begin_one, lay_out, of_variant, run_one, variants
from experiments.guides_options import Config, check, resolved
from experiments.prepare import Prepared, prepare
from experiments.runs import check_same, identity_of, open_run, severity_of
from experiments.sweep_tasks import Task, of_run, set_up
from smrjax.errors import InputError
from smrjax.files import write_json
from smrjax.train.learner import Learner


def begin(config: Config, rows: Mapping[str, dict[str, Any]], out: Path, command: str) -> list[Task]:
    """Make the folder of the set and of every row's run.

    Raises:
        InputError: for anything that does not fit, before a folder is made.
    """
    run = replace(config.run, name="all", out=out, resume="")
    config = resolved(replace(config, guides=replace(config.guides, all=True), run=run))
    set_up(config.train.devices, config)
    check(config.guides)
    prepared = prepare(config, lambda taxonomy: baseline(config, taxonomy))
    places = lay_out(config, prepared.taxonomy)
    known = variants(config, places)
    for name in rows:
        if name not in known:
            raise InputError(f"--rows: {name} needs lineages, and the data have none; name one by --lineages")
    folder = open_run(
        config,
        "guides",
        "all",
        identity=identity_of(prepared, guides=np.array(list(places.values()))),
        severity=severity_of(prepared.severity, prepared.severity_file),
        repeated=prepared.repeated,
        command=command,
    )
    write_json(folder / "guides.json", {name: guide.tolist() for name, guide in places.items()})
    tasks = []
    folds = config.data.only_folds or tuple(range(len(prepared.parts)))
    for name in rows:
        write_lasting(begin_one(folder, name), prepared, folds)
        tasks += of_run("guides", name, folder, folds, part=name)
    return tasks


def do(task: Task, should_stop: Callable[[], bool]) -> int:
    """Train a fold, or sum up a run; returns the steps that were done before."""
    folder = Path(task.folder)
    config = read_config(Config, folder, {})
    set_up(config.train.devices, config)
    prepared, places, learner = _equipped(config, task.row)
    check_same(folder, identity_of(prepared, guides=np.array(list(places.values()))))
    if task.fold is not None:
        return train_fold(config, prepared, learner, folder / task.row, task.fold, should_stop=should_stop)
    variant = variants(config, places)[task.row]
    run_one(config, prepared, folder, task.row, variant, places, should_stop)
    return 0


@functools.lru_cache(maxsize=1)
def _equipped(config: Config, row: str) -> tuple[Prepared, dict[str, np.ndarray], Learner]:
    """Kept from one fold of a row to the next, with the compiled programs."""
    prepared = prepare(config, lambda taxonomy: baseline(config, taxonomy))
    places = lay_out(config, prepared.taxonomy)
    method, _ = of_variant(config, variants(config, places)[row], places)
    return prepared, places, learner_of(config, replace(prepared, method=method))
