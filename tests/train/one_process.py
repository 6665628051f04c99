"""One of the processes of a training: ``one_process FOLDER STEPS PROCESSES PROCESS PORT``; devices by the environment.

What it ends with is written to FOLDER/state.npz and FOLDER/rows.json by every process under its number.
"""

import json
import sys
from pathlib import Path

import jax

from smrjax.files import write_arrays
from smrjax.train.loop import Interrupted, train
from tests.train import toy


def main(folder: Path, stop: int, processes: int, process: int, port: int) -> None:
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    learner, steps = toy.learner(devices=len(jax.devices())), 0

    def count() -> None:
        nonlocal steps
        steps += 1

    try:
        # Only the last process is asked to stop, and all do.
        state, rows = train(
            learner,
            toy.cells(),
            toy.plan(epochs=5),
            folder / "run",
            on_step=count,
            should_stop=lambda: process == processes - 1 and steps >= stop > 0,
        )
    except Interrupted:
        print("stopped after", steps)
        return
    write_arrays(folder / f"state-{process}.npz", vars(state))
    (folder / f"rows-{process}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    out, *numbers = sys.argv[1:]
    main(Path(out), *map(int, numbers))
