"""A guide's places lifted into the embedding: the inverse of a UMAP beside the smooth map: `make bench`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.guides.inverse import inverse_rbf, inverse_umap
from smrjax.method import class_means

CELLS, CLASSES, DIM, SAMPLES = 3000, 15, 256, 1000


@pytest.mark.parametrize("inverse", ["umap", "rbf"])
def bench_inverse(benchmark, inverse):
    benchmark.group = f"inverse, {CELLS} cells, {CLASSES} classes, D={DIM}, UMAP of {SAMPLES}"
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, CELLS)
    z = (rng.normal(size=(CLASSES, DIM))[y] + 0.5 * rng.normal(size=(CELLS, DIM))).astype(np.float32)
    guide = rng.normal(size=(CLASSES, 2)).astype(np.float32)

    @jax.jit
    def smooth(z, y, guide):
        means, counts = class_means(z, y, CLASSES)
        return inverse_rbf(means, counts > 0, guide)

    on_device = jnp.asarray(z), jnp.asarray(y), jnp.asarray(guide)
    functions = {
        "umap": lambda: inverse_umap(z, y, guide, samples=SAMPLES),
        "rbf": lambda: jax.block_until_ready(smooth(*on_device)),
    }
    functions[inverse]()  # compiled beforehand
    benchmark.pedantic(functions[inverse], rounds=3, warmup_rounds=0)
