"""Epochs as users run them, on real cells where they are: does a step wait for its data, and what follows the steps.

A step waits for the host from the moment that the step before it is done until its own is under way. Where the batch
was not ready by then (the wait for the device took no time), reading it counts, too.
"""

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.data import load
from smrjax.data.augment import augment
from smrjax.data.sampling import pk_batches
from smrjax.encoders import ENCODERS
from smrjax.method import smr
from smrjax.taxonomy import for_classes
from smrjax.train import loop
from smrjax.train.learner import Cells, Plan, build
from smrjax.train.loop import train
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.step import AXIS

REAL = Path(os.environ.get("SMRJAX_DATA", "../shared/data")) / "pbc"
ENCODER = "densenet_small"
#: The first has the full grid of the monitor's SVM, the second its last pair alone.
EPOCHS, GRID_EVERY = 2, 5


class Clock:
    """Seconds by name, of calls that are waited for."""

    def __init__(self):
        self.seconds = {}

    def timed(self, name, function):
        def call(*args, **how):
            start = time.perf_counter()
            result = jax.block_until_ready(function(*args, **how))
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start
            return result

        return call


class Feeder:
    """Wraps a step and what reads for it; knows how long the device had nothing to do."""

    def __init__(self, read, step):
        self._read, self._step = read, step
        self.idle, self.late, self.steps, self.reading = 0.0, 0, 0, 0.0

    def read(self, rows):
        start = time.perf_counter()
        batch = self._read(rows)
        self._ready = time.perf_counter()
        self.reading += self._ready - start
        self._took = self._ready - start
        return batch

    def step(self, *args):
        start = time.perf_counter()
        late = self.steps > 0 and start - self._ready < 1e-3
        state = self._step(*args)
        self.idle += time.perf_counter() - start + (self._took if late else 0)
        self.late += late
        self.steps += 1
        return state


def bench_epoch(row, tmp_path, monkeypatch):
    source = str(REAL) if REAL.is_dir() else "synthetic_marrow"
    found = load(source, size=64, count=4560)
    taxonomy = for_classes(found.classes, (), name=found.name)
    method = smr(taxonomy, curve="bezier")
    model = ENCODERS[ENCODER](embedding_dim=256, axis_name=AXIS)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, 64, 64, 3)), train=False))(jax.random.key(0))
    rows = np.random.default_rng(0).permutation(len(found))
    cells = Cells(
        lambda rows: found.images[rows],
        lambda rows: found.images[rows],
        found.labels,
        {line.name: np.array([found.classes.index(c) for c in line.classes]) for line in taxonomy.lineages},
        np.sort(rows[len(rows) // 6 :]),
        np.sort(rows[: len(rows) // 6]),
    )
    steps = -(-len(cells.train) // 60)
    head = jax.eval_shape(lambda key: method.init_head(key, 256), jax.random.key(0))
    optimizer = adamw_cosine(
        {"encoder": variables["params"], "head": head}, learning_rate=1e-3, weight_decay=1e-4, steps=EPOCHS * steps
    )
    learner = build(model, variables, method, optimizer, augment, jax.devices()[:1])
    plan = Plan(
        epochs=EPOCHS,
        steps=steps,
        patience=EPOCHS,
        grid_every=GRID_EVERY,
        batches=partial(pk_batches, classes_per_batch=15, per_class=4),
        embed_batch=120,
        seed=0,
    )
    # Compiled before the clock starts.
    train(learner, cells, replace(plan, epochs=1, steps=2), tmp_path / "first")
    clock, feeder = Clock(), Feeder(cells.read, learner.step)
    monkeypatch.setattr(loop, "fit_svm", clock.timed("grid", loop.fit_svm))
    monkeypatch.setattr(loop, "fit_svm_at", clock.timed("fit", loop.fit_svm_at))
    monkeypatch.setattr(loop, "embed_cells", clock.timed("embed", loop.embed_cells))
    monkeypatch.setattr(loop, "health", clock.timed("health", loop.health))
    monkeypatch.setattr(loop, "save", clock.timed("save", loop.save))
    learner = replace(learner, step=feeder.step, refit=clock.timed("refit", learner.refit))
    start = time.perf_counter()
    train(learner, replace(cells, read=feeder.read), plan, tmp_path / "timed")
    whole = time.perf_counter() - start
    of_all = clock.seconds
    monitor = (of_all["grid"] + (GRID_EVERY - 1) * of_all["fit"]) / GRID_EVERY
    epoch = (whole - of_all["grid"] - of_all["fit"]) / EPOCHS + monitor

    def share(seconds: float) -> str:
        return f"{100 * seconds / epoch:.2g} %"

    row(
        f"Epochs of {len(cells.train)} cells of {found.name}, {ENCODER}, 64 px, batches of 60",
        {
            "an epoch": f"{epoch:.3g} s",
            "steps wait for data": share(feeder.idle / EPOCHS),
            "batches that came late": f"{feeder.late} of {feeder.steps}",
            "reading, beside the steps": share(feeder.reading / EPOCHS),
            "SVM monitor, grid every 5th": share(monitor),
        }
        | {name: share(of_all[name] / EPOCHS) for name in ("embed", "refit", "health", "save")},
    )
