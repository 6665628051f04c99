"""Triplet margin loss over all violating triplets, value and gradient, beside a cube in JAX and torch's library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import peer

from smrjax.losses import triplet_margin

DIM, CLASSES, MARGIN = 256, 15, 0.1
own = jax.jit(jax.value_and_grad(lambda z, y: triplet_margin(z, y, margin=MARGIN)))


def batch(size: int):
    """Overlapping classes of unit embeddings, as early in a training: most triplets violate the margin."""
    rng = np.random.default_rng(0)
    y = np.arange(size) % CLASSES
    z = rng.normal(size=(CLASSES, DIM))[y] + 2.5 * rng.normal(size=(size, DIM))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32), y


@jax.jit
@jax.value_and_grad
def cube(z, y):
    square = (z * z).sum(1)[:, None] + (z * z).sum(1) - 2 * z @ z.T
    eye = jnp.eye(len(z), dtype=bool)
    d = jnp.where(eye, 0, jnp.sqrt(jnp.where(eye, 1, jnp.maximum(square, 1e-12))))
    same = y[:, None] == y
    triplets = (same & ~eye)[:, :, None] & ~same[:, None, :]
    over = jnp.where(triplets, jnp.maximum(d[:, :, None] - d[:, None, :] + MARGIN, 0), 0)
    return over.sum() / jnp.maximum((over > 0).sum(), 1)


@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024, 4096])
def bench_triplet(compare, size):
    z, y = batch(size)
    on_device = jnp.asarray(z), jnp.asarray(y)
    functions = {"triplet_margin": lambda: own(*on_device)}
    if size <= 256:
        functions["cube of B³ in JAX"] = lambda: cube(*on_device)
    if peer("pytorch_metric_learning") and size <= 512:
        import torch
        from pytorch_metric_learning.losses import TripletMarginLoss
        from pytorch_metric_learning.reducers import AvgNonZeroReducer

        loss = TripletMarginLoss(margin=MARGIN, triplets_per_anchor="all", reducer=AvgNonZeroReducer())
        tensor, labels = torch.tensor(z, requires_grad=True), torch.tensor(y)

        def by_torch():
            tensor.grad = None
            loss(tensor, labels).backward()

        functions["pytorch-metric-learning"] = by_torch
    compare(f"Triplet margin, value and gradient, D={DIM}, {CLASSES} classes", f"B={size}", functions, rounds=7)


def bench_growth_in_batch(growth):
    cases = {size: tuple(map(jnp.asarray, batch(size))) for size in (128, 256, 512, 1024, 2048, 4096)}
    growth("Triplet margin: growth", f"B ({CLASSES} classes)", list(cases), lambda n: lambda: own(*cases[n]))


def bench_memory(row):
    """What the compiled program asks for, in and out included."""
    cells = {}
    for size in (256, 1024, 4096):
        memory = own.lower(*map(jnp.asarray, batch(size))).compile().memory_analysis()
        total = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
        cells[f"B={size}"] = f"{total / 2**20:.3g} MiB"
    row("Triplet margin: memory", cells)
