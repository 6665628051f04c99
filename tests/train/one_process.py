"""One of the processes of a training: ``python -m tests.train.one_process WHAT FOLDER PROCESSES PROCESS PORT``."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from smrjax.errors import InputError
from smrjax.files import write_arrays
from smrjax.train import processes
from smrjax.train.learner import Learner
from smrjax.train.loop import train
from smrjax.train.transfer import load_encoder
from tests.train import toy

STEPS = 20
#: By this score the last epoch is the best one: what comes back is the state after all steps.
PLAN = {"epochs": STEPS // 4, "score": "epoch"}


def learner() -> Learner:
    """Of the toy on all devices, whose learning rate is far from zero still after the last step."""
    return toy.learner(devices=len(jax.devices()), steps=2 * STEPS)


def training(folder: Path) -> None:
    """A training of the toy on all devices of all processes; what each had in the end, read and sent, by its number."""
    here, cells, real = jax.process_index(), toy.cells(), processes.gathered
    read, sent = list[list[int]](), list[int]()
    own = replace(cells, read=lambda rows: read.append(rows.tolist()) or cells.read(rows))
    processes.gathered = lambda rows: sent.append(len(rows)) or real(rows)
    # Process 0 alone writes: nobody else needs to see its folder.
    state, rows = train(learner(), own, toy.plan(**PLAN), folder / "run" if here == 0 else folder / f"run-{here}")
    write_arrays(folder / f"state-{here}.npz", vars(state))
    (folder / f"rows-{here}.json").write_text(json.dumps(rows))
    (folder / f"work-{here}.json").write_text(json.dumps({"read": read, "sent": sent}))


def stopped(folder: Path) -> None:
    """The same, but process 1 alone is asked to stop before the seventh step."""
    steps, here = iter(range(100)), jax.process_index()
    try:
        train(
            learner(),
            toy.cells(),
            toy.plan(**PLAN),
            folder / "run",
            should_stop=lambda: next(steps) == 6 and here == 1,
        )
    except Exception as error:
        (folder / f"error-{here}.txt").write_text(type(error).__name__)


def words(folder: Path) -> None:
    """Everything that processes say to one another."""
    here = jax.process_index()
    heard: dict[str, object] = {
        "told": processes.told(lambda: {"from": here, "third": 1 / 3}),
        "long": len(processes.told(lambda: "x" * (1 << 25) if here == 0 else [])),
        "nobody": processes.anyone(False),
        "somebody": processes.anyone(here == 1),
    }
    kinds = {"f": np.float64(here + 1 / 3), "h": np.full(3, here, "float16"), "none": np.zeros((0, 2)), "b": here == 0}
    heard["shown"] = {name: [str(x.dtype), x.tolist()] for name, x in processes.shown(kinds).items()}
    heard["gathered"] = processes.gathered(np.full((2, 3), here, np.float32)).tolist()

    def fail(where: tuple[int, ...]) -> int:
        if here in where:
            raise InputError(f"a fault in {here}")
        return here

    calls = {
        "fault of the first": lambda: processes.told(lambda: fail((0,))),
        "fault of the second": lambda: processes.together(lambda: fail((1,))),
        "fault of both": lambda: processes.together(lambda: fail((0, 1))),
        "no fault": lambda: processes.together(lambda: fail(())),
        "surprise of the first": lambda: processes.told(lambda: 1 / here),
        "surprise of the second": lambda: processes.together(lambda: 1 / (1 - here)),
        "other cells": lambda: processes.alike({"weights": "same", "cells": str(here)}),
    }
    for name, call in calls.items():
        try:
            heard[name] = call()
        except (InputError, ZeroDivisionError) as error:
            heard[name] = f"{type(error).__name__}, {error}"
    (folder / f"heard-{here}.json").write_text(json.dumps(heard))


def transferred(folder: Path) -> None:
    """The encoder that a run before has trained, and how a training from other last bits of it begins."""
    learner, here = toy.learner(devices=len(jax.devices())), jax.process_index()
    loaded = load_encoder(folder / "run", learner.variables)
    write_arrays(folder / f"encoder-{here}.npz", loaded)
    learner = replace(learner, variables=jax.tree.map(lambda x: x * (1 + 1e-6 * here), loaded))
    state, _ = train(learner, toy.cells(), toy.plan(epochs=0), folder / "new")
    write_arrays(folder / f"state-{here}.npz", vars(state))


if __name__ == "__main__":
    what, out, count, process, port = sys.argv[1:]
    jax.distributed.initialize(f"127.0.0.1:{port}", int(count), int(process))
    multihost_utils.sync_global_devices("test")
    {"training": training, "stopped": stopped, "words": words, "transferred": transferred}[what](Path(out))
