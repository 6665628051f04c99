"""Epochs: steps, refit, monitor, early stop; stops when asked and goes on where it stopped."""

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
        patience: Stop after this many epochs without a better validation macro-F.
        grid_every: Epochs between full grids of the monitor's SVM; the last best pair in between.
        classes_per_batch: P; a batch holds P x K cells.
        per_class: K.
        embed_batch: Cells of an embedding pass at a time.
        seed: Of weights, batches, augmentation and dropout.
    """

    epochs: int
    patience: int
    grid_every: int
    classes_per_batch: int
    per_class: int
    embed_batch: int
    seed: int


@dataclass(frozen=True)
class Job:
    """What is trained on what: everything that is not a number of the `Plan`."""

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    model: nn.Module
    variables: Any
    method: Method
    optimizer: optax.GradientTransformation
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    normalize: bool
    norm_weight: float


def embed_cells(
    embed: Callable[..., Any], state: TrainState, images: np.ndarray, rows: np.ndarray, batch: int, devices: Sequence[Any]
) -> np.ndarray:
    """Embeddings of some cells, in batches of one fixed shape.

    Args:
        embed: From `parallel.map_embed`.
        state: With a leading device axis.
        images: All cells, UInt8[N, H, W, 3].
        rows: Which of them, Int[n].
        batch: Cells at a time.
        devices: As given to `parallel.map_embed`.

    Returns:
        Float[n, D].
    """
    parts = []
    for some, valid in eval_batches(rows, batch):
        z = embed(state.params, state.batch_stats, parallel.share(images[some], devices))
        parts.append(np.asarray(z).reshape(len(some), -1)[valid])
    return np.concatenate(parts)


def steps_per_epoch(n: int, plan: Plan) -> int:
    """Steps of an epoch over n cells; the same in every epoch."""
    return -(-n // (plan.classes_per_batch * plan.per_class))


def best_row(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The epoch with the highest validation macro-F, the earliest on ties."""
    return max(history, key=lambda row: (row["macro_f1"], -row["epoch"]), default=None)


def finished(history: list[dict[str, Any]], plan: Plan) -> bool:
    """Whether all epochs are done or `Plan.patience` has run out."""
    best = best_row(history)
    return best is not None and (
        len(history) >= plan.epochs or history[-1]["epoch"] - best["epoch"] >= plan.patience
    )


def _blank(job: Job, key: jax.Array) -> TrainState:
    """A state before the first step whose goal has its shapes but no values yet."""
    pixels = jax.ShapeDtypeStruct((1, *job.images.shape[1:]), jnp.float32)
    raw, _ = jax.eval_shape(lambda v, x: job.model.apply(v, x, train=False), job.variables, pixels)
    z = jax.ShapeDtypeStruct((len(job.train), raw.shape[-1]), raw.dtype)
    y = jax.ShapeDtypeStruct((len(job.train),), jnp.int32)
    goal = jax.eval_shape(lambda z, y, key: job.method.refit(z, y, None, key), z, y, key)
    goal = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), goal)
    return create(job.variables, job.method, job.optimizer, goal, jax.random.fold_in(key, 1), raw.shape[-1])


def train(
    job: Job,
    plan: Plan,
    folder: Path,
    *,
    devices: Sequence[jax.Device],
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Train until the plan is done, from the last state in ``folder`` if there is one.

    Args:
        job: Data, model, method.
        plan: Numbers.
        folder: Checkpoints go to and come from here.
        devices: The batch is split evenly over them.
        on_step: Called after every step.
        on_epoch: Called with every new metrics row.
        should_stop: Asked after every step.

    Returns:
        The state of the epoch with the best validation macro-F and the metrics rows of all epochs.

    Raises:
        Interrupted: if ``should_stop`` said so; the state is on disk.
        InputError: if the loss is not finite; the last good state stays on disk.
    """
    key = jax.random.key(plan.seed)
    refit = jax.jit(job.method.refit)
    step = parallel.map_step(
        make_train_step(
            job.model,
            job.method,
            job.optimizer,
            job.augment,
            normalize=job.normalize,
            norm_weight=job.norm_weight,
        ),
        devices,
    )
    embed = parallel.map_embed(make_embed(job.model, normalize=job.normalize), devices)
    labels = job.labels
    y_train = jnp.asarray(labels[job.train])

    def embed_part(state: TrainState, rows: np.ndarray) -> np.ndarray:
        return embed_cells(embed, state, job.images, rows, plan.embed_batch, devices)

    with open_checkpoints(folder / "checkpoints") as manager:
        state = _blank(job, key)
        last = manager.latest_step()
        if last is None:
            z = embed_part(parallel.replicate(state, devices), job.train)
            state = state.replace(goal=refit(jnp.asarray(z), y_train, None, key))  # type: ignore[attr-defined]
            log: dict[str, Any] = {"history": [], "svm": {}}
        else:
            state, log = restore(manager, state, last)
        history = log["history"]
        n_steps = steps_per_epoch(len(job.train), plan)
        mapped = parallel.replicate(state, devices)
        while not finished(history, plan):
            epoch = len(history)
            batches = pk_batches(
                labels[job.train],
                classes_per_batch=plan.classes_per_batch,
                per_class=plan.per_class,
                steps=n_steps,
                seed=plan.seed,
                epoch=epoch,
            )
            for batch in batches[int(state.step) - epoch * n_steps :]:
                rows = job.train[batch]
                mapped = step(
                    mapped, parallel.share(job.images[rows], devices), parallel.share(labels[rows], devices), key
                )
                on_step()
                if should_stop():
                    save(manager, parallel.first(mapped), log)
                    manager.wait_until_finished()
                    raise Interrupted
            z = embed_part(mapped, job.train)
            state = parallel.first(mapped)
            row = {"epoch": epoch} | {name: float(total) / n_steps for name, total in state.totals.items()}
            if not np.isfinite(row["loss"]) or not np.isfinite(z).all():
                raise InputError(
                    f"the loss became {row['loss']} in epoch {epoch}; the state of the epoch before is kept in {folder}: "
                    "try a lower --learning-rate or a smaller --alpha"
                )
            goal = refit(jnp.asarray(z), y_train, state.goal, jax.random.fold_in(key, state.step))
            state = state.replace(goal=goal, totals=jax.tree.map(jnp.zeros_like, state.totals))  # type: ignore[attr-defined]
            if epoch % plan.grid_every == 0:
                svm = fit_svm(z, labels[job.train], seed=plan.seed)
                log["svm"] = {"C": svm.C, "gamma": svm.gamma}
            else:
                svm = fit_svm_at(z, labels[job.train], **log["svm"])
            predicted = svm.predict(embed_part(mapped, job.validation))
            row["macro_f1"] = macro_f1(labels[job.validation], predicted)
            row |= health(z, labels[job.train], goal, row)
            history.append(row)
            save(manager, state, log, {"macro_f1": row["macro_f1"], "epoch": epoch})
            mapped = parallel.replicate(state, devices)
            on_epoch(row)
        best = best_row(history)
        assert best is not None
        manager.wait_until_finished()
        state, _ = restore(manager, state, (best["epoch"] + 1) * n_steps)
    return state, history
