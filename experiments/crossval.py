"""Cross-validation of one method: train, assess and write each fold, then sum up; shared by all experiments."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from tqdm import tqdm

from experiments.embedding_explain import explain_fold
from experiments.pictures import draw_pictures
from experiments.prepare import Blocks, Prepared, training_cells
from experiments.runtime import stop_flag
from experiments.summary import write_summary
from experiments.views import VIEWS
from smrjax.data.sampling import pk_batches
from smrjax.errors import InputError
from smrjax.files import read_flat, read_object, write_arrays, write_json
from smrjax.predict.stains import write_stain
from smrjax.taxonomy.stored import to_json
from smrjax.train import parallel
from smrjax.train.assess import assess_fold
from smrjax.train.folder import locked
from smrjax.train.learner import Learner, Plan, build, embed_cells
from smrjax.train.loop import Interrupted, train
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.processes import anyone, leads, told
from smrjax.train.state import TrainState
from smrjax.train.step import unit


def cross_validate(
    blocks: Blocks,
    prepared: Prepared,
    folder: Path,
    *,
    title: str,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train and assess every fold that is not done yet, then draw the pictures and write the summary.

    With several processes, all call it alike; process 0 alone reads and writes the folder.

    Args:
        blocks: Options.
        prepared: From `prepare`, of the same options.
        folder: The run's folder.
        title: Name of the method, for tables and pictures.
        should_stop: Asked between steps, where the caller listens to signals; None to listen here.

    Returns:
        The summary.

    Raises:
        Interrupted: with the command that goes on, if the user stopped it; everything is saved.
    """
    options = blocks.train
    folds = blocks.data.only_folds or tuple(range(len(prepared.parts)))
    steps = steps_of(blocks, prepared)
    learner = learner_of(blocks, prepared)
    with (
        ExitStack() as held,
        nullcontext(should_stop) if should_stop else stop_flag() as should_stop,
        tqdm(
            total=steps * options.epochs * len(folds),
            unit="step",
            desc=title,
            dynamic_ncols=True,
            smoothing=0.05,
            disable=not leads(),
        ) as bar,
    ):
        told(lambda: held.enter_context(locked(folder)))
        told(lambda: write_lasting(folder, prepared, folds))
        try:
            for order, fold in enumerate(folds):
                target = folder / f"fold_{fold}"
                if not told((target / "result.json").exists):
                    bar.set_description(f"fold {order + 1}/{len(folds)}")
                    _run_fold(blocks, prepared, learner, target, fold, steps, bar, should_stop)
                    if anyone(should_stop()):
                        raise Interrupted
                # Early stops and folds done before leave steps out; they count neither as done nor as left.
                bar.total = bar.n + (len(folds) - order - 1) * steps * options.epochs
                bar.refresh()
        except Interrupted:
            raise Interrupted(told(lambda: read_object(folder / "run.json", "resume")["resume"])) from None
        bar.set_description(title)

        def draw() -> list[str]:
            drawn: list[Path] = []
            if blocks.run.pictures:
                drawn += draw_pictures(folder, prepared.cells, prepared.taxonomy, folds=folds, title=title)
            if blocks.run.explain:
                drawn += explain_fold(blocks, prepared, learner, folder, folds[0], title)
            return [str(path) for path in drawn]

        pictures = told(draw)
        # Last: with it, a run is done, and a set of runs goes on to the next.
        summary = told(lambda: write_summary(folder, prepared.cells, folds=folds, title=title))
    return summary | {"pictures": pictures}


def train_fold(
    blocks: Blocks, prepared: Prepared, learner: Learner, folder: Path, fold: int, *, should_stop: Callable[[], bool]
) -> int:
    """Train and assess one fold of a run, beside processes that do other folds of it; not if it is done.

    Args:
        blocks: Options.
        prepared: From `prepare`, of the same options.
        learner: From `learner_of`, of the same options.
        folder: Of the run, in which `write_lasting` has been.
        fold: Number.
        should_stop: Asked between steps.

    Returns:
        The steps that were done before.

    Raises:
        InUse: if another process is working on this fold, or on the run as a whole.
        Interrupted: if ``should_stop`` said so; everything is saved.
    """
    target, steps = folder / f"fold_{fold}", steps_of(blocks, prepared)
    target.mkdir(exist_ok=True)
    total = steps * blocks.train.epochs
    with locked(folder, shared=True), locked(target), tqdm(total=total, disable=True) as bar:
        if (target / "result.json").exists():
            return total
        _run_fold(blocks, prepared, learner, target, fold, steps, bar, should_stop)
    # What was done before is taken off the total when a training starts.
    return total - bar.total


