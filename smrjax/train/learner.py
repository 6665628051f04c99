"""What a training works with: its numbers, its cells, and the network with its compiled programs."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from smrjax.data.sampling import eval_batches
from smrjax.method import Method
from smrjax.train import parallel, processes
from smrjax.train.state import TrainState, create
from smrjax.train.step import make_embed, make_train_step


@dataclass(frozen=True)
class Plan:
    """Numbers of one training.

    Attributes:
        epochs: At most this many.
        steps: In each of them.
        patience: Stop after this many epochs without a better validation score.
        grid_every: Epochs between full grids of the monitor's SVM; the last best pair in between.
        batches: (labels Int[N], steps=, seed=, epoch=) -> Int[steps, B], positions in the labels; of `data.sampling`.
        embed_batch: Cells of an embedding pass at a time.
        seed: Of batches, augmentation and dropout.
        score: Figure of an epoch's metrics row whose highest value marks the best epoch.
        rate: Metrics rows of all epochs so far -> learning rate of the next one, for an optimiser that takes it from
            outside (`optimizer.with_rate`); None leaves it to the optimiser.
    """

    epochs: int
    steps: int
    patience: int
    grid_every: int
    batches: Callable[..., np.ndarray]
    embed_batch: int
    seed: int
    score: str = "macro_f1"
    rate: Callable[[list[dict[str, Any]]], float] | None = None


@dataclass(frozen=True)
class Cells:
    """The cells of one training.

    Attributes:
        read: Rows Int[n] -> what a step gets for them, [n, …]; the learner's augmentation makes pixels of it.
        plain: Rows -> their pixels as an embedding pass sees them, [n, H, W, 3].
        labels: Int[N].
        lineages: Name -> its classes in maturity order.
        train: Rows to train on.
        validation: Rows that say which epoch is best.
    """

    read: Callable[[np.ndarray], np.ndarray]
    plain: Callable[[np.ndarray], np.ndarray]
    labels: np.ndarray
    lineages: dict[str, np.ndarray]
    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Learner:
    """Network, method and their compiled programs, which all folds share; made by `build`."""

    model: nn.Module
    variables: Any
    method: Method
    optimizer: optax.GradientTransformation
    devices: Sequence[jax.Device]
    step: Callable[..., TrainState]
    embed: Callable[..., jax.Array]
    refit: Callable[..., Any]


def build(
    model: nn.Module,
    variables: Any,
    method: Method,
    optimizer: optax.GradientTransformation,
    augment: Callable[[jax.Array, jax.Array], jax.Array],
    devices: Sequence[jax.Device],
    *,
    normalize: bool = True,
    norm_weight: float = 1e-3,
) -> Learner:
    """A learner; nothing is compiled before its first use.

    Args:
        model: Encoder, built with ``axis_name=step.AXIS``.
        variables: Where training starts.
        method: What is learnt.
        optimizer: Of optax.
        augment: See `step.make_train_step`.
        devices: Batches are split evenly over them.
        normalize: See `step.make_train_step`.
        norm_weight: See `step.make_train_step`.
    """
    step = make_train_step(model, method, optimizer, augment, normalize=normalize, norm_weight=norm_weight)
    return Learner(
        model=model,
        variables=variables,
        method=method,
        optimizer=optimizer,
        devices=devices,
        step=parallel.map_step(step, devices),
        embed=parallel.map_embed(make_embed(model, normalize=normalize), devices),
        refit=jax.jit(method.refit) if method.compiled else method.refit,
    )


def embed_cells(
    embed: Callable[..., jax.Array],
    mapped: TrainState,
    plain: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    batch: int,
    devices: Sequence[jax.Device],
) -> np.ndarray:
    """Embeddings of some cells, in batches of one fixed shape; each process reads and embeds its part of each.

    Args:
        embed: From `parallel.map_embed`.
        mapped: State with a leading device axis.
        plain: Rows Int[b] -> pixels [b, H, W, 3], as in `Cells`.
        rows: Of which cells, Int[n].
        batch: Cells at a time, or as few more as the devices share evenly.
        devices: As given to `parallel.map_embed`.

    Returns:
        Float[n, D].
    """

    def fetch(z: jax.Array) -> np.ndarray:
        return np.asarray(z).reshape(-1, z.shape[-1])

    batch = -(-batch // len(devices)) * len(devices)
    parts, valid, under_way = [], [], deque[jax.Array]()
    for some, real in eval_batches(rows, batch):
        pixels = plain(parallel.own_part(some, devices))
        under_way.append(embed(mapped.params, mapped.batch_stats, parallel.share(pixels, devices)))
        valid.append(real)
        # The next batch is read while this one is computed; no third one piles up.
        if len(under_way) > 1:
            parts.append(fetch(under_way.popleft()))
    parts += map(fetch, under_way)
    # Of every process its part of every batch: back into the order of the rows, once for all of them.
    every = processes.gathered(np.concatenate(parts))
    each = every.reshape(len(every), len(parts), -1, every.shape[-1]).swapaxes(0, 1)
    return each.reshape(-1, every.shape[-1])[np.concatenate(valid)]


def blank_state(learner: Learner, cells: Cells, head_key: jax.Array) -> TrainState:
    """A state before the first step whose goal has its shapes but no values yet."""
    pixels = jax.ShapeDtypeStruct(cells.plain(cells.train[:1]).shape, jnp.float32)
    raw, _ = jax.eval_shape(lambda v, x: learner.model.apply(v, x, train=False), learner.variables, pixels)
    z = jax.ShapeDtypeStruct((len(cells.train), raw.shape[-1]), raw.dtype)
    y = jax.ShapeDtypeStruct((len(cells.train),), jnp.int32)
    goal = jax.eval_shape(lambda z, y, key: learner.method.refit(z, y, None, key), z, y, head_key)
    goal = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), goal)
    return create(learner.variables, learner.method, learner.optimizer, goal, head_key, raw.shape[-1])
