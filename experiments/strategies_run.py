"""What a run of training strategies works with, and its rows, each as far as it is not done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.outcome import Judged, write_outcome
from experiments.prepare import check_only_folds, devices_for, find_severity, first_variables, read_cells
from experiments.runs import digest_of, severity_of
from experiments.strategies_options import DROPOUT, Config, Row, rows_of, sets_of
from experiments.trainings import cells_of, find_rate, fit, learner_of, probabilities, steps_of
from smrjax.data import DATASETS, CellSet, load
from smrjax.data.channels import channel_statistics
from smrjax.data.folds import make_folds, nested_folds
from smrjax.encoders import ENCODERS, Channels, imagenet_weights
from smrjax.errors import InputError
from smrjax.evaluate import least_severe
from smrjax.train.folder import read_json, write_json
from smrjax.train.learner import Learner
from smrjax.train.step import AXIS

#: Rows to train on, and rows that say which epoch is the best.
Split = tuple[np.ndarray, np.ndarray]
#: Of what is not tested, one part in so many says which epoch is the best (BM, section 2.2: 64, 16 and 20 %).
PARTS = 5


@dataclass(frozen=True)
class Work:
    """Everything that a run works with, read before its folder is made.

    Attributes:
        judged: The cells, their folds and how to score.
        rows: Of the table; those of ``--table4`` without weights or data are left out.
        left_out: Row -> why.
        sets: Name -> the cells to pre-train on.
        channels: Name, or "" for the cells themselves -> statistics of their colours.
        devices: On which networks are trained.
        severity: As run.json has it.
        identity: What a resume must find as it was.
    """

    judged: Judged
    rows: tuple[Row, ...]
    left_out: dict[str, str]
    sets: dict[str, CellSet]
    channels: dict[str, Channels]
    devices: list[jax.Device]
    severity: dict[str, Any]
    identity: dict[str, str]


def ready(config: Config) -> Work:
    """Read the cells and the sets to pre-train on, and split them.

    Raises:
        InputError: for anything that does not fit.
    """
    data, recipe = config.data, config.recipe
    cells, taxonomy = read_cells(data, data.image_size)
    nested = _folds(config, cells)
    check_only_folds(data, len(nested))
    for code in config.strategy.explain_classes:
        if code not in cells.classes:
            raise InputError(f"--explain-classes {code}: there is no such class; there are {', '.join(cells.classes)}")
    severity, severity_file = find_severity(data, cells.classes)
    if severity is None and config.run.decision == "severity":
        raise InputError("--decision severity needs a severity matrix of these classes; give one by --severity-file")
    devices = devices_for(recipe.devices, recipe.batch)
    sets: dict[str, CellSet] = {}
    rows, left_out = [], {}
    for row in rows_of(config.strategy):
        try:
            check_row(config, row)
            for name in row.sets:
                sets[name] = sets.get(name) or _set(config, name)
            rows.append(row)
        except InputError as error:
            if not config.strategy.table4:
                raise
            left_out[str(row)] = str(error)
    if not rows:
        raise InputError(f"--table4: there are weights and data for no row; {next(iter(left_out.values()))}")
    used = {name: some for name, some in sets.items() if any(name in row.sets for row in rows)}
    channels = {name: Channels(*channel_statistics(some.images)) for name, some in {"": cells, **used}.items()}
    judged = Judged(cells, taxonomy, nested, severity)
    identity = {
        "cells": cells.digest,
        "folds": digest_of(nested),
        "severities": digest_of(severity),
        **{f"cells of {name}": some.digest for name, some in used.items()},
    }
    return Work(judged, tuple(rows), left_out, used, channels, devices, severity_of(severity, severity_file), identity)


def _folds(config: Config, cells: CellSet) -> np.ndarray:
    """Which part of each fold a cell is in: see `nested_folds`.

    Raises:
        InputError: for a class that is too small for them.
    """
    try:
        return nested_folds(
            cells.labels,
            groups=cells.groups,
            given=cells.folds,
            n_folds=config.data.folds,
            inner_folds=PARTS,
            seed=config.recipe.seed,
            classes=cells.classes,
        )
    except InputError as error:
        raise InputError(
            f"{error} (of what a fold does not test, one cell in {PARTS} says which epoch is best)"
        ) from None


def check_row(config: Config, row: Row) -> None:
    """Make sure that a row has its weights and its network fits the images.

    Raises:
        InputError: if not.
    """
    if row.begin == "imagenet":
        imagenet_weights(row.encoder)
    elif row.begin != "random" and not Path(row.begin).exists():
        raise InputError(f"--init {row.begin}: there is no such file or folder; or say random or imagenet")
    model, size = model_of(config, row.encoder, None), config.data.image_size
    try:
        jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, size, size, 3))), jax.random.key(0))
    except (ValueError, ZeroDivisionError, TypeError) as error:
        raise InputError(f"--image-size {size}: too small for {row.encoder} ({str(error).splitlines()[0]})") from error


def _set(config: Config, name: str) -> CellSet:
    """The cells of a set to pre-train on.

    Raises:
        InputError: if it is not known, cannot be read, or has a single class.
    """
    given = sets_of(config.strategy)
    if name not in given and name not in DATASETS:
        raise InputError(f"--init …{name}: which cells are {name}? Say --pretrain {name}=FOLDER")
    data = config.data
    cells = load(
        given.get(name, name), size=data.image_size, count=data.count, seed=data.render_seed, cache_dir=data.cache
    )
    if len(cells.classes) < 2:
        raise InputError(f"--pretrain {name}: it has a single class; there is nothing to tell apart")
    return cells


def model_of(config: Config, encoder: str, channels: Channels | None) -> Any:
    """An encoder without an embedding layer, for images of these colours."""
    options, recipe = config.strategy, config.recipe
    own = {} if channels is None else {"channels": channels}
    return ENCODERS[encoder](
        embedding_dim=0,
        dropout=DROPOUT.get(encoder, 0.0) if options.dropout is None else options.dropout,
        dtype=jnp.bfloat16 if recipe.bfloat16 else jnp.float32,
        axis_name=AXIS,
        **own,
    )


def fold_numbers(config: Config, work: Work) -> tuple[int, ...]:
    """The folds that are trained."""
    return config.data.only_folds or tuple(range(len(work.judged.nested)))


def parts_of(work: Work, fold: int) -> tuple[Split, np.ndarray]:
    """Rows to train on, to choose the epoch by, and to test."""
    inner = work.judged.nested[fold]
    return (np.flatnonzero(inner > 0), np.flatnonzero(inner == 0)), np.flatnonzero(inner < 0)


def fold_steps(config: Config, work: Work) -> int:
    """Steps of an epoch, the same in all folds."""
    return steps_of(max(int((inner > 0).sum()) for inner in work.judged.nested), config.recipe)


def set_split(config: Config, cells: CellSet) -> Split:
    """The parts of a set to pre-train on: the first fold chooses the epoch, where the set prescribes no other."""
    folds = make_folds(
        cells.labels,
        groups=cells.groups,
        given=cells.folds,
        n_folds=PARTS,
        seed=config.recipe.seed,
        classes=cells.classes,
    )
    return np.flatnonzero(folds > 0), np.flatnonzero(folds == 0)


def run_rows(config: Config, work: Work, folder: Path, should_stop: Callable[[], bool]) -> None:
    """Do whatever is left of all rows: pre-training, range tests, folds.

    Raises:
        Interrupted: if ``should_stop`` said so; what was done is on disk.
        InputError: if a training diverges, or a row's first weights are no longer those that it began with.
    """
    with tqdm(total=steps_left(config, work, folder), unit="step", dynamic_ncols=True, smoothing=0.05) as bar:
        if not bar.total:
            bar.disable = True
        for row in work.rows:
            if row_done(config, work, folder, row):
                continue
            _run_row(config, work, folder, row, bar, should_stop)


def steps_left(config: Config, work: Work, folder: Path) -> int:
    """Steps of everything that is not finished."""
    recipe, total = config.recipe, 0
    pretrained: set[Path] = set()
    sweep = recipe.lr_steps if recipe.lr == "auto" else 0
    for row in work.rows:
        if row_done(config, work, folder, row):
            continue
        for stage in stages_of(row):
            target = folder / pretraining_folder(stage)
            if target in pretrained or (target / "result.json").exists():
                continue
            pretrained.add(target)
            train_rows, _ = set_split(config, work.sets[stage.sets[-1]])
            total += recipe.epochs * steps_of(len(train_rows), recipe) + sweep * (not (target / "lr.json").exists())
        total += sweep * (not (folder / row.folder / "lr.json").exists())
        folds = [f for f in fold_numbers(config, work) if not fold_done(folder, row, f)]
        total += len(folds) * recipe.epochs * fold_steps(config, work)
    return total


def stages_of(row: Row) -> list[Row]:
    """The pre-trainings of a row, each on top of the one before."""
    return [Row(row.encoder, row.begin, row.sets[: i + 1]) for i in range(len(row.sets))]


def pretraining_folder(stage: Row) -> str:
    """Below the run's folder; shared by all rows that begin like this."""
    return f"{stage.encoder}/pretraining/{stage.init}"


