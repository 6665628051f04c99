"""Hands the tasks of a sweep out to workers: in order, again where a worker died, and none twice."""

import json
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, wait
from tqdm import tqdm

from experiments import sweep_worker
from experiments.sweep_tasks import Task, left_of
from smrjax.errors import InputError
from smrjax.train.folder import InUse
from smrjax.train.loop import Interrupted

#: Seconds between two looks at what has ended, and until a fold that another process holds is tried again.
LOOK, LATER = 0.5, 5.0
AGAIN = "start it again, and go on with --resume"


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
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise InputError(
            f"the workers cannot load this smrjax ({reason}); install the same version where scheduler and workers run"
        ) from error
    try:
        yield name
    finally:
        # A scheduler that is gone has nothing to forget.
        with suppress(OSError):
            client.unregister_worker_plugin(name)


def begin(client: Client, name: str, should_stop: Callable[[], bool], *what: Any) -> list[Task]:
    """Have a worker make the runs; see `sweep_worker.begin`.

    Raises:
        InputError: as that does, and if the scheduler is lost.
        Interrupted: if ``should_stop`` said so.
    """
    future = client.submit(sweep_worker.begin, name, *what, pure=False)
    while not future.done():
        if should_stop():
            raise Interrupted("the same command: nothing has been trained yet")
        time.sleep(LOOK / 5)
    return _outcome(future)


def hand_out(
    client: Client,
    name: str,
    tasks: Sequence[Task],
    log: Path,
    *,
    title: str,
    retries: int,
    should_stop: Callable[[], bool],
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

    Returns:
        Name -> why, of the tasks that failed.

    Raises:
        Interrupted: if ``should_stop`` said so, once nothing runs any more.
        InputError: if the scheduler is lost.
    """
    waiting = left_of(tasks)
    done = {task.name for task in tasks} - {task.name for task in waiting}
    failed: dict[str, str] = {}
    under_way: dict[Any, Task] = {}
    places: dict[Any, str] = {}
    tried: dict[str, int] = {}
    not_before: dict[str, float] = {}
    stopping = False

    def note(task: Task, event: str, **more: Any) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": now, "task": task.name, "event": event} | more) + "\n")

    def fail(task: Task, reason: str, **more: Any) -> None:
        failed[task.name] = reason
        tqdm.write(f"failed: {task.name}: {reason}")
        note(task, "failed", reason=reason, **more)

    def hand(task: Task, worker: str) -> None:
        tried[task.name] = tried.get(task.name, 0) + 1
        # Dask might give a second task to a worker that is at work; if this one is gone by now, any other does.
        where = {"workers": [worker], "allow_other_workers": True, "pure": False}
        key = f"{task.name}-{uuid.uuid4().hex[:8]}"
        future = client.submit(sweep_worker.work, name, task, key=key, **where)
        under_way[future], places[future] = task, worker
        note(task, "handed out", worker=worker, time_number=tried[task.name])

    def again(task: Task, reason: str, *, after: float = 0.0) -> None:
        note(task, "again", reason=reason)
        not_before[task.name] = time.monotonic() + after
        waiting.insert(0, task)

    def take(future: Any, task: Task) -> None:
        try:
            found = _outcome(future)
        except Interrupted:
            # Its worker was closed in good order: another one goes on.
            tried[task.name] -= 1
            again(task, "its worker was asked to stop")
        except InUse as error:
            tried[task.name] -= 1
            if task.name not in not_before:
                tqdm.write(f"waits: {task.name}: {error}")
            again(task, str(error), after=LATER)
        except _Lost:
            raise
        except InputError as error:
            fail(task, str(error))
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            if type(error).__name__ == "KilledWorker":
                reason = "its worker died"
            else:
                reason = f"{type(error).__name__}: {reason}"
            if tried[task.name] <= retries:
                tqdm.write(f"again: {task.name}: {reason}")
                again(task, reason)
            else:
                words = "".join(traceback.format_exception(error))
                fail(task, f"{reason}; tried {tried[task.name]} times", traceback=words)
        else:
            done.add(task.name)
            note(task, "done", **found)
            bar.update()

    with tqdm(
        total=len(tasks),
        initial=len(done),
        desc=title,
        unit="task",
        dynamic_ncols=True,
        # The mean over all that was done: tasks end in bunches.
        smoothing=0,
        bar_format="{desc}: {n_fmt} done of {total_fmt}{postfix} [{elapsed}, {remaining} left]",
    ) as bar:
        while waiting or under_way:
            if should_stop() and not stopping:
                stopping = True
                client.run(partial(sweep_worker.stop, name))
            if stopping:
                waiting.clear()
            workers = at_hand(client)
            free = [worker for worker in workers if worker not in places.values()]
            for task in list(waiting):
                if not free:
                    break
                missing = [other for other in task.after if other not in done]
                lost = [other for other in missing if other in failed]
                if lost and not task.anyway:
                    waiting.remove(task)
                    fail(task, f"needs {lost[0]}")
                elif len(missing) == len(lost) and time.monotonic() >= not_before.get(task.name, 0):
                    waiting.remove(task)
                    hand(task, free.pop(0))
            left = "" if workers else "; waits for a worker"
            bar.set_postfix_str(f"{len(under_way)} running, {len(failed)} failed{left}")
            if under_way:
                try:
                    wait(list(under_way), timeout=LOOK, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    continue
                except CancelledError:
                    raise _Lost(f"the scheduler is lost; {AGAIN}") from None
            else:
                time.sleep(LOOK)
            for future in [one for one in under_way if one.done()]:
                places.pop(future)
                take(future, under_way.pop(future))
    if stopping:
        raise Interrupted
    return failed


def at_hand(client: Client) -> list[str]:
    """Addresses of the workers that take tasks now; one that has just been started does not yet."""
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    except OSError as error:
        raise _Lost(f"the scheduler is lost ({error}); {AGAIN}") from None
    return [address for address, about in workers.items() if about["status"] == "running"]


class _Lost(InputError):
    """The scheduler is gone."""


def _outcome(future: Any) -> Any:
    """What a worker returned, or its error."""
    if future.status == "cancelled":
        raise _Lost(f"the scheduler is lost; {AGAIN}")
    return future.result()
