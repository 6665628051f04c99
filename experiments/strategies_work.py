"""What a run of training strategies works with: cells, folds, sets to pre-train on, networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.checks import check_explained
from experiments.outcome import Judged
from experiments.prepare import check_only_folds, devices_for, find_severity, read_cells, with_weights
from experiments.runs import digest_of, severity_of
from experiments.strategies_options import DROPOUT, Config, Row, rows_of, sets_of
from experiments.trainings import steps_of
from smrjax.data import DATASETS, CellSet, load
from smrjax.data.channels import channel_statistics
from smrjax.data.folds import make_folds, nested_folds
from smrjax.encoders import ENCODERS, Channels
from smrjax.errors import InputError
from smrjax.explain import map_sizes
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
    severity, severity_file = find_severity(data, cells.classes)
    if severity is None and config.run.decision == "severity":
        raise InputError("--decision severity needs a severity matrix of these classes; give one by --severity-file")
    devices = devices_for(recipe.devices, recipe.batch)
    sets: dict[str, CellSet] = {}
    rows, left_out = [], {}
    for row in rows_of(config.strategy):
        try:
            check_row(config, row, cells.classes)
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


def check_row(config: Config, row: Row, classes: tuple[str, ...]) -> None:
    """Make sure that a row has its weights and its network fits the images.

    Raises:
        InputError: if not.
    """
    if row.begin not in ("random", "imagenet") and not Path(row.begin).exists():
        raise InputError(f"--init {row.begin}: there is no such file or folder; or say random or imagenet")
    model, size = model_of(config, row.encoder, None), config.data.image_size
    try:
        variables = jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, size, size, 3))), jax.random.key(0))
    except (ValueError, ZeroDivisionError, TypeError) as error:
        raise InputError(f"--image-size {size}: too small for {row.encoder} ({str(error).splitlines()[0]})") from error
    check_explained(config.run, classes, map_sizes(model, variables, size, size))
    # Read now and again when it is the row's turn: a wrong file is not to end a run of hours.
    with_weights(variables, row.encoder, row.begin)


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
