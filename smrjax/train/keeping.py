"""A training's states on the disk, which process 0 alone reads and writes, as all processes see them."""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from smrjax.errors import InputError, first_line
from smrjax.train.processes import leads, shown, told
from smrjax.train.state import TrainState, open_checkpoints, restore, save, take_away_unwanted

#: What Orbax may raise where files are damaged, gone, or of other shapes.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)
#: And where they cannot be written, in its own thread or in tensorstore's.
UNWRITABLE = (OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Kept:
    """The states of one training; every process calls the same, in the same order.

    Attributes:
        folder: Of the states.
        manager: From `state.open_checkpoints`; None but in process 0.
        handle: Of the folder, open; -1 but in process 0.
    """

    folder: Path
    manager: Any
    handle: int

    def latest(self) -> int | None:
        """Step of the last state; None without one."""
        return told(lambda: self.manager.latest_step())

    def save(self, state: TrainState, log: dict[str, Any], metrics: dict[str, Any] | None = None) -> None:
        """See `state.save`; writing goes on when this returns.

        Raises:
            InputError: if the state, or the one before, cannot be written.
        """

        def write() -> None:
            # Orbax makes a folder anew that is taken away, without the run around it.
            if not (self.folder.is_dir() and os.path.samestat(os.stat(self.folder), os.fstat(self.handle))):
                raise InputError(
                    f"{self.folder}: was moved or taken away while the training wrote there; put the run's folder "
                    "back, or go on where it is now, with --resume"
                )
            with _writing(self.folder):
                # Orbax would wait itself: for the state before, and for those that go because of it.
                self.manager.wait_until_finished()
                take_away_unwanted(self.folder)
                save(self.manager, state, log, metrics)

        told(write)

    def wait(self) -> None:
        """Until all is on the disk.

        Raises:
            InputError: if it cannot be written.
        """

        def wait() -> None:
            with _writing(self.folder):
                self.manager.wait_until_finished()

        told(wait)

    def restore(self, like: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """See `state.restore`.

        Raises:
            InputError: if it cannot be read.
        """
        return self._read(like, [step])

    def resume(self, like: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """The last state that can be read, and its log; None where nothing was saved.

        Those after it that cannot be read are put aside, as ``STEP.unreadable``, and a warning says so; another one
        that the best state so far cannot be read.

        Raises:
            InputError: if there are states and none can be read.
        """
        steps = told(lambda: sorted(self.manager.all_steps(), reverse=True))
        found = self._read(like, steps) if steps else None
        told(lambda: self._try_best(like))
        return found

    def _read(self, like: TrainState, steps: list[int]) -> tuple[TrainState, dict[str, Any]]:
        states: list[TrainState] = []

        def read() -> dict[str, Any]:
            damaged: dict[int, str] = {}
            for step in steps:
                try:
                    state, log = restore(self.manager, like, step)
                except UNREADABLE as error:
                    damaged[step] = first_line(error)
                    continue
                self._put_aside(damaged, step)
                states.append(state)
                return log
            others = ", nor any other state" if len(steps) > 1 else ""
            raise InputError(
                f"{self.folder / str(steps[0])}: cannot be read{others} ({damaged[steps[0]]}); bring it back, or take "
                f"{self.folder} away to train from the start"
            )

        log = told(read)
        return shown(states[0] if states else like), log

    def _put_aside(self, damaged: dict[int, str], good: int) -> None:
        """Out of the way of the state that will be written at the same step."""
        for step, reason in damaged.items():
            place = self.folder / str(step)
            names = (f"{step}.unreadable" + f"-{again}" * (again > 1) for again in count(1))
            place.rename(next(free for free in map(place.with_name, names) if not free.exists()))
            warnings.warn(f"{place}: cannot be read ({reason}); going on from step {good} instead", stacklevel=2)
        if damaged:
            self.manager.reload()

    def _try_best(self, like: TrainState) -> None:
        """Say now, rather than after the last epoch, that the state which the training ends with is damaged."""
        step = self.manager.best_step()
        if step is None or step == self.manager.latest_step():
            return
        try:
            restore(self.manager, like, step)
        except UNREADABLE as error:
            warnings.warn(
                f"{self.folder / str(step)}: the best state so far cannot be read ({first_line(error)}); bring it "
                "back: the training needs it at its end, unless a later epoch is better",
                stacklevel=2,
            )


@contextmanager
def keeping(folder: Path) -> Iterator[Kept]:
    """The states in a folder, as long as this lasts, without what a killed process left half written.

    Raises:
        InputError: if they cannot be opened or, at the end, not be written.
    """
    if not leads():
        yield Kept(folder, None, -1)
        return
    # Its thread prints the traceback of what is said here in one line.
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        try:
            # Orbax would do so beside the first save, and come in its way.
            for half in folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(half)
            take_away_unwanted(folder)
            manager = open_checkpoints(folder)
            handle = os.open(folder, os.O_RDONLY)
        except UNREADABLE as error:
            raise InputError(
                f"{folder}: its states cannot be opened ({first_line(error)}); is the run whole?"
            ) from error
        try:
            yield Kept(folder, manager, handle)
        except BaseException:
            # Whatever ended the training is to be known, and not that the last state was not written, either.
            with suppress(*UNWRITABLE):
                manager.close()
            take_away_unwanted(folder)
            raise
        finally:
            os.close(handle)
        with _writing(folder):
            manager.close()
        take_away_unwanted(folder)
    finally:
        log.setLevel(level)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except UNWRITABLE as error:
        raise InputError(
            f"{folder}: the state of the training cannot be written ({first_line(error)}); the states before stay "
            "whole: mend that and go on with --resume"
        ) from error
