"""Epochs: steps, refit, monitor, early stop; stops when asked and goes on where it stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.errors import InputError
from smrjax.evaluate.scores import accuracy, macro_f1
from smrjax.evaluate.svm import GRID, fit_svm, fit_svm_at
from smrjax.evaluate.svm_grid import thin
from smrjax.train import parallel, processes
from smrjax.train.keeping import keeping
from smrjax.train.learner import Cells, Learner, Plan, blank_state, embed_cells
from smrjax.train.monitor import health
from smrjax.train.optimizer import with_rate
from smrjax.train.state import TrainState

#: Cells that the monitor's SVM is fitted to at most: its time grows with about their square, an epoch's with them.
MONITORED = GRID.max_cells


class Interrupted(Exception):
    """The training was asked to stop and has saved its state."""


class Diverged(InputError):
    """The loss or the network is not finite any more."""


def best_row(history: list[dict[str, Any]], score: str = "macro_f1") -> dict[str, Any] | None:
    """The epoch with the highest validation score, the earliest on ties."""
    return max(history, key=lambda row: (row[score], -row["epoch"]), default=None)


def finished(history: list[dict[str, Any]], plan: Plan) -> bool:
    """Whether all epochs are done or `Plan.patience` has run out."""
    best = best_row(history, plan.score)
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

    With several processes, all call it alike; process 0 alone reads and writes ``folder``.

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
        The state of the epoch with the best validation score (the initial one if there is no epoch), and the metrics
        rows of all epochs.

    Raises:
        Interrupted: if ``should_stop`` said so; the state is on disk.
        InputError: if the first embedding is not finite, or states cannot be read or written; see `keeping`.
        Diverged: if the loss or the network no longer is finite; the last good state stays on disk.
    """
    devices, labels = learner.devices, cells.labels
    head_key, refit_key, step_key = jax.random.split(jax.random.key(plan.seed), 3)
    y = labels[cells.train]
    watched = thin(y, MONITORED, 5, plan.seed)
    # A method that classifies by itself has nothing to fit to the training part, which is then not embedded.
    predict = learner.method.predict
    seen = cells.train if predict is None else cells.validation

    def embed(mapped: TrainState, rows: np.ndarray) -> np.ndarray:
        return embed_cells(learner.embed, mapped, cells.plain, rows, plan.embed_batch, devices)

    def refit(z: np.ndarray, goal: Any, step: int) -> Any:
        # Every process has the time to do it, but on processors of another kind would have other last bits.
        return processes.shown(learner.refit(jnp.asarray(z), jnp.asarray(y), goal, jax.random.fold_in(refit_key, step)))

    with keeping(folder / "checkpoints") as kept:
        # Computed by processors of another kind, random weights have other last bits.
        state = processes.shown(blank_state(learner, cells, head_key))
        log: dict[str, Any] = {"history": [], "svm": {}}
        found = kept.resume(state)
        if found is not None:
            state, log = found
        else:
            z = embed(parallel.replicate(state, devices), seen)
            if not np.isfinite(z).all():
                raise InputError("the first embedding is not finite; check the weights given by --init")
            if predict is None:
                state = state.replace(goal=refit(z, None, 0))  # type: ignore[attr-defined]
        history = log["history"]
        mapped = parallel.replicate(state, devices)
        on_start(int(state.step))
        while not finished(history, plan):
            epoch = len(history)
            batches = plan.batches(y, steps=plan.steps, seed=plan.seed, epoch=epoch)
            for number in range(int(state.step), (epoch + 1) * plan.steps):
                if processes.anyone(should_stop()):
                    if kept.latest() != number:
                        state = parallel.first(mapped)
                        _check_finite((state.totals["loss"], _network(state)), epoch, folder)
                        kept.save(state, log)
                    kept.wait()
                    raise Interrupted
                rows = parallel.own_part(cells.train[batches[number - epoch * plan.steps]], devices)
                images, y_batch = parallel.share(cells.read(rows), devices), parallel.share(labels[rows], devices)
                # At most one step under way, with the next batch at hand: a wish to stop is heard within a step.
                jax.block_until_ready(mapped.step)
                mapped = learner.step(mapped, images, y_batch, step_key)
                on_step()
            state = parallel.first(mapped)
            row = {"epoch": epoch} | {name: float(total) / plan.steps for name, total in state.totals.items()}
            # What is saved must be good: the last step of an epoch may break what no loss has seen yet.
            _check_finite((row["loss"], _network(state)), epoch, folder)
            state = state.replace(totals=jax.tree.map(np.zeros_like, state.totals))  # type: ignore[attr-defined]
            z = embed(mapped, seen)
            _check_finite(z, epoch, folder)
            if predict is None:
                state = state.replace(goal=refit(z, state.goal, int(state.step)))  # type: ignore[attr-defined]
                z_watched, y_watched = z[watched], y[watched]
                if epoch % plan.grid_every == 0:
                    svm = fit_svm(z_watched, y_watched, seed=plan.seed)
                    log["svm"] = {"C": svm.C, "gamma": svm.gamma}
                else:
                    svm = fit_svm_at(z_watched, y_watched, **log["svm"])
                predicted = svm.predict(embed(mapped, cells.validation))
            else:
                predicted = np.asarray(predict(jnp.asarray(z), state.params["head"]))
                y_seen = jnp.asarray(labels[seen])
                loss, _ = learner.method.loss(jnp.asarray(z), y_seen, state.goal, state.params["head"])
                row["validation_loss"] = float(loss)
            row["macro_f1"] = macro_f1(labels[cells.validation], predicted)
            row["validation_accuracy"] = accuracy(labels[cells.validation], predicted)
            if predict is None:
                active = row.get("active_triplets")
                row |= health(
                    z,
                    labels[seen],
                    state.goal,
                    cells.lineages,
                    active_triplets=active,
                    margin=learner.method.margin,
                )
            if plan.rate is not None:
                row["learning_rate"] = plan.rate(history)
            row = processes.told(row.copy)
            history.append(row)
            if plan.rate is not None:
                state = state.replace(opt_state=with_rate(state.opt_state, plan.rate(history)))  # type: ignore[attr-defined]
            kept.save(state, log, {"score": row[plan.score], "epoch": epoch})
            mapped = parallel.replicate(state, devices)
            on_epoch(row)
        best = best_row(history, plan.score)
        if best is not None:
            kept.wait()
            state, _ = kept.restore(state, (best["epoch"] + 1) * plan.steps)
    return state, history


def _network(state: TrainState) -> Any:
    return state.params, state.batch_stats, state.opt_state


def _check_finite(values: Any, epoch: int, folder: Path) -> None:
    """Stop where arrays of a pytree are not finite, and say what is left."""
    if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
        return
    kept, start = "no state was good enough to keep", ""
    if epoch:
        kept = f"the last good state is kept in {folder}, but --resume would come to the same point again"
        # The encoder has seen the test cells of every other fold of these cells.
        start = f", from the start; of this fold alone (--only-folds), it may begin with that state by --init {folder}"
    raise Diverged(
        f"the loss or the network became infinite or NaN in epoch {epoch + 1}; {kept}: begin a new run with a lower "
        f"learning rate or a weaker pull (--learning-rate, --alpha){start}"
    )
