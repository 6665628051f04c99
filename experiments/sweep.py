"""All rows of a paper's figure or table, fold by fold, over many processes or machines.

``python -m experiments.sweep smr-figure3 --scheduler local``; smr-figure3: SMR, Figure 3; guides-figure5: GUIDES,
Figure 5; bm-table4: BM, Table 4. All options of the experiment (smr, guides, strategies) hold for all rows.
"""

import dataclasses
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments import guides_options, smr, strategies_options
from experiments.checks import check_least
from experiments.cluster import connected, local
from experiments.config import block, parse, to_json
from experiments.guides_report import SUMMARY, table_of_methods
from experiments.kinds import read_kind
from experiments.runtime import leave, stop_flag
from experiments.sweep_rows import SWEEPS
from experiments.sweep_tasks import STORED, Task, from_json, left_of
from experiments.sweep_tasks import to_json as tasks_to_json
from smrjax.errors import InputError
from smrjax.files import write_json
from smrjax.train.folder import locked, run_folder
from smrjax.train.loop import Interrupted


@dataclass(frozen=True)
class SweepOptions:
    """Which rows, and where they are trained; all but --rows may be given anew with --resume."""

    rows: tuple[str, ...] = ()
    """Of these rows alone; all if none is named."""
    scheduler: str = "local"
    """local: processes of this machine; or HOST:PORT of a Dask scheduler, whose workers share the file system."""
    jobs: int = 0
    """Processes of this machine; 0 for one a core, or one where there is a GPU."""
    retries: int = 3
    """Do a fold so many times more where its worker died; it goes on from its last state."""


#: Experiment -> the dataclass of its options, its presets, and the block in which rows differ.
EXPERIMENTS: dict[str, tuple[type, dict[str, Any], str]] = {
    "smr": (smr.Config, smr.PRESETS, "smr"),
    "guides": (guides_options.Config, guides_options.PRESETS, "guides"),
    "strategies": (strategies_options.Config, strategies_options.PRESETS, "strategy"),
}


def main() -> None:
    """Train all rows of a sweep, or go on with one."""
    name, options, config = choose(sys.argv[1:])
    if config.run.resume:
        home = Path(config.run.resume)
        failed, tasks = {}, stored_tasks(home, name)
        if left_of(tasks):
            failed = run(name, options, home, lambda begin: tasks)
    else:
        home = new_home(config.run.out, config.run.name or f"{name}-{datetime.now():%Y%m%d-%H%M%S}")
        rows = {row: SWEEPS[name].rows[row] for row in options.rows or SWEEPS[name].rows}

        def made(begin: Callable[..., list[Task]]) -> list[Task]:
            command = shlex.join(["python", "-m", "experiments.sweep", *sys.argv[1:]])
            tasks = begin(SWEEPS[name].experiment, config, rows, home, command)
            keep(home, name, rows, config, tasks, command)
            return tasks

        failed = run(name, options, home, made)
        tasks = stored_tasks(home, name)
    print(closing(home, tasks))
    if failed:
        first, reason = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} of {len(tasks)} tasks failed, as {first}: {reason} (all in {home / 'log.jsonl'}); mend it, "
            f"and go on with: {going_on(name, home)}"
        )


def run(name: str, options: SweepOptions, home: Path, tasks_of: Callable[..., list[Task]]) -> dict[str, str]:
    """Have all that is left done by the workers.

    Args:
        name: Of the sweep.
        options: Which workers.
        home: The sweep's folder.
        tasks_of: Returns the tasks; given what has a worker begin the runs (`sweep_worker.begin` from its second on).

    Returns:
        Name -> why, of the tasks that failed.

    Raises:
        Interrupted: with the command that goes on, if the user stopped it; everything is saved.
        InputError: for workers that cannot be used, and for what does not fit in a new sweep.
    """
    here = options.scheduler == "local"
    with local(options.jobs) if here else connected(options.scheduler) as client, stop_flag() as should_stop:
        # Dask is an extra, and only now known to be there.
        from experiments.sweep_client import begin, listening
        from experiments.sweep_queue import hand_out

        many = max(client.nthreads().values(), default=1)
        if many > 1:
            raise InputError(
                f"--scheduler {options.scheduler}: a worker would train {many} folds at a time on the same devices; "
                "start workers with --nthreads 1"
            )
        print(dashboard(client), flush=True)
        with listening(client, local=here) as plugin:
            said: set[str] = set()
            tasks = tasks_of(partial(begin, client, plugin, should_stop, said))
            with locked(home):
                try:
                    return hand_out(
                        client,
                        plugin,
                        tasks,
                        home / "log.jsonl",
                        title=name,
                        retries=options.retries,
                        should_stop=should_stop,
                        said=said,
                    )
                except Interrupted:
                    raise Interrupted(going_on(name, home)) from None


def going_on(name: str, home: Path) -> str:
    """The command that goes on with a sweep."""
    return shlex.join(["python", "-m", "experiments.sweep", name, "--resume", str(home)])


