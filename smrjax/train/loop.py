"""Epochs: steps, refit, monitor, early stop; stops when asked and goes on where it stopped."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from smrjax.data.sampling import eval_batches, pk_batches
from smrjax.errors import InputError
from smrjax.evaluate.scores import macro_f1
from smrjax.evaluate.svm import fit_svm, fit_svm_at
from smrjax.method import Method
from smrjax.train import parallel
from smrjax.train.monitor import health
from smrjax.train.state import TrainState, create, open_checkpoints, restore, save
from smrjax.train.step import make_embed, make_train_step


class Interrupted(Exception):
    """The training was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Plan:
    """Numbers of one training.

    Attributes:
        epochs: At most this many.
        steps: In each of them.
        patience: Stop after this many epochs without a better validation macro-F.
        grid_every: Epochs between full grids of the monitor's SVM; the last best pair in between.
        classes_per_batch: P; a batch holds P x K cells.
        per_class: K.
        embed_batch: Cells of an embedding pass at a time.
        seed: Of batches, augmentation and dropout.
    """

    epochs: int
    steps: int
    patience: int
    grid_every: int
    classes_per_batch: int
    per_class: int
    embed_batch: int
    seed: int


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
    """Embeddings of some cells, in batches of one fixed shape.

    Args:
        embed: From `parallel.map_embed`.
        mapped: State with a leading device axis.
        plain: Rows Int[b] -> pixels [b, H, W, 3], as in `Cells`.
        rows: Of which cells, Int[n].
        batch: Cells at a time, a multiple of the number of devices.
        devices: As given to `parallel.map_embed`.

    Returns:
        Float[n, D].
    """

    def fetch(z: jax.Array, valid: np.ndarray) -> np.ndarray:
        return np.asarray(z).reshape(len(valid), -1)[valid]

    parts, under_way = [], deque[tuple[jax.Array, np.ndarray]]()
    for some, valid in eval_batches(rows, batch):
        under_way.append((embed(mapped.params, mapped.batch_stats, parallel.share(plain(some), devices)), valid))
        # The next batch is read while this one is computed; no third one piles up.
        if len(under_way) > 1:
            parts.append(fetch(*under_way.popleft()))
    return np.concatenate([*parts, *(fetch(*one) for one in under_way)])