def fold_done(folder: Path, row: Row, fold: int) -> bool:
    """Whether a fold of a row is finished."""
    return (folder / row.folder / f"fold_{fold}" / "result.json").exists()


def row_done(config: Config, work: Work, folder: Path, row: Row) -> bool:
    """Whether all folds of a row are finished."""
    return all(fold_done(folder, row, fold) for fold in fold_numbers(config, work))


def _run_row(config: Config, work: Work, folder: Path, row: Row, bar: tqdm, should_stop: Callable[[], bool]) -> None:
    recipe, cells, run = config.recipe, work.judged.cells, config.run
    for stage in stages_of(row):
        if not (folder / pretraining_folder(stage) / "result.json").exists():
            _pretrain(config, work, folder, stage, bar, should_stop)
            bar.total = bar.n + steps_left(config, work, folder)
    model = model_of(config, row.encoder, work.channels[""])
    variables = begin(config, folder, model, row)
    target = folder / row.folder
    _check_begin(target, variables)
    learner = learner_of(model, variables, len(cells.classes), recipe, work.devices, crop=True)
    folds = fold_numbers(config, work)
    bar.set_description(f"{row}, learning rate")
    split, _ = parts_of(work, folds[0])
    title = f"{row}: learning rate range test"
    rate = find_rate(target, learner, cells_of(cells, *split), recipe, title=title, bar=bar, should_stop=should_stop)
    for fold in folds:
        if fold_done(folder, row, fold):
            continue
        bar.total = bar.n + steps_left(config, work, folder)
        bar.set_description(f"{row}, fold {fold}")
        split, asked = parts_of(work, fold)
        place, part, steps = target / f"fold_{fold}", cells_of(cells, *split), fold_steps(config, work)
        state, history = fit(place, learner, part, recipe, rate, steps, bar=bar, should_stop=should_stop)
        chances = probabilities(learner, state, cells.images, asked, recipe, views=run.tta)
        severity = work.judged.severity if run.decision == "severity" else None
        predicted = chances.argmax(1) if severity is None else least_severe(chances, severity)
        about = {"learning_rate": rate, "epochs": len(history), "history": history}
        np.save(place / "probabilities.npy", chances.astype(np.float32))
        write_outcome(place, work.judged, fold, predicted, about)


