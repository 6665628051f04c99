"""Cross-validation of one method: train, assess and write each fold, then sum up; shared by all experiments."""

import hashlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.checks import check_options
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.pictures import draw_pictures
from experiments.runtime import stop_flag
from experiments.summary import write_summary
from experiments.views import VIEWS, Views, of_features, of_images, precompute
from smrjax.data import CellSet, load
from smrjax.data.augment import augment
from smrjax.data.folds import make_folds, split
from smrjax.encoders import ENCODERS, load_torch_weights
from smrjax.errors import InputError
from smrjax.guides import find_matrix, read_matrix
from smrjax.method import Method
from smrjax.taxonomy import Taxonomy, for_classes, load_taxonomy, parse_lineages
from smrjax.train import parallel
from smrjax.train.assess import assess_fold
from smrjax.train.folder import create_run, locked, read_json, write_json
from smrjax.train.loop import Cells, Interrupted, Learner, Plan, build, embed_cells, train
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.state import TrainState
from smrjax.train.step import AXIS, unit


class Blocks(Protocol):
    """The option blocks that the configuration of every experiment has."""

    @property
    def data(self) -> DataOptions:
        """Which cells."""

    @property
    def encoder(self) -> EncoderOptions:
        """The network."""

    @property
    def train(self) -> TrainOptions:
        """Optimisation."""

    @property
    def run(self) -> RunOptions:
        """Where results go."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is read or built before a run folder is made, so that bad input leaves nothing behind."""

    cells: CellSet
    taxonomy: Taxonomy
    method: Method
    severity: np.ndarray | None
    fold_of: np.ndarray
    views: Views
    model: Any
    variables: Any
    devices: list[jax.Device]


def prepare(blocks: Blocks, method_of: Callable[[Taxonomy], Method]) -> Prepared:
    """Read the cells, check the options against them, build the method and the encoder.

    Args:
        blocks: Options.
        method_of: Taxonomy -> method; raises `InputError` where they do not fit.

    Raises:
        InputError: for anything in them that does not fit.
    """
    data, options = blocks.data, blocks.train
    check_options(data, blocks.encoder, options)
    cells = load(data.data, size=data.image_size, count=data.count, cache_dir=data.cache)
    own = load_taxonomy(data.taxonomy) if data.taxonomy else None
    taxonomy = for_classes(cells.classes, parse_lineages(data.lineages), own=own, name=cells.name)
    severity = _severity(data, cells.classes)
    if severity is None and blocks.run.decision == "severity":
        raise InputError("--decision severity needs a severity matrix of these classes; give one by --severity-file")
    method = method_of(taxonomy)
    fold_of = make_folds(
        cells.labels,
        groups=cells.groups,
        given=cells.folds,
        n_folds=data.folds,
        seed=options.seed,
        classes=cells.classes,
    )
    n_folds = int(fold_of.max()) + 1
    for fold in data.only_folds:
        if not 0 <= fold < n_folds:
            raise InputError(f"--only-folds {fold}: there are folds 0 to {n_folds - 1}")
    devices = _devices(options)
    model, variables = _encoder(blocks)
    augmentation = partial(augment, **{k: getattr(options, k) for k in ("rotation", "flips", "crop", "zoom", "stain")})
    views = of_images(cells.images, augmentation)
    if blocks.encoder.precompute:
        features, model, variables = precompute(cells, model, variables, blocks.encoder.frozen_stages, data.cache)
        views = of_features(features)
    return Prepared(cells, taxonomy, method, severity, fold_of, views, model, variables, devices)


def _severity(data: DataOptions, classes: tuple[str, ...]) -> np.ndarray | None:
    if data.severity_file:
        return read_matrix(data.severity_file, classes)
    return find_matrix("severity", classes)


