"""A training's states on the disk, which process 0 alone reads and writes, as all processes see them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smrjax.train.processes import leads, shown, told
from smrjax.train.state import TrainState, open_checkpoints, restore, save


@dataclass(frozen=True)
class Kept:
    """The states of one training; every process calls the same, in the same order.

    Attributes:
        manager: From `state.open_checkpoints`; None but in process 0.
    """

    manager: Any

    def latest(self) -> int | None:
        """Step of the last state; None without one."""
        return told(lambda: self.manager.latest_step())

    def save(self, state: TrainState, log: dict[str, Any], metrics: dict[str, Any] | None = None) -> None:
        """See `state.save`; writing goes on when this returns."""
        told(lambda: save(self.manager, state, log, metrics))

    def wait(self) -> None:
        """Until all is on the disk."""
        told(lambda: self.manager.wait_until_finished())

    def restore(self, like: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """See `state.restore`."""
        state, log = restore(self.manager, like, step) if leads() else (like, {})
        return shown(state), told(lambda: log)


@contextmanager
def keeping(folder: Path) -> Iterator[Kept]:
    """The states in a folder, as long as this lasts."""
    with open_checkpoints(folder) if leads() else nullcontext() as manager:
        yield Kept(manager)
