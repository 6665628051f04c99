"""What a sweep asks of a Dask scheduler: that workers listen, that one makes the runs, who is there, how one went."""

import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.scheduler import KilledWorker

from experiments import sweep_worker
from experiments.sweep_tasks import Task
from smrjax.errors import InputError, first_line
from smrjax.train.loop import Interrupted

AGAIN = "start it again, and go on with --resume"
#: A worker's address, and the folder that it made for itself: one that is started again may have the same address.
Place = tuple[str, str]


class Lost(InputError):
    """The scheduler is gone."""


@contextmanager
def listening(client: Client, *, local: bool) -> Iterator[str]:
    """The workers of a client, as far as they work for this sweep; under this name they can be asked to stop.

    Raises:
        InputError: if they cannot load this smrjax.
    """
    name = f"smrjax-{uuid.uuid4().hex[:8]}"
    try:
        client.register_plugin(sweep_worker.Listening(name, str(Path.cwd()), local=local))
    except Exception as error:
        raise InputError(
            f"the workers cannot load this smrjax ({first_line(error)}); install the same version where scheduler and "
            "workers run"
        ) from error
    try:
        yield name
    finally:
        # A scheduler that is gone has nothing to forget.
        with suppress(OSError):
            client.unregister_worker_plugin(name)


def begin(client: Client, name: str, should_stop: Callable[[], bool], said: set[str], *what: Any) -> list[Task]:
    """Have a worker make the runs; see `sweep_worker.begin`.

    To its end, even if the user asks to stop: half of the runs would be in the way of the next sweep of this name, and
    from all of them ``--resume`` goes on.

    Args:
        client: Of the scheduler.
        name: Of `listening`.
        should_stop: Asked ten times a second.
        said: The worker's warnings, which are said here, are added.
        *what: For the worker.

    Raises:
        InputError: as that does, and if the worker or the scheduler is lost.
        Interrupted: if ``should_stop`` said so before there was a worker.
    """
    while not (workers := [worker for worker, status in workers_of(client).items() if status == "running"]):
        if should_stop():
            raise Interrupted("the same command: there was no worker yet")
        time.sleep(0.1)
    at_work = client.processing()
    worker = min(workers, key=lambda one: len(at_work.get(one[0], ())))
    # By no other, as in `hand_out`: a second one would find the half that a first one made.
    future, patience = client.submit(sweep_worker.begin, name, *what, workers=[worker[0]], pure=False), False
    gone = InputError(
        f"the worker {worker[0]}, which made the sweep's runs, is gone; see what it said, and whether its memory "
        "held the cells"
    )
    while not future.done():
        if worker not in workers_of(client):
            future.cancel()
            raise gone
        if should_stop() and not patience:
            patience = True
            print("the sweep's runs are being made first, so that it can be gone on with …", flush=True)
        time.sleep(0.1)
    try:
        tasks, words = outcome(future)
    except KilledWorker:
        raise gone from None
    for each in words:
        warnings.warn(each, stacklevel=2)
    said.update(words)
    return tasks


def workers_of(client: Client) -> dict[Place, str]:
    """Worker -> status; one that has just been started is not ``running`` yet.

    Raises:
        Lost: if the scheduler is lost.
    """
    with _answering():
        workers = client.scheduler_info(n_workers=-1)["workers"]
    return {(address, about["local_directory"]): about["status"] for address, about in workers.items()}


def fate(client: Client, worker: str, key: str) -> str:
    """What became of a worker that is gone: ``died``, or ``was asked to stop``, or ``was gone before it began``.

    Args:
        client: Of the scheduler.
        worker: Its address.
        key: Of the task that it was to do.

    Raises:
        Lost: if the scheduler is lost.
    """
    with _answering():
        events = [event for _, event in client.get_events(worker)]
    in_good_order = False
    for event in events:
        action = event.get("action")
        if action == "add-worker":
            in_good_order = False
        elif action == "closing-worker":
            in_good_order = True
        elif action == "remove-worker" and key in event["processing-tasks"]:
            return "was asked to stop" if in_good_order or event["expected"] else "died"
    return "was gone before it began"


def outcome(future: Any) -> Any:
    """What a worker returned, or its error.

    Raises:
        Lost: if the scheduler is lost.
    """
    if future.status == "cancelled":
        raise Lost(f"the scheduler is lost; {AGAIN}")
    return future.result()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Lost(f"the scheduler is lost ({error}); {AGAIN}") from None
