"""How everything grows: with the number of cells, of classes, of cells in a batch, of devices and of processes.

Slopes are those of the last doublings on logarithmic axes: 1 is in proportion, 2 four times for twice as much.
"""

import socket
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bench_step import learner_and_arguments, own_step
from side_by_side import THREADS, duration, side_by_side

from smrjax.data.duplicates import find_duplicates
from smrjax.data.folds import make_folds
from smrjax.evaluate.svm import GRID, fit_svm, fit_svm_at, gamma_unit
from smrjax.method import read_maturity, smr, tml
from smrjax.taxonomy import Lineage, Taxonomy

DIM, CLASSES = 256, 10
ENCODER, SIZE = "densenet_small", 64
TITLE = "Growth"


def taxonomy(classes):
    codes = tuple(f"c{i}" for i in range(classes))
    return Taxonomy("growing", codes, (Lineage("all", codes),), ("#000000",) * classes, codes)


def embeddings(cells, classes=CLASSES):
    """Classes that overlap, as after a training; as many cells of each."""
    rng = np.random.default_rng(0)
    y = np.arange(cells) % classes
    z = rng.normal(size=(classes, DIM))[y] + 2.2 * rng.normal(size=(cells, DIM))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32), y


def one_pair(cells, classes=CLASSES):
    z, y = embeddings(cells, classes)
    return lambda: fit_svm_at(z, y, C=10.0, gamma=gamma_unit(z))


def whole_grid(cells, classes=CLASSES):
    z, y = embeddings(cells, classes)
    return lambda: fit_svm(z, y)


def predicting(cells):
    z, y = embeddings(cells)
    machine = fit_svm_at(z, y, C=10.0, gamma=gamma_unit(z))
    return lambda: machine.predict(z[:1000])


def refit(cells, classes=CLASSES):
    z, y = (jnp.asarray(values) for values in embeddings(cells, classes))
    method = smr(taxonomy(classes), curve="bezier")
    run, key = jax.jit(method.refit), jax.random.key(0)
    goal = run(z, y, None, key)
    return lambda: run(z, y, goal, key)


def reading(cells, classes=CLASSES):
    z, y = embeddings(cells, classes)
    goal = smr(taxonomy(classes), curve="bezier").refit(jnp.asarray(z), jnp.asarray(y), None, jax.random.key(0))
    return lambda: read_maturity(goal, z)


