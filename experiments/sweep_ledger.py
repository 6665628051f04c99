"""Which tasks of a sweep wait, are done or have failed, and how often each was tried; knows nothing of workers."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.sweep_tasks import Task, left_of


@dataclass
class Ledger:
    """The state of a sweep; whatever enters it is said where the user must know, and logged.

    Attributes:
        log: A line of JSON is added to this file for whatever happens.
        retries: A task is tried so many times more where that may help.
        waiting: In the order in which they are to begin.
        done: Names.
        failed: Name -> why.
        tried: Name -> how often it was started, but for what was put back.
        not_before: Name -> when it may be started again, by `time.monotonic`.
    """

    log: Path
    retries: int
    waiting: list[Task]
    done: set[str]
    failed: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    not_before: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Sequence[Task], log: Path, *, retries: int) -> "Ledger":
        """As a sweep begins or goes on: what has its result is done."""
        waiting = left_of(tasks)
        return cls(log, retries, waiting, {task.name for task in tasks} - {task.name for task in waiting})

    def take(self) -> Task | None:
        """The first task that may begin, which waits no more; those before it that need a failed one fail."""
        for task in list(self.waiting):
            missing = [other for other in task.after if other not in self.done]
            lost = [other for other in missing if other in self.failed]
            if lost and not task.anyway:
                self.waiting.remove(task)
                self.fail(task, f"needs {lost[0]}")
            elif len(missing) == len(lost) and time.monotonic() >= self.not_before.get(task.name, 0):
                self.waiting.remove(task)
                return task
        return None

    def start(self, task: Task, worker: str) -> None:
        """It has gone to a worker."""
        self.tried[task.name] = self.tried.get(task.name, 0) + 1
        self._note(task, "handed out", worker=worker, time_number=self.tried[task.name])

    def put_back(self, task: Task, reason: str, *, after: float = 0.0) -> None:
        """It could not be done for a reason that says nothing of the task: first in line, and no try of it.

        Args:
            task: That was started.
            reason: Why.
            after: Seconds until it may begin.
        """
        self.tried[task.name] -= 1
        if after:
            if task.name not in self.not_before:
                tqdm.write(f"waits: {task.name}: {reason}")
            self.not_before[task.name] = time.monotonic() + after
        self._again(task, reason)

    def try_again(self, task: Task, reason: str, **more: Any) -> None:
        """It went wrong, but need not the next time: first in line, unless it was tried often enough.

        Args:
            task: That was started.
            reason: Why.
            **more: For the log, if that was the last time.
        """
        if self.tried[task.name] <= self.retries:
            tqdm.write(f"again: {task.name}: {reason}")
            self._again(task, reason)
        else:
            self.fail(task, f"{reason}; tried {self.tried[task.name]} times", **more)

    def fail(self, task: Task, reason: str, **more: Any) -> None:
        """It went wrong, and would the next time."""
        self.failed[task.name] = reason
        tqdm.write(f"failed: {task.name}: {reason}")
        self._note(task, "failed", reason=reason, **more)

    def warn(self, task: Task, words: str) -> None:
        """Something that its training found."""
        tqdm.write(f"warning: {task.name}: {words}")
        self._note(task, "warning", words=words)

    def finish(self, task: Task, **found: Any) -> None:
        """It is done."""
        self.done.add(task.name)
        self._note(task, "done", **found)

    def _again(self, task: Task, reason: str) -> None:
        self._note(task, "again", reason=reason)
        self.waiting.insert(0, task)

    def _note(self, task: Task, event: str, **more: Any) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": now, "task": task.name, "event": event} | more) + "\n")