def begin(config: Config, folder: Path, model: Any, row: Row) -> Any:
    """The variables that a row's folds begin with: those of its last pre-training, or of ``row.begin``."""
    init = str(folder / pretraining_folder(row)) if row.sets else row.begin
    return first_variables(model, row.encoder, init, size=config.data.image_size, seed=config.recipe.seed)


def _check_begin(target: Path, variables: Any) -> None:
    """Note what a row began with, or make sure that it still is that."""
    digest, path = digest_of(variables), target / "begin.json"
    if not path.exists():
        target.mkdir(parents=True, exist_ok=True)
        write_json(path, {"initial weights": digest})
    elif read_json(path)["initial weights"] != digest:
        raise InputError(
            f"{target}: the initial weights are no longer those the row began with, so its folds would not belong "
            "together; bring them back, or begin a new run"
        )


def _pretrain(config: Config, work: Work, folder: Path, stage: Row, bar: tqdm, should_stop: Callable[[], bool]) -> None:
    """Train on the last set of a stage, without random crops, by that set's own colours (BM, section 2.4.2)."""
    name, recipe, target = stage.sets[-1], config.recipe, folder / pretraining_folder(stage)
    cells = work.sets[name]
    model = model_of(config, stage.encoder, work.channels[name])
    before = Row(stage.encoder, stage.begin, stage.sets[:-1])
    variables = begin(config, folder, model, before)
    learner: Learner = learner_of(model, variables, len(cells.classes), recipe, work.devices, crop=False)
    part, words = cells_of(cells, *set_split(config, cells)), f"{stage.encoder}, pre-training {stage.init}"
    bar.set_description(f"{words}, learning rate")
    title = f"{words}: learning rate range test"
    rate = find_rate(target, learner, part, recipe, title=title, bar=bar, should_stop=should_stop)
    bar.set_description(words)
    steps = steps_of(len(part.train), recipe)
    _, history = fit(target, learner, part, recipe, rate, steps, bar=bar, should_stop=should_stop)
    result = {"data": cells.name, "classes": list(cells.classes), "learning_rate": rate, "epochs": len(history)}
    write_json(target / "result.json", result | {"history": history})
