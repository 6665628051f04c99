"""The guide distance loss over all pairs (L1), forward and backward, beside torch.cdist and plain JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import peer

from smrjax.losses import guide_distance

DIM, CLASSES = 256, 15
own = jax.jit(jax.value_and_grad(guide_distance))


@jax.jit
@jax.value_and_grad
def plain(z, y, guide):
    apart = jnp.abs(guide[:, None] - guide).sum(-1)[y][:, y]
    return jnp.abs(jnp.abs(z[:, None] - z).sum(-1) - apart).sum() / (len(z) * (len(z) - 1))


def batch(size: int):
    rng = np.random.default_rng(0)
    y, guide = np.arange(size) % CLASSES, rng.normal(size=(CLASSES, 2)).astype(np.float32)
    return rng.normal(size=(size, DIM)).astype(np.float32), y, 100 * guide


@pytest.mark.parametrize("size", [64, 128, 512, 2048])
def bench_distance(compare, size):
    z, y, guide = batch(size)
    on_device = jnp.asarray(z), jnp.asarray(y), jnp.asarray(guide)
    functions = {"guide_distance": lambda: own(*on_device)}
    if size <= 512:
        functions["plain JAX, B²D in memory"] = lambda: plain(*on_device)
    if torch := peer("torch"):
        tensor, labels, places = torch.tensor(z, requires_grad=True), torch.tensor(y), torch.tensor(guide)

        def by_torch():
            tensor.grad = None
            apart = torch.cdist(places, places, p=1)[labels][:, labels]
            off = (torch.cdist(tensor, tensor, p=1) - apart).abs().sum()
            (off / (size * (size - 1))).backward()

        functions["torch.cdist"] = by_torch
    compare(f"Guide distance loss, value and gradient, D={DIM}", f"B={size}", functions, rounds=7)


def bench_growth_in_batch(growth):
    cases = {size: tuple(map(jnp.asarray, batch(size))) for size in (128, 256, 512, 1024, 2048)}
    growth("Guide distance loss: growth", f"B (D={DIM})", list(cases), lambda n: lambda: own(*cases[n]))