def best_row(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The epoch with the highest validation macro-F, the earliest on ties."""
    return max(history, key=lambda row: (row["macro_f1"], -row["epoch"]), default=None)


def finished(history: list[dict[str, Any]], plan: Plan) -> bool:
    """Whether all epochs are done or `Plan.patience` has run out."""
    best = best_row(history)
    waited = len(history) - 1 - best["epoch"] if best else 0
    return len(history) >= plan.epochs or waited >= plan.patience


def train(
    learner: Learner,
    cells: Cells,
    plan: Plan,
    folder: Path,
    *,
    on_start: Callable[[int], object] = lambda steps: None,
    on_step: Callable[[], object] = lambda: None,
    on_epoch: Callable[[dict[str, Any]], object] = lambda row: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Train until the plan is done, from the last state in ``folder`` if there is one.

    Args:
        learner: From `build`.
        cells: To train on and to validate with.
        plan: Numbers.
        folder: Checkpoints go to and come from here.
        on_start: Called once with the number of steps that were done before.
        on_step: Called after every step.
        on_epoch: Called with every new metrics row.
        should_stop: Asked before every step.

    Returns:
        The state of the epoch with the best validation macro-F (the initial one if there is no epoch), and the metrics
        rows of all epochs.

    Raises:
        Interrupted: if ``should_stop`` said so; the state is on disk.
        InputError: if the loss or the embedding is not finite; the last good state stays on disk.
    """
    devices, labels = learner.devices, cells.labels
    head_key, refit_key, step_key = jax.random.split(jax.random.key(plan.seed), 3)
    y = labels[cells.train]

    def embed(mapped: TrainState, rows: np.ndarray) -> np.ndarray:
        return embed_cells(learner.embed, mapped, cells.plain, rows, plan.embed_batch, devices)

    def refit(z: np.ndarray, goal: Any, step: int) -> Any:
        return learner.refit(jnp.asarray(z), jnp.asarray(y), goal, jax.random.fold_in(refit_key, step))

    with open_checkpoints(folder / "checkpoints") as manager:
        state = _blank(learner, cells, head_key)
        last = manager.latest_step()
        log: dict[str, Any] = {"history": [], "svm": {}}
        if last is not None:
            state, log = restore(manager, state, last)
        else:
            z = embed(parallel.replicate(state, devices), cells.train)
            if not np.isfinite(z).all():
                raise InputError("the first embedding is not finite; check the weights given by --init")
            state = state.replace(goal=refit(z, None, 0))  # type: ignore[attr-defined]
        history = log["history"]
        mapped = parallel.replicate(state, devices)
        on_start(int(state.step))
        while not finished(history, plan):
            epoch = len(history)
            batches = pk_batches(
                y,
                classes_per_batch=plan.classes_per_batch,
                per_class=plan.per_class,
                steps=plan.steps,
                seed=plan.seed,
                epoch=epoch,
            )
            for number in range(int(state.step), (epoch + 1) * plan.steps):
                if should_stop():
                    if manager.latest_step() != number:
                        state = parallel.first(mapped)
                        _check_finite(state.totals["loss"], epoch, folder)
                        save(manager, state, log)
                    manager.wait_until_finished()
                    raise Interrupted
                rows = cells.train[batches[number - epoch * plan.steps]]
                images, y_batch = parallel.share(cells.read(rows), devices), parallel.share(labels[rows], devices)
                # At most one step under way, with the next batch at hand: a wish to stop is heard within a step.
                jax.block_until_ready(mapped.step)
                mapped = learner.step(mapped, images, y_batch, step_key)
                on_step()
            state = parallel.first(mapped)
            row = {"epoch": epoch} | {name: float(total) / plan.steps for name, total in state.totals.items()}
            _check_finite(row["loss"], epoch, folder)
            z = embed(mapped, cells.train)
            _check_finite(z, epoch, folder)
            state = state.replace(  # type: ignore[attr-defined]
                goal=refit(z, state.goal, int(state.step)), totals=jax.tree.map(np.zeros_like, state.totals)
            )
            if epoch % plan.grid_every == 0:
                svm = fit_svm(z, y, seed=plan.seed)
                log["svm"] = {"C": svm.C, "gamma": svm.gamma}
            else:
                svm = fit_svm_at(z, y, **log["svm"])
            row["macro_f1"] = macro_f1(labels[cells.validation], svm.predict(embed(mapped, cells.validation)))
            row |= health(z, y, state.goal, cells.lineages, active_triplets=row.get("active_triplets"))
            history.append(row)
            save(manager, state, log, {"macro_f1": row["macro_f1"], "epoch": epoch})
            mapped = parallel.replicate(state, devices)
            on_epoch(row)
        best = best_row(history)
        if best is not None:
            manager.wait_until_finished()
            state, _ = restore(manager, state, (best["epoch"] + 1) * plan.steps)
    return state, history


def _check_finite(values: np.typing.ArrayLike, epoch: int, folder: Path) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            f"the loss or the embedding became infinite or NaN in epoch {epoch + 1}; the last good state is kept in "
            f"{folder}: start again with a lower --learning-rate or a smaller --alpha"
        )


def _blank(learner: Learner, cells: Cells, head_key: jax.Array) -> TrainState:
    """A state before the first step whose goal has its shapes but no values yet."""
    pixels = jax.ShapeDtypeStruct(cells.plain(cells.train[:1]).shape, jnp.float32)
    raw, _ = jax.eval_shape(lambda v, x: learner.model.apply(v, x, train=False), learner.variables, pixels)
    z = jax.ShapeDtypeStruct((len(cells.train), raw.shape[-1]), raw.dtype)
    y = jax.ShapeDtypeStruct((len(cells.train),), jnp.int32)
    goal = jax.eval_shape(lambda z, y, key: learner.method.refit(z, y, None, key), z, y, head_key)
    goal = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), goal)
    return create(learner.variables, learner.method, learner.optimizer, goal, head_key, raw.shape[-1])
