"""What the workers of a sweep do: make the runs, and one task after the other."""

import os
import re
import signal
import threading
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from experiments import sweep_guides, sweep_smr, sweep_strategies
from experiments.sweep_tasks import Task
from smrjax.errors import InputError, one_line
from smrjax.files import read_json

#: Experiment -> how its runs are begun, and how one of its tasks is done.
EXPERIMENTS: dict[str, Any] = {
    "smr": sweep_smr,
    "guides": sweep_guides,
    "strategies": sweep_strategies,
}
_FIGURE = re.compile(r"\d[\d.e%+-]*")


class Listening(WorkerPlugin):
    """A worker that is asked to stop, or that is closed, tells its training, which then saves its state.

    Attributes:
        name: Unlike that of any other sweep on the same workers.
        folder: In which the user called the sweep: paths are meant from there.
        local: Whether the workers are processes of the terminal that started the sweep.
    """

    def __init__(self, name: str, folder: str, *, local: bool) -> None:
        self.name, self.folder, self.local = name, folder, local

    def setup(self, worker: Worker) -> None:
        """Called in every worker, those that come later, too."""
        self.asked = threading.Event()
        if self.local:
            # Ctrl-C reaches every process of a terminal; workers leave it to the one that asks them to stop.
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:
        """Called where a worker is closed in good order."""
        self.asked.set()


def stop(name: str, dask_worker: Worker) -> None:
    """Ask a worker to stop."""
    dask_worker.plugins[name].asked.set()  # type: ignore[attr-defined]


def begin(
    plugin: str, experiment: str, config: Any, rows: Mapping[str, dict[str, Any]], out: Path, command: str
) -> tuple[list[Task], list[str]]:
    """Make the folders of all runs.

    Returns:
        The tasks, and the warnings.

    Raises:
        InputError: for anything that does not fit, before a folder is made.
    """
    _go(plugin)
    with warnings.catch_warnings(record=True) as caught:
        tasks = EXPERIMENTS[experiment].begin(config, rows, out, command)
    return tasks, _words(caught)


def work(plugin: str, task: Task) -> dict[str, Any]:
    """Do a task, from where it stopped.

    Returns:
        ``from_step``: steps that were done before; ``seconds``; ``worker``: its address and process; ``epochs``: what
        its training's monitor said, see `of_epochs`; ``warnings``: all others.

    Raises:
        InUse: if another process is working on it.
        Interrupted: if the worker is to stop; the state is saved.
        InputError: for anything that does not fit.
    """
    listening, start = _go(plugin), monotonic()
    with warnings.catch_warnings(record=True) as caught:
        before = EXPERIMENTS[task.experiment].do(task, listening.asked.is_set)
    history = [] if task.fold is None else read_json(Path(task.result)).get("history", [])
    return {
        "from_step": before,
        "seconds": round(monotonic() - start, 2),
        "worker": f"{get_worker().address}, process {os.getpid()}",
        "epochs": of_epochs(history),
        "warnings": _words(caught),
    }


def of_epochs(history: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the monitor said of a training, each once: as it was said first, and of how many epochs.

    Args:
        history: A fold's metrics rows; some methods have no ``warnings`` in them.

    >>> of_epochs([{"epoch": 0, "warnings": ["rank 1.2"]}, {"epoch": 1}, {"epoch": 2, "warnings": ["rank 1.1"]}])
    ['epoch 1 and 1 more: rank 1.2']
    """
    said: dict[str, list[str]] = {}
    for row in history:
        for words in row.get("warnings", ()):
            # The same with another figure in it is no news.
            said.setdefault(_FIGURE.sub("", words), []).append(f"epoch {row['epoch'] + 1}: {words}")
    return [first if not more else first.replace(":", f" and {len(more)} more:", 1) for first, *more in said.values()]


def _words(caught: Iterable[warnings.WarningMessage]) -> list[str]:
    return [one_line(str(one.message)) for one in caught]


def _go(plugin: str) -> Listening:
    listening = get_worker().plugins[plugin]
    assert isinstance(listening, Listening)
    try:
        os.chdir(listening.folder)
    except OSError as error:
        raise InputError(
            f"{listening.folder}: the worker {get_worker().address} cannot go there ({error.strerror}); start workers "
            "on machines that share the file system"
        ) from None
    return listening