def splitting(cells):
    _, y = embeddings(cells)
    return lambda: make_folds(y, groups=np.arange(cells) // 100, n_folds=6, seed=0)


def feeding(cells):
    """960 cells of 224 px, in batches of 60 drawn at random, from a memory map as the cache has it."""
    with tempfile.TemporaryFile() as file:
        file.truncate(cells * 224 * 224 * 3)
        images = np.memmap(file, np.uint8, "r+", shape=(cells, 224, 224, 3))
    for start in range(0, cells, 500):
        images[start : start + 500] = np.random.default_rng(start).integers(0, 256, images[start : start + 500].shape)
    batches = np.random.default_rng(0).integers(0, cells, (16, 60))

    def read():
        for rows in batches:
            images[rows]

    return read


def repeated(cells):
    images = np.random.default_rng(0).integers(0, 256, (cells, 64, 64, 3), np.uint8)
    return lambda: find_duplicates(images, workers=THREADS)


FEW, MANY = [2000, 4000, 8000, 16000], [16000, 32000, 64000, 128000]


@pytest.mark.parametrize(
    ("what", "sizes", "make"),
    [
        ("cells: SVM at one pair", FEW, one_pair),
        (f"cells: SVM with its grid of at most {GRID.max_cells}", FEW[:3], whole_grid),
        ("cells trained on: SVM predicts 1,000", FEW[:3], predicting),
        ("cells: curve fitted", MANY, refit),
        ("cells: maturity read", MANY, reading),
        ("cells: six folds, grouped by slides of 100", MANY, splitting),
        ("cells: 960 of 224 px read at random", [1000, 2000, 4000, 8000], feeding),
        ("cells of 64 px: looking for duplicates", [1000, 2000, 4000, 8000], repeated),
        ("classes: SVM at one pair, 4,000 cells", [5, 10, 20, 40], lambda c: one_pair(4000, c)),
        ("classes: SVM with its grid, 4,000 cells", [5, 10, 20, 40], lambda c: whole_grid(4000, c)),
        ("classes in one lineage: curve fitted, 16,000 cells", [3, 6, 12, 24], lambda c: refit(16000, c)),
        ("classes in one lineage: maturity read, 16,000 cells", [3, 6, 12, 24], lambda c: reading(16000, c)),
    ],
)
def bench_growth(growth, what, sizes, make):
    growth(TITLE, what, sizes, make)


@pytest.mark.parametrize("batch", [30, 60, 120, 240])
def bench_batch(row, batch):
    """Time and memory of a training step over the batch."""
    seconds = side_by_side({"": own_step(ENCODER, batch, SIZE, tml(), classes=15)}, rounds=5)[""][0]
    learner, arguments = learner_and_arguments(ENCODER, batch, SIZE, tml(), classes=15)
    sizes = learner.step.lower(*arguments).compile().memory_analysis()
    memory = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes
    cells = {"batch": str(batch), "step": duration(seconds), "images/s": f"{batch / seconds:.0f}"}
    row(f"A step of {ENCODER} at {SIZE} px over the batch", cells | {"memory": f"{memory / 2**20:.0f} MiB"})


STEPS = """
import sys, time
import jax, numpy as np
devices, processes, process, port = map(int, sys.argv[1:])
jax.config.update("jax_num_cpu_devices", devices)
if processes > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
sys.path.insert(0, "benchmarks")
from bench_scaling import sharing
step, batch = sharing()
for _ in range(3):
    jax.block_until_ready(step())
start = time.perf_counter()
for _ in range(20):
    jax.block_until_ready(step())
print((time.perf_counter() - start) / 20, batch)
"""


def sharing():
    """A step over all devices of all processes."""
    from smrjax.encoders import ENCODERS
    from smrjax.train import parallel
    from smrjax.train.learner import build
    from smrjax.train.optimizer import adamw_cosine
    from smrjax.train.state import create
    from smrjax.train.step import AXIS

    batch, devices = 60, jax.devices()
    model, method = ENCODERS[ENCODER](embedding_dim=DIM, axis_name=AXIS), tml()
    images = np.random.default_rng(0).integers(0, 256, (batch, SIZE, SIZE, 3), np.uint8)
    variables = jax.jit(lambda key: model.init(key, images.astype(np.float32), train=False))(jax.random.key(0))
    optimizer = adamw_cosine(
        {"encoder": variables["params"], "head": {}}, learning_rate=1e-3, weight_decay=1e-4, steps=1000, frozen=()
    )
    learner = build(model, variables, method, optimizer, lambda x, keys: x.astype(jnp.float32), devices)
    mapped = [parallel.replicate(create(variables, method, optimizer, {}, jax.random.key(0), DIM), devices)]
    rows = parallel.own_part(np.arange(batch), devices)
    shared = [parallel.share(x[rows], devices) for x in (images, np.arange(batch) % 15)]

    def step():
        mapped[0] = learner.step(mapped[0], *shared, jax.random.key(1))
        return mapped[0].step

    return step, batch


@pytest.mark.parametrize(("processes", "devices"), [(1, 1), (1, 2), (2, 1)])
def bench_devices(row, processes, devices):
    """The same global batch on the cores of one machine: what sharing it costs, not what more machines bring."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    words = [sys.executable, "-c", STEPS, str(devices), str(processes)]
    running = [
        subprocess.Popen([*words, str(i), str(port)], stdout=subprocess.PIPE, text=True) for i in range(processes)
    ]
    said = [one.communicate()[0].split() for one in running]
    seconds, batch = float(said[0][-2]), int(said[0][-1])
    cells = {"processes x devices": f"{processes} x {devices}", "step": duration(seconds)}
    row(
        f"A step of {ENCODER} at {SIZE} px, batch {batch}, on {THREADS} cores",
        cells | {"images/s": f"{batch / seconds:.0f}"},
    )
