"""A guide's places lifted into the embedding: the smooth map beside the inverse of a UMAP."""

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.guides.inverse import inverse_rbf, inverse_umap
from smrjax.method import class_means

CELLS, CLASSES, DIM, SAMPLES = 3000, 15, 256, 1000


@jax.jit
def smooth(z, y, guide):
    means, counts = class_means(z, y, CLASSES)
    return inverse_rbf(means, counts > 0, guide)


def bench_inverse(compare):
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, CELLS)
    z = (rng.normal(size=(CLASSES, DIM))[y] + 0.5 * rng.normal(size=(CELLS, DIM))).astype(np.float32)
    guide = rng.normal(size=(CLASSES, 2)).astype(np.float32)
    on_device = jnp.asarray(z), jnp.asarray(y), jnp.asarray(guide)
    functions = {
        "inverse_rbf": lambda: smooth(*on_device),
        "inverse_umap": lambda: inverse_umap(z, y, guide, samples=SAMPLES),
    }
    case = f"{CELLS} cells, {CLASSES} classes, D={DIM}, UMAP of {SAMPLES}"
    compare("Places of a guide in the embedding", case, functions, rounds=3)
