"""Descriptors of images at the paper's size: one core beside two, as processes and as threads."""

import numpy as np
import pytest
from joblib import Parallel, delayed
from side_by_side import side_by_side

from smrjax.classical import FEATURES, describe

COUNT, SIZE = 32, 200


def cells():
    """A dark disc on a light ground, with some noise: smooth as cells are, since branches are cheap on flat images."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    images = []
    for _ in range(COUNT):
        row, column, radius = rng.uniform(80, 120), rng.uniform(80, 120), rng.uniform(40, 80)
        edge = np.tanh((np.hypot(rows - row, columns - column) - radius) / 4)
        colour, noise = rng.uniform(20, 60, 3), rng.normal(0, 4, (SIZE, SIZE, 3))
        images.append(160 + edge[..., None] * colour + noise)
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", FEATURES)
def bench_features(row, name):
    images = cells()
    parts = np.array_split(images, 4)

    def shared(**how):
        return np.concatenate(Parallel(n_jobs=2, **how)(delayed(describe)(part, name) for part in parts))

    functions = {
        "one core": lambda: describe(images, name),
        "two processes": lambda: shared(),
        "two threads": lambda: shared(prefer="threads"),
    }
    times = side_by_side(functions, rounds=5)
    rates = {how: f"{COUNT / seconds:.0f} images/s" for how, (seconds, _) in times.items()}
    row(f"Descriptors, {COUNT} images of {SIZE} px", {"descriptor": name} | rates)
