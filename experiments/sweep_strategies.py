"""What a sweep does of the training strategies: pre-trainings, range tests and folds of one run, then its tables."""

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.config import read_config
from experiments.runs import check_same, open_run
from experiments.strategies_options import Config, Row, check, resolved
from experiments.strategies_report import write_report
from experiments.strategies_run import pretrain, pretraining_folder, run_fold, stages_of, start_row
from experiments.strategies_work import Work, fold_numbers, read_stored, ready, rows_in
from experiments.sweep_tasks import Task, set_up
from smrjax.errors import InputError
from smrjax.files import write_json
from smrjax.train.folder import locked
from smrjax.train.loop import Diverged

NAME = "table4"


def begin(config: Config, rows: Mapping[str, dict[str, Any]], out: Path, command: str) -> list[Task]:
    """Make the run's folder; rows without weights or data are left out, and said.

    Raises:
        InputError: for anything that does not fit, before a folder is made.
    """
    run = replace(config.run, name=NAME, out=out, resume="")
    config = resolved(replace(config, strategy=replace(config.strategy, table4=True), run=run))
    set_up(config.recipe.devices, config)
    check(config)
    work = ready(config)
    for row, reason in work.left_out.items():
        warnings.warn(f"left out: {row}: {reason}", stacklevel=2)
    chosen = tuple(row for row in work.rows if row.folder in rows)
    if not chosen:
        raise InputError(f"--rows {' '.join(rows)}: there are no weights or data for them")
    work = replace(work, rows=chosen)
    folder = open_run(
        config,
        "strategies",
        NAME,
        identity=work.identity,
        severity=work.severity,
        repeated=work.repeated,
        stored=work.stored(),
        command=command,
    )
    return tasks_of(folder, chosen, fold_numbers(config, work))


def tasks_of(folder: Path, rows: tuple[Row, ...], folds: tuple[int, ...]) -> list[Task]:
    """Pre-trainings, each once, the range test and the folds of every row, and the tables."""
    tasks: dict[str, Task] = {}

    def add(name: str, row: str, fold: int | None, result: str, after: str = "") -> None:
        behind = (after,) if after else ()
        tasks.setdefault(name, Task(name, "strategies", str(folder), row, fold, str(folder / result), behind))

    for row in rows:
        before = ""
        for stage in stages_of(row):
            place = pretraining_folder(stage)
            add(place, stage.folder, None, f"{place}/result.json", before)
            before = place
        begun = f"{row.folder}, learning rate"
        add(begun, row.folder, None, f"{row.folder}/begun.json", before)
        for fold in folds:
            add(f"{row.folder}, fold {fold}", row.folder, fold, f"{row.folder}/fold_{fold}/result.json", begun)
    # The tables are of all rows that came to an end.
    tables = Task("tables", "strategies", str(folder), "", None, str(folder / "summary.json"), tuple(tasks), True)
    return [*tasks.values(), tables]


def do(task: Task, should_stop: Callable[[], bool]) -> int:
    """One task; returns the steps that were done before."""
    folder = Path(task.folder)
    config = read_config(Config, folder, {})
    set_up(config.recipe.devices, config)
    if not task.row:
        whole = replace(config, run=replace(config.run, resume=task.folder))
        with locked(folder):
            print("\n".join(write_report(whole, ready(whole), folder)))
        return 0
    rows = rows_in(read_stored(folder))
    row = next(row for row in rows if task.row in {row.folder, *(one.folder for one in stages_of(row))})
    own, work = _equipped(config, row)
    check_same(folder, work.identity)
    target = Path(task.result).parent
    target.mkdir(parents=True, exist_ok=True)
    with locked(folder, shared=True), locked(target), tqdm(total=0, disable=True) as bar:
        if task.done():
            return 0
        if task.name.startswith(f"{row.encoder}/pretraining/"):
            stage = next(one for one in stages_of(row) if pretraining_folder(one) == task.name)
            pretrain(own, work, folder, stage, bar, should_stop)
            return -bar.total
        try:
            learner_in, rate = start_row(own, work, folder, row, bar, should_stop)
            if task.fold is None:
                write_json(Path(task.result), {"learning_rate": rate})
                return 0
            run_fold(own, work, folder, row, task.fold, learner_in(task.fold), rate, bar, should_stop)
        except Diverged as error:
            # As in a run by hand: the row is given up, and the tables say so.
            write_json(folder / row.folder / "failed.json", {"reason": str(error)})
            raise
    return -bar.total


@functools.lru_cache(maxsize=1)
def _equipped(config: Config, row: Row) -> tuple[Config, Work]:
    """Options and work of this row alone: the weights of others need not be read."""
    strategy = replace(config.strategy, encoder=(row.encoder,), init=("+".join((row.begin, *row.sets)),), table4=False)
    own = replace(config, strategy=strategy)
    return own, ready(own)
