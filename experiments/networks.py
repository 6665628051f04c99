"""Nested cross-validation of plain networks, through the same training loop as every other method (OOTB, 3.2 and 4)."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.config import TrainOptions
from experiments.kinds import read_kind
from experiments.nested import seed_of
from experiments.outcome import Judged, write_outcome
from experiments.prepare import Parts, augmentation
from smrjax.data.sampling import shuffled_batches
from smrjax.errors import InputError
from smrjax.evaluate import m_score
from smrjax.evaluate.scores import M_SCORE_FLOOR
from smrjax.files import write_json
from smrjax.method import network
from smrjax.train import parallel
from smrjax.train.learner import Cells, Learner, Plan, build, embed_cells
from smrjax.train.loop import Diverged, train
from smrjax.train.optimizer import adam

#: What is searched: the paper names learning rate and batch size, the ranges are ours.
RATES = (1e-5, 1e-2)
BATCHES = (16, 32, 64)


def draw_sets(sets: int, *, seed: int) -> list[dict[str, Any]]:
    """Learning rates, even on a logarithmic scale, and batch sizes; a longer list begins with the shorter one.

    Example:
        >>> draw_sets(2, seed=0) == draw_sets(3, seed=0)[:2]
        True
    """
    rng = np.random.default_rng(seed)
    low, high = np.log(RATES)
    return [
        {"learning_rate": float(np.exp(rng.uniform(low, high))), "batch": int(rng.choice(BATCHES))} for _ in range(sets)
    ]


def learner_of(model: Any, variables: Any, n_classes: int, options: TrainOptions, devices: list[jax.Device]) -> Learner:
    """A network with its compiled programs, which all its trainings share.

    Args:
        model: Encoder without an embedding layer.
        variables: Where every training starts.
        n_classes: C.
        options: Augmentation.
        devices: As many as divide all `BATCHES`.
    """
    return build(
        model,
        variables,
        network(n_classes),
        adam(1.0),
        augmentation(options),
        devices,
        normalize=False,
        norm_weight=0.0,
    )


def search_fold(
    folder: Path,
    learner: Learner,
    judged: Judged,
    fold: int,
    options: TrainOptions,
    *,
    sets: int,
    parts: int,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> None:
    """Try learning rates and batch sizes on the inner folds, train with the best on all but one of them, test once.

    Inner fold k judges what was trained on the others but fold k + 1, whose macro-F says which epoch is the best. The
    last training stops early by fold 0. A training that diverges scores as low as can be.

    Args:
        folder: Of this network and outer fold.
        learner: From `learner_of`.
        judged: Labels, folds and how to score; its images are the network's.
        fold: Which outer fold is tested.
        options: Epochs, patience, augmentation, devices and seed.
        sets: Of hyper-parameters to try.
        parts: Inner folds that judge each set.
        bar: Moves on by one an epoch; epochs left out are taken off its total.
        should_stop: Asked between steps.

    Raises:
        Interrupted: if it said so; the state of the training is on disk.
        InputError: if every set diverges, or a score of an earlier call is damaged.
    """
    cells, inner = judged.cells, judged.nested[fold]
    n_inner = int(inner.max()) + 1
    drawn = draw_sets(sets, seed=seed_of(options.seed, fold))
    tried: list[dict[str, Any]] = []

    def run(target: Path, one: dict[str, Any], asked: np.ndarray, validation: int) -> tuple[np.ndarray, int]:
        """Classes of the cells asked for, and the epochs that it took."""
        rows = np.setdiff1d(np.flatnonzero(inner >= 0), asked)
        held = inner[rows] == validation
        # Trainings at different rates share their compiled programs: the rate is in the optimiser's state.
        own = replace(learner, optimizer=adam(one["learning_rate"]))
        split = (rows[~held], rows[held], asked)
        return _train_and_predict(own, judged, options, target, one["batch"], split, bar, should_stop)

    for number, one in enumerate(drawn):
        scores = []
        for part in range(parts):
            target = folder / f"set_{number}" / f"part_{part}"
            if not (target / "score.json").exists():
                asked = np.flatnonzero(inner == part)
                try:
                    predicted, epochs = run(target, one, asked, (part + 1) % n_inner)
                    score = m_score(cells.labels[asked], predicted)
                except Diverged:
                    score, epochs = len(cells.classes) * float(np.log(M_SCORE_FLOOR)), 0
                target.mkdir(parents=True, exist_ok=True)
                write_json(target / "score.json", {"score": score, "epochs": epochs})
                shutil.rmtree(target / "checkpoints", ignore_errors=True)
            else:
                bar.total -= options.epochs
            scores.append(read_kind(target / "score.json", {"score": float})["score"])
        tried.append({"params": one, "scores": scores, "score": float(np.mean(scores))})
    write_json(folder / "search.json", tried)
    # The best set that does not diverge on the larger training part either.
    for one in sorted(tried, key=lambda one: -one["score"]):
        target = folder / f"best_{tried.index(one)}"
        try:
            predicted, epochs = run(target, one["params"], np.flatnonzero(inner < 0), 0)
        except Diverged:
            bar.total += options.epochs
            continue
        about = {"params": one["params"], "inner_m_score": one["score"], "sets": sets, "epochs": epochs}
        write_outcome(folder, judged, fold, predicted, about)
        shutil.rmtree(target / "checkpoints", ignore_errors=True)
        return
    raise InputError(
        f"{folder}: every set of hyper-parameters diverged; begin a run with more --network-sets, or without it"
    )


def _train_and_predict(
    learner: Learner,
    judged: Judged,
    options: TrainOptions,
    target: Path,
    batch: int,
    split: Parts,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> tuple[np.ndarray, int]:
    """Train on the first part, stop early by the second, and classify the third; also the epochs that it took."""
    images, devices, (rows, held, asked) = judged.cells.images, learner.devices, split
    plan = Plan(
        epochs=options.epochs,
        steps=-(-len(rows) // batch),
        patience=options.patience,
        grid_every=1,
        batches=partial(shuffled_batches, batch=batch),
        embed_batch=options.embed_batch,
        seed=options.seed,
    )
    cells = Cells(images.__getitem__, images.__getitem__, judged.cells.labels, {}, rows, held)

    def on_start(done: int) -> None:
        bar.total -= done // plan.steps

    def on_epoch(row: dict[str, Any]) -> None:
        bar.update()
        bar.set_postfix_str(f"epoch {row['epoch'] + 1}, validation macro-F {row['macro_f1']:.3f}")

    others = bar.total - bar.n - options.epochs
    try:
        state, history = train(
            learner, cells, plan, target, on_start=on_start, on_epoch=on_epoch, should_stop=should_stop
        )
    finally:
        # An early stop leaves epochs out; they count neither as done nor as left.
        bar.total = bar.n + others
    mapped = parallel.replicate(state, devices)
    z = embed_cells(learner.embed, mapped, images.__getitem__, asked, options.embed_batch, devices)
    assert learner.method.predict is not None
    return np.asarray(learner.method.predict(jnp.asarray(z), state.params["head"])), len(history)