def _devices(options: TrainOptions) -> list[jax.Device]:
    """The devices asked for; of all there are, as many as a batch can be split over."""
    here, batch = jax.devices(), options.classes_per_batch * options.per_class
    if options.devices > len(here):
        raise InputError(f"--devices {options.devices}: there are {len(here)} here")
    count = options.devices or max(n for n in range(1, len(here) + 1) if batch % n == 0)
    if batch % count:
        raise InputError(
            f"a batch of {options.classes_per_batch} classes x {options.per_class} cells cannot be split evenly over "
            f"{count} devices; change --per-class or --devices"
        )
    return here[:count]


def _encoder(blocks: Blocks) -> tuple[Any, Any]:
    """The encoder and its first variables."""
    options, size = blocks.encoder, blocks.data.image_size
    model = ENCODERS[options.encoder](
        embedding_dim=options.embedding_dim,
        dropout=options.dropout,
        dtype=jnp.bfloat16 if options.bfloat16 else jnp.float32,
        frozen_stages=options.frozen_stages,
        axis_name=AXIS,
    )
    last = len(model.stage_names) - 1
    if not 0 <= options.frozen_stages <= last:
        raise InputError(f"--frozen-stages {options.frozen_stages}: {options.encoder} has 0 to {last} to freeze")
    if options.precompute and not options.frozen_stages:
        raise InputError("--precompute stores what frozen stages return: say how many by --frozen-stages")
    # Of the random generators, rbg compiles twice as fast for the many draws of an initialisation.
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, size, size, 3)), train=False))(
        jax.random.key(blocks.train.seed, impl="rbg")
    )
    if options.init != "random":
        variables = load_torch_weights(options.init, options.encoder, variables)
    return model, variables


def start_run(blocks: Blocks, prepared: Prepared, experiment: str, name: str, config: dict[str, Any]) -> Path:
    """A new run folder with `config.json`, and in `run.json` what a resume must find again.

    Args:
        blocks: Options.
        prepared: From `prepare`, of the same options.
        experiment: The module, ``smr`` of ``experiments.smr``.
        name: Of the run.
        config: All options as JSON values.

    Raises:
        InputError: if the folder exists or cannot be written.
    """
    folder = create_run(blocks.run.out, experiment, name)
    write_json(folder / "config.json", config)
    command = shlex.join(["python", "-m", f"experiments.{experiment}", *sys.argv[1:]])
    resume = shlex.join(["python", "-m", f"experiments.{experiment}", "--resume", str(folder)])
    write_json(folder / "run.json", {"command": command, "resume": resume} | _identity(prepared))
    return folder


def check_same(folder: Path, prepared: Prepared) -> None:
    """Refuse to go on with a run on other cells, folds or initial weights.

    Raises:
        InputError: which of them differ.
    """
    stored = read_json(folder / "run.json")
    for what, digest in _identity(prepared).items():
        if stored.get(what) != digest:
            raise InputError(
                f"{folder}: the {what} are no longer those the run began with, so test cells may have been trained on; "
                "bring them back, or begin a new run"
            )


def resume_command(folder: Path) -> str:
    """What to type to go on with a run."""
    return read_json(folder / "run.json")["resume"]


def _identity(prepared: Prepared) -> dict[str, str]:
    weights = hashlib.sha256()
    for leaf in jax.tree.leaves(prepared.variables):
        weights.update(np.asarray(leaf).tobytes())
    folds = hashlib.sha256(np.asarray(prepared.fold_of, np.int32).tobytes())
    return {"cells": prepared.cells.digest, "folds": folds.hexdigest(), "initial weights": weights.hexdigest()}


