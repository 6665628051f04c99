"""Hands the tasks of a sweep out to workers: in order, again where a worker died, and none twice."""

import json
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, wait
from distributed.scheduler import KilledWorker
from tqdm import tqdm

from experiments import sweep_worker
from experiments.sweep_client import AGAIN, Lost, Place, fate, outcome, workers_of
from experiments.sweep_tasks import Task, left_of
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
    waiting = left_of(tasks)
    done = {task.name for task in tasks} - {task.name for task in waiting}
    failed: dict[str, str] = {}
    under_way: dict[Any, Task] = {}
    places: dict[Any, Place] = {}
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

    def hand(task: Task, worker: Place) -> None:
        tried[task.name] = tried.get(task.name, 0) + 1
        # By no other: when a worker goes, Dask by itself would queue its task behind another one's, and count no death.
        where = {"workers": [worker[0]], "pure": False}
        key = f"{task.name}-{uuid.uuid4().hex[:8]}"
        future = client.submit(sweep_worker.work, name, task, key=key, **where)
        under_way[future], places[future] = task, worker
        note(task, "handed out", worker=worker[0], time_number=tried[task.name])

    def again(task: Task, reason: str, *, after: float = 0.0) -> None:
        note(task, "again", reason=reason)
        not_before[task.name] = time.monotonic() + after
        waiting.insert(0, task)

    def warn(task: Task, words: str) -> None:
        tqdm.write(f"warning: {task.name}: {words}")
        note(task, "warning", words=words)

    def once_more(task: Task, reason: str, **more: Any) -> None:
        if tried[task.name] <= retries:
            tqdm.write(f"again: {task.name}: {reason}")
            again(task, reason)
        else:
            fail(task, f"{reason}; tried {tried[task.name]} times", **more)

    def left_undone(task: Task, worker: str, key: str) -> None:
        became = fate(client, worker, key)
        if became == "died":
            once_more(task, "its worker died")
        else:
            tried[task.name] -= 1
            again(task, f"its worker {became}")

    def take(future: Any, task: Task) -> None:
        try:
            found = outcome(future)
        except Interrupted:
            # Its worker was closed in good order: another one goes on.
            tried[task.name] -= 1
            again(task, "its worker was asked to stop")
        except InUse as error:
            tried[task.name] -= 1
            if task.name not in not_before:
                tqdm.write(f"waits: {task.name}: {error}")
            again(task, str(error), after=LATER)
        except Lost:
            raise
        except InputError as error:
            fail(task, str(error))
        except Exception as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}".removesuffix(": ")
            if isinstance(error, KilledWorker):
                reason = "its worker died"
            once_more(task, reason, traceback="".join(traceback.format_exception(error)))
        else:
            for words in found.pop("epochs"):
                warn(task, words)
            # Of the cells or the machine: every task would say so.
            for words in sorted(set(found.pop("warnings")) - said):
                warn(task, words)
                said.add(words)
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
            workers = workers_of(client)
            for future in [one for one in under_way if places[one] not in workers and not one.done()]:
                left_undone(under_way.pop(future), places.pop(future)[0], future.key)
                future.cancel()
            if should_stop() and not stopping:
                stopping = True
                # One that is being closed no longer hears it, and was asked already.
                client.run(partial(sweep_worker.stop, name), on_error="ignore")
            if stopping:
                waiting.clear()
            taking = [worker for worker, status in workers.items() if status == "running"]
            free = [worker for worker in taking if worker not in places.values()]
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
            left = "" if taking else "; waits for a worker"
            bar.set_postfix_str(f"{len(under_way)} running, {len(failed)} failed{left}")
            if under_way:
                try:
                    wait(list(under_way), timeout=LOOK, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    continue
                except CancelledError:
                    raise Lost(f"the scheduler is lost; {AGAIN}") from None
            else:
                time.sleep(LOOK)
            for future in [one for one in under_way if one.done()]:
                places.pop(future)
                take(future, under_way.pop(future))
        bar.set_postfix_str(f"{len(failed)} failed")
    if stopping:
        raise Interrupted
    return failed
