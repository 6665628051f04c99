"""Hands the tasks of a sweep out to workers: in order, again where a worker died, and none twice."""

import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, wait
from distributed.scheduler import KilledWorker
from tqdm import tqdm

from experiments import sweep_worker
from experiments.sweep_client import AGAIN, Lost, Place, fate, outcome, workers_of
from experiments.sweep_ledger import Ledger
from experiments.sweep_tasks import Task
from smrjax.errors import InputError
from smrjax.train.folder import InUse
from smrjax.train.loop import Interrupted

#: Seconds between two looks at what has ended, and until a fold that another process holds is tried again.
LOOK, LATER = 0.5, 5.0


def hand_out(
    client: Client,
    name: str,
    tasks: Sequence[Task],
    log: Path,
    *,
    title: str,
    retries: int,
    should_stop: Callable[[], bool],
    said: set[str],
) -> dict[str, str]:
    """Have all tasks done that are not done yet, as many at a time as there are workers.

    Args:
        client: Of the scheduler.
        name: Of `listening`.
        tasks: In the order in which they are to begin.
        log: A line of JSON is added to this file for whatever happens.
        title: Of the sweep, for the progress line.
        retries: Do a task so many times more where its worker died, or something else than its input was wrong.
        should_stop: Asked twice a second; what runs saves its state then.
        said: Warnings that need not be said again; those of the tasks are added.

    Returns:
        Name -> why, of the tasks that failed.

    Raises:
        Interrupted: if ``should_stop`` said so, once nothing runs any more.
        InputError: if the scheduler is lost.
    """
    ledger = Ledger.of(tasks, log, retries=retries)
    under_way: dict[Any, tuple[Task, Place]] = {}
    stopping = False
    with _progress(title, total=len(tasks), done=len(ledger.done)) as bar:
        while ledger.waiting or under_way:
            workers = workers_of(client)
            for future in [one for one, (_, at) in under_way.items() if at not in workers and not one.done()]:
                task, (worker, _) = under_way.pop(future)
                _enter_fate(ledger, task, fate(client, worker, future.key))
                future.cancel()
            if should_stop() and not stopping:
                stopping = True
                # One that is being closed no longer hears it, and was asked already.
                client.run(partial(sweep_worker.stop, name), on_error="ignore")
            if stopping:
                ledger.waiting.clear()
            taking = [worker for worker, status in workers.items() if status == "running"]
            at_work = {at for _, at in under_way.values()}
            free = [worker for worker in taking if worker not in at_work]
            while free and (ready := ledger.take()):
                place = free.pop(0)
                under_way[_submit(client, name, ready, place)] = ready, place
                ledger.start(ready, place[0])
            left = "" if taking else "; waits for a worker"
            bar.set_postfix_str(f"{len(under_way)} running, {len(ledger.failed)} failed{left}")
            for future in _ended(under_way):
                task, _ = under_way.pop(future)
                _enter_outcome(ledger, task, future, said)
            bar.update(len(ledger.done) - bar.n)
        bar.set_postfix_str(f"{len(ledger.failed)} failed")
    if stopping:
        raise Interrupted
    return ledger.failed


def _progress(title: str, *, total: int, done: int) -> tqdm:
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        unit="task",
        dynamic_ncols=True,
        # The mean over all that was done: tasks end in bunches.
        smoothing=0,
        bar_format="{desc}: {n_fmt} done of {total_fmt}{postfix} [{elapsed}, {remaining} left]",
    )


def _submit(client: Client, name: str, task: Task, place: Place) -> Any:
    key = f"{task.name}-{uuid.uuid4().hex[:8]}"
    # By no other: when a worker goes, Dask by itself would queue its task behind another one's, and count no death.
    return client.submit(sweep_worker.work, name, task, key=key, workers=[place[0]], pure=False)


def _ended(futures: Iterable[Any]) -> list[Any]:
    """Those that are done, after a while if none is."""
    known = list(futures)
    if not known:
        time.sleep(LOOK)
        return []
    try:
        wait(known, timeout=LOOK, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return []
    except CancelledError:
        raise Lost(f"the scheduler is lost; {AGAIN}") from None
    return [one for one in known if one.done()]


def _enter_fate(ledger: Ledger, task: Task, became: str) -> None:
    """What `fate` says of the worker that had the task."""
    if became == "died":
        ledger.try_again(task, "its worker died")
    else:
        ledger.put_back(task, f"its worker {became}")


def _enter_outcome(ledger: Ledger, task: Task, future: Any, said: set[str]) -> None:
    try:
        found = outcome(future)
    except Interrupted:
        # Its worker was closed in good order: another one goes on.
        ledger.put_back(task, "its worker was asked to stop")
    except InUse as error:
        ledger.put_back(task, str(error), after=LATER)
    except Lost:
        raise
    except InputError as error:
        ledger.fail(task, str(error))
    except KilledWorker:
        ledger.try_again(task, "its worker died")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
        ledger.try_again(task, reason, traceback="".join(traceback.format_exception(error)))
    else:
        for words in found.pop("epochs"):
            ledger.warn(task, words)
        # Of the cells or the machine: every task would say so.
        for words in sorted(set(found.pop("warnings")) - said):
            ledger.warn(task, words)
            said.add(words)
        ledger.finish(task, **found)