def cross_validate(blocks: Blocks, prepared: Prepared, folder: Path, *, title: str) -> dict[str, Any]:
    """Train and assess every fold that is not done yet, then write the summary and the pictures.

    Args:
        blocks: Options.
        prepared: From `prepare`, of the same options.
        folder: The run's folder.
        title: Name of the method, for tables and pictures.

    Returns:
        The summary.

    Raises:
        Interrupted: with the command that goes on, if the user stopped it; everything is saved.
    """
    options = blocks.train
    every = range(int(prepared.fold_of.max()) + 1)
    folds = blocks.data.only_folds or tuple(every)
    # The largest training part decides for all folds, trained now or not, so that they share one schedule and one
    # compilation.
    largest = max(len(split(prepared.fold_of, fold)[0]) for fold in every)
    steps = -(-largest // (options.classes_per_batch * options.per_class))
    learner = _learner(blocks, prepared, steps)
    with (
        locked(folder),
        stop_flag() as should_stop,
        tqdm(
            total=steps * options.epochs * len(folds), unit="step", desc=title, dynamic_ncols=True, smoothing=0.05
        ) as bar,
    ):
        for order, fold in enumerate(folds):
            target = folder / f"fold_{fold}"
            if not (target / "result.json").exists():
                bar.set_description(f"fold {order + 1}/{len(folds)}")
                try:
                    result = _run_fold(blocks, prepared, learner, target, fold, steps, bar, should_stop)
                    write_json(target / "result.json", result)
                    if should_stop() and fold != folds[-1]:
                        raise Interrupted
                except Interrupted:
                    raise Interrupted(resume_command(folder)) from None
            # Early stops and folds done before leave steps out; they count neither as done nor as left.
            bar.total = bar.n + (len(folds) - order - 1) * steps * options.epochs
            bar.refresh()
        bar.set_description(title)
        summary = write_summary(folder, prepared.cells, folds=folds, title=title)
    if blocks.run.pictures:
        summary["pictures"] = draw_pictures(folder, prepared.cells, prepared.taxonomy, folds=folds, title=title)
    return summary


def _learner(blocks: Blocks, prepared: Prepared, steps: int) -> Learner:
    options, encoder = blocks.train, blocks.encoder
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
) -> dict[str, Any]:
    cells, options, views = prepared.cells, blocks.train, prepared.views
    train_rows, validation_rows, test_rows = split(prepared.fold_of, fold)
    lineages = {
        line.name: np.array([cells.classes.index(c) for c in line.classes]) for line in prepared.taxonomy.lineages
    }
    plan = Plan(
        epochs=options.epochs,
        steps=steps,
        patience=options.patience,
        grid_every=options.grid_every,
        classes_per_batch=options.classes_per_batch,
        per_class=options.per_class,
        embed_batch=-(-options.embed_batch // len(prepared.devices)) * len(prepared.devices),
        seed=1000 * options.seed + fold,
    )

    def on_start(done: int) -> None:
        bar.total -= done
        bar.refresh()

    def on_epoch(row: dict[str, Any]) -> None:
        bar.set_postfix_str(f"epoch {row['epoch'] + 1}, validation macro-F {row['macro_f1']:.3f}")
        for words in row["warnings"]:
            tqdm.write(f"fold {fold}, epoch {row['epoch'] + 1}: {words}")

    state, history = train(
        learner,
        Cells(views.read, lambda rows: views.view(rows, 0), cells.labels, lineages, train_rows, validation_rows),
        plan,
        folder,
        on_start=on_start,
        on_step=bar.update,
        on_epoch=on_epoch,
        should_stop=should_stop,
    )
    z, goal = _embed_all(blocks, prepared, learner, state, plan, train_rows)
    result = assess_fold(
        folder,
        z=z,
        cells=cells,
        taxonomy=prepared.taxonomy,
        rows=(train_rows, validation_rows, test_rows),
        goal=goal,
        seed=options.seed,
        severity=prepared.severity,
        decision=blocks.run.decision,
    )
    return {"fold": fold, "epochs": len(history), "history": history} | result


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
    # The method's own curves were fitted to single views.
    y = jnp.asarray(prepared.cells.labels[train_rows])
    return z, learner.refit(jnp.asarray(z[train_rows]), y, state.goal, jax.random.key(plan.seed))