def steps_of(blocks: Blocks, prepared: Prepared) -> int:
    """Steps of an epoch.

    The largest training part decides for all folds, trained now or not, so that they share one schedule and one
    compilation.
    """
    largest = max(len(train_rows) for train_rows, _, _ in prepared.parts)
    return -(-largest // (blocks.train.classes_per_batch * blocks.train.per_class))


def write_lasting(folder: Path, prepared: Prepared, folds: tuple[int, ...]) -> None:
    """What all folds share and no checkpoint has: with it, a run's folder alone predicts on another machine."""
    write_json(folder / "taxonomy.json", to_json(prepared.taxonomy))
    # Cells that no fold trains on have no say in anything that is kept.
    trained = np.unique(np.concatenate([prepared.parts[fold][0] for fold in folds]))
    write_stain(folder / "stain.json", prepared.cells.images, trained)
    kept = folder / "untrained.npz"
    if prepared.untrained is None:
        return
    if not kept.exists():
        write_arrays(kept, prepared.untrained)
    # Not anew: where another processor goes on, last bits differ, by which predictions of the folds before are known.
    elif not _alike(read_flat(kept), flatten_dict(prepared.untrained, sep="/")):
        raise InputError(f"{kept}: its weights are not those that this run has here; bring back what it was begun with")


def _alike(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether arrays of these names are the same up to rounding."""
    return first.keys() == second.keys() and all(
        first[k].shape == second[k].shape and np.allclose(first[k], second[k], 1e-3, 1e-5) for k in first
    )


def learner_of(blocks: Blocks, prepared: Prepared) -> Learner:
    """The network with its compiled programs, which all folds of a run share."""
    options, encoder, steps = blocks.train, blocks.encoder, steps_of(blocks, prepared)
    head = jax.eval_shape(lambda key: prepared.method.init_head(key, encoder.embedding_dim), jax.random.key(0))
    optimizer = adamw_cosine(
        {"encoder": prepared.variables["params"], "head": head},
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        steps=options.epochs * steps,
        frozen=() if encoder.precompute else prepared.model.stage_names[: encoder.frozen_stages],
    )
    return build(
        prepared.model,
        prepared.variables,
        prepared.method,
        optimizer,
        prepared.views.augment,
        prepared.devices,
        normalize=options.normalize,
        norm_weight=options.norm_weight,
    )


def _run_fold(
    blocks: Blocks,
    prepared: Prepared,
    learner: Learner,
    folder: Path,
    fold: int,
    steps: int,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> None:
    """Train a fold, assess it and write what comes out, ``result.json`` last: with it, the fold is done."""
    options = blocks.train
    train_rows, validation_rows, test_rows = prepared.parts[fold]
    plan = Plan(
        epochs=options.epochs,
        steps=steps,
        patience=options.patience,
        grid_every=options.grid_every,
        batches=partial(pk_batches, classes_per_batch=options.classes_per_batch, per_class=options.per_class),
        embed_batch=options.embed_batch,
        seed=1000 * options.seed + fold,
    )

    absent = np.setdiff1d(np.arange(len(prepared.cells.classes)), prepared.cells.labels[train_rows])
    if len(absent) and leads():
        names = ", ".join(prepared.cells.classes[c] for c in absent)
        tqdm.write(
            f"fold {fold}: no cell of {names} is in its training part, so none will be recognised there; use fewer "
            "folds, give more cells of it, or leave the class out"
        )

    def on_start(done: int) -> None:
        bar.total -= done
        bar.refresh()

    def on_epoch(row: dict[str, Any]) -> None:
        bar.set_postfix_str(f"epoch {row['epoch'] + 1}, validation macro-F {row['macro_f1']:.3f}")
        for words in row["warnings"] if leads() and not bar.disable else ():
            tqdm.write(f"fold {fold}, epoch {row['epoch'] + 1}: {words}")

    state, history = train(
        learner,
        training_cells(prepared, fold),
        plan,
        folder,
        on_start=on_start,
        on_step=bar.update,
        on_epoch=on_epoch,
        should_stop=should_stop,
    )
    z, goal = _embed_all(blocks, prepared, learner, state, plan, train_rows)

    def assess() -> None:
        result = assess_fold(
            folder,
            z=z,
            cells=prepared.cells,
            taxonomy=prepared.taxonomy,
            rows=(train_rows, validation_rows, test_rows),
            goal=goal,
            seed=options.seed,
            severity=prepared.severity,
            decision=blocks.run.decision,
        )
        write_json(folder / "result.json", {"fold": fold, "epochs": len(history), "history": history} | result)

    told(assess)


def _embed_all(
    blocks: Blocks, prepared: Prepared, learner: Learner, state: TrainState, plan: Plan, train_rows: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Embeddings of all cells, averaged over flips and quarter turns if asked for, and the goal that fits them."""
    mapped, everyone = parallel.replicate(state, prepared.devices), np.arange(len(prepared.cells))

    def embed(k: int) -> np.ndarray:
        batch, devices = plan.embed_batch, prepared.devices
        return embed_cells(learner.embed, mapped, lambda rows: prepared.views.view(rows, k), everyone, batch, devices)

    if not blocks.run.tta:
        return embed(0), state.goal
    z = np.mean([embed(k) for k in range(VIEWS)], 0)
    if blocks.train.normalize:
        z = np.asarray(unit(jnp.asarray(z)))
    if "curves" not in (state.goal or {}):
        return z, state.goal
    # The method's own curves were fitted to single views.
    y = jnp.asarray(prepared.cells.labels[train_rows])
    return z, learner.refit(jnp.asarray(z[train_rows]), y, state.goal, jax.random.key(plan.seed))