def choose(argv: list[str]) -> tuple[str, SweepOptions, Any]:
    """Name of the sweep, its options, and those of the experiment that hold for all rows.

    Raises:
        InputError: for a sweep or a row that there is not, or an option in which rows differ.
        SystemExit: as `parse`.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(f"{__doc__}\nusage: python -m experiments.sweep {{{','.join(SWEEPS)}}} [OPTIONS]\nits options: … --help")
        raise SystemExit(0 if argv else 2)
    name = argv[0]
    if name not in SWEEPS:
        raise InputError(f"{name}: there is no such sweep; choose from {', '.join(SWEEPS)}")
    sweep = SWEEPS[name]
    kind, presets, differing = EXPERIMENTS[sweep.experiment]
    both = dataclasses.make_dataclass(
        "Options", [("sweep", SweepOptions, block(SweepOptions)), ("every", kind, block(kind))], frozen=True
    )
    with_defaults = {preset: both(SweepOptions(), default) for preset, default in presets.items()}
    prog, text = f"python -m experiments.sweep {name}", __doc__ or ""
    parsed: Any = parse(both, with_defaults, argv[1:], prog=prog, text=text)
    options, config = parsed.sweep, parsed.every
    check_least({"--jobs": (options.jobs, 0), "--retries": (options.retries, 0)})
    default = next(iter(presets.values()))
    if config.run.resume:
        if config != replace(default, run=replace(default.run, resume=config.run.resume)) or options.rows:
            raise InputError(
                "--resume takes all options from the sweep's folder; give none beside it but --scheduler, --jobs and "
                "--retries"
            )
        return name, options, config
    for row in options.rows:
        if row not in sweep.rows:
            raise InputError(f"--rows {row}: there is no such row; there are {', '.join(sweep.rows)}")
    own, usual = getattr(config, differing), getattr(presets[config.preset], differing)
    for option in dict.fromkeys(option for changes in sweep.rows.values() for option in changes):
        if getattr(own, option) != getattr(usual, option):
            raise InputError(f"--{option.replace('_', '-')} is what the rows of {name} differ in; choose by --rows")
    if getattr(config, "together", None) != getattr(default, "together", None):
        raise InputError("--coordinator is for one training in several processes; a sweep's folds are one each")
    return name, options, config


def new_home(out: Path, name: str) -> Path:
    """Where a new sweep is to be, before anything is read.

    Raises:
        InputError: as `run_folder`; if there is one of this name, or what is left of one that was ended before it had
            its tasks.
    """
    home = run_folder(out, "sweeps", name)
    if home.exists() and not (home / "sweep.json").exists():
        raise InputError(
            f"{home}: a sweep of this name was ended while its runs were made, or is being made now; delete it if "
            "nothing is, or choose another --name"
        )
    if home.exists():
        raise InputError(
            f"{home}: there is a sweep of this name; choose another --name, or go on with it by --resume {home}"
        )
    return home


def keep(home: Path, name: str, rows: dict[str, dict[str, Any]], config: Any, tasks: list[Task], command: str) -> None:
    """Write sweep.json, from which a resume takes everything."""
    about = {"sweep": name, "rows": rows, "config": to_json(config), "command": command}
    write_json(home / "sweep.json", about | {"tasks": tasks_to_json(tasks, home)})


def stored_tasks(home: Path, name: str) -> list[Task]:
    """The tasks that `keep` wrote.

    Raises:
        InputError: if they are not there, damaged, or of another sweep.
    """
    about = read_kind(home / "sweep.json", {"sweep": str, "tasks": [STORED]})
    if about["sweep"] != name:
        raise InputError(f"{home}: is a sweep of {about['sweep']}; say python -m experiments.sweep {about['sweep']}")
    before: set[str] = set()
    for one in about["tasks"]:
        # What waits for a task that is not there, or for itself, would wait for ever.
        if one["experiment"] != SWEEPS[name].experiment or not before.issuperset(one["after"]):
            raise InputError(f"{home / 'sweep.json'}: {one['name']!r} is no task of this sweep; bring the file back")
        before.add(one["name"])
    if not before:
        raise InputError(f"{home / 'sweep.json'}: holds no task; bring the file back")
    return from_json(about["tasks"], home)


def dashboard(client: Any) -> str:
    """Where the cluster can be watched."""
    if find_spec("bokeh") is None:
        return f"scheduler {client.scheduler.address}; for a dashboard: pip install 'smrjax[dask]'"
    return f"scheduler {client.scheduler.address}, dashboard {client.dashboard_link}"


def closing(home: Path, tasks: list[Task]) -> str:
    """The table of all rows that are summed up, and the line that makes the report."""
    folders = {Path(task.folder) for task in tasks}
    # Runs of their own, or one set of runs.
    runs = folders.pop() if len(folders) == 1 else folders.pop().parent
    page = shlex.join(["python", "-m", "experiments.report", str(runs), "--out", str(home / "report.html")])
    report = f"pictures and tests: {page}"
    summed = {task.row: Path(task.result) for task in tasks if task.fold is None and task.after and task.done()}
    tables = summed.pop("", None)
    if tables is not None:
        return f"{(tables.parent / 'report.md').read_text(encoding='utf-8')}\n{report}"
    if not summed:
        return "no row is summed up yet"
    summaries = {row: read_kind(path, SUMMARY) for row, path in summed.items()}
    baseline = "tml" if "tml" in summaries else next(iter(summaries))
    table = table_of_methods(summaries, baseline=baseline)
    against = f"in brackets: less {summaries[baseline]['title']}, with the 95 % interval over folds"
    return f"\n{table}\n\n{against}\n{report}"


if __name__ == "__main__":
    leave(main)
