"""What a run of training strategies works with: cells, folds, sets to pre-train on, networks."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.duplicates import Repeated, nested_sides_of
from experiments.first_weights import check_unseen, digest_of
from experiments.kinds import read_kind
from experiments.outcome import Judged
from experiments.prepare import (
    check_decision,
    check_only_folds,
    devices_for,
    duplicates_in,
    find_severity,
    read_cells,
)
from experiments.runs import severity_of
from experiments.strategies_networks import check_network, check_weights
from experiments.strategies_options import Config, Row, rows_of, sets_of
from experiments.strategies_recipe import steps_of
from smrjax.data import DATASETS, CellSet, load
from smrjax.data.channels import channel_statistics
from smrjax.data.folds import make_folds, nested_folds, split
from smrjax.encoders import Channels
from smrjax.errors import InputError

#: Rows to train on, and rows that say which epoch is the best.
Split = tuple[np.ndarray, np.ndarray]
#: Of what is not tested, one part in so many says which epoch is the best (BM, section 2.2: 64, 16 and 20 %).
PARTS = 5


#: What `Work.stored` puts into run.json, where older runs lack some of it.
_STORED = {
    "rows?": [{"encoder": str, "begin": str, "sets": [str]}],
    "left_out?": {str: str},
    **dict.fromkeys(("channels?", "fold_channels?"), {str: [[float]]}),
}


@dataclass(frozen=True)
class Domain:
    """A labelled set to pre-train on: its cells, which of them say what epoch is the best, its colours."""

    cells: CellSet
    split: Split
    channels: Channels


@dataclass(frozen=True)
class Work:
    """Everything that a run works with, read before its folder is made.

    Attributes:
        judged: The cells, their folds and how to score.
        channels: Statistics of the colours of each fold's training part, by fold.
        rows: Of the table; those of ``--table4`` without weights or data are left out.
        left_out: Row -> why.
        domains: Name -> the set to pre-train on.
        devices: On which networks are trained.
        severity: As run.json has it.
        identity: What a resume must find as it was.
        repeated: Duplicates among the cells and those of these sets.
    """

    judged: Judged
    channels: dict[int, Channels]
    rows: tuple[Row, ...]
    left_out: dict[str, str]
    domains: dict[str, Domain]
    devices: list[jax.Device]
    severity: dict[str, Any]
    identity: dict[str, str]
    repeated: Repeated

    def stored(self) -> dict[str, Any]:
        """What a resume takes from run.json instead of finding it anew."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "left_out": self.left_out,
            "channels": {name: domain.channels for name, domain in self.domains.items()},
            "fold_channels": {str(fold): channels for fold, channels in self.channels.items()},
        }


def read_stored(folder: Path) -> dict[str, Any]:
    """What a resume takes from run.json of a run's folder.

    Raises:
        InputError: if it is missing or damaged.
    """
    path = folder / "run.json"
    found: dict[str, Any] = read_kind(path, _STORED)
    of_folds = found.get("fold_channels", {})
    colours = [*found.get("channels", {}).values(), *of_folds.values()]
    if not all(name.isdecimal() for name in of_folds) or any([len(x) for x in both] != [3, 3] for both in colours):
        raise InputError(f"{path}: its colours are not those of sets and folds; it is damaged, or of another version")
    return found


def rows_in(stored: dict[str, Any]) -> list[Row]:
    """The rows of what `read_stored` read."""
    return [Row(one["encoder"], one["begin"], tuple(one["sets"])) for one in stored.get("rows", [])]


def ready(config: Config) -> Work:
    """Read the cells and the sets to pre-train on, split them, and make sure that every row can be trained.

    Raises:
        InputError: for anything that does not fit.
    """
    data, recipe = config.data, config.recipe
    run = read_stored(Path(config.run.resume)) if config.run.resume else {}
    known, of_folds = (
        {name: Channels(*map(tuple, both)) for name, both in run.get(name_of, {}).items()}
        for name_of in ("channels", "fold_channels")
    )
    cells, taxonomy = read_cells(data, data.image_size)
    folds = _folds(config, cells)
    check_only_folds(data, len(folds))
    severity, severity_file = find_severity(data, cells.classes)
    check_decision(config.run, severity)
    devices = devices_for(recipe.devices, recipe.batch)
    asked = rows_in(run)
    for encoder in dict.fromkeys(row.encoder for row in asked or rows_of(config.strategy)):
        check_network(config, encoder, cells.classes)
    domains: dict[str, Domain] = {}
    rows, left_out = [], dict(run.get("left_out", {}))
    for row in asked or rows_of(config.strategy):
        try:
            check_weights(config, row)
            for name in row.sets:
                domains[name] = domains.get(name) or _domain(config, name, cells, known.get(name))
            rows.append(row)
        except InputError as error:
            if not config.strategy.table4 or asked:
                raise
            left_out[str(row)] = str(error)
    if not rows:
        raise InputError(f"--table4: there are weights and data for no row; {next(iter(left_out.values()))}")
    used = {name: domain for name, domain in domains.items() if any(name in row.sets for row in rows)}
    for init in dict.fromkeys(row.begin for row in rows):
        check_unseen(init, cells, folds, data.only_folds or range(len(folds)), strict=data.strict_split)
    identity = {
        "cells": cells.digest,
        "folds": digest_of(folds),
        "severities": digest_of(severity),
        **{f"cells of {name}": domain.cells.digest for name, domain in used.items()},
    }
    return Work(
        judged=Judged(cells, taxonomy, folds, severity),
        channels={int(k): v for k, v in of_folds.items()}
        or fold_channels(cells, folds, data.only_folds or range(len(folds))),
        rows=tuple(rows),
        left_out=left_out,
        domains=used,
        devices=devices,
        severity=severity_of(severity, severity_file),
        identity=identity,
        repeated=duplicates_in(
            data, cells, nested_sides_of(folds), others={name: domain.cells for name, domain in used.items()}
        ),
    )


def _folds(config: Config, cells: CellSet) -> np.ndarray:
    """Of every fold, -1 for the cells tested, 0 for those that choose the epoch, more for those to train on.

    Where the data prescribe folds, the next one chooses the epoch, as in `split`; else a part of what is not tested.

    Returns:
        Int32[folds, N].

    Raises:
        InputError: for a class that is too small for them.
    """
    options: dict[str, Any] = {"seed": config.recipe.seed, "classes": cells.classes}
    if cells.folds is not None:
        given = make_folds(cells.labels, groups=cells.groups, given=cells.folds, **options)
        folds = np.ones((int(given.max()) + 1, len(cells)), np.int32)
        for k, row in enumerate(folds):
            _, validation, test = split(given, k)
            row[validation], row[test] = 0, -1
        return folds
    try:
        return nested_folds(cells.labels, groups=cells.groups, n_folds=config.data.folds, inner_folds=PARTS, **options)
    except InputError as error:
        raise InputError(
            f"{error} (of what a fold does not test, one cell in {PARTS} says which epoch is best)"
        ) from None


def fold_channels(cells: CellSet, folds: np.ndarray, numbers: Iterable[int]) -> dict[int, Channels]:
    """Statistics of the colours of each fold's training part, by fold; BM takes those of all cells, tests and all.

    Args:
        cells: N of them.
        folds: Int[folds, N], above 0 for cells to train on.
        numbers: Which folds.
    """
    return {k: Channels(*channel_statistics(cells.images, np.flatnonzero(folds[k] > 0))) for k in numbers}


def _domain(config: Config, name: str, cells: CellSet, channels: Channels | None) -> Domain:
    """The set of a name to pre-train on; its colours are read anew where they are not known.

    Where it prescribes folds, its fold 0 is left alone and fold 1 chooses the epoch; else a part of it chooses.

    Raises:
        InputError: if it is not known, cannot be read or split, or is the cells themselves.
    """
    given, data = sets_of(config.strategy), config.data
    if name not in given and name not in DATASETS:
        raise InputError(f"--init …{name}: which cells are {name}? Say --pretrain {name}=FOLDER")
    try:
        found = load(
            given.get(name, name), size=data.image_size, count=data.count, seed=data.render_seed, cache_dir=data.cache
        )
        folds = make_folds(
            found.labels,
            groups=found.groups,
            given=found.folds,
            n_folds=PARTS,
            seed=config.recipe.seed,
            classes=found.classes,
        )
    except InputError as error:
        raise InputError(f"--pretrain {name}: {error}") from None
    if found.digest == cells.digest:
        raise InputError(
            f"--pretrain {name}: these are the cells that are tested, labels and all; give a set of other cells"
        )
    if found.folds is not None:
        train, validation, _ = split(folds, 0)
    else:
        train, validation = np.flatnonzero(folds > 0), np.flatnonzero(folds == 0)
    return Domain(found, (train, validation), channels or Channels(*channel_statistics(found.images, train)))


def fold_numbers(config: Config, work: Work) -> tuple[int, ...]:
    """The folds that are trained."""
    return config.data.only_folds or tuple(range(len(work.judged.nested)))


def parts_of(work: Work, fold: int) -> tuple[Split, np.ndarray]:
    """Rows to train on, to choose the epoch by, and to test."""
    inner = work.judged.nested[fold]
    return (np.flatnonzero(inner > 0), np.flatnonzero(inner == 0)), np.flatnonzero(inner < 0)


def fold_steps(config: Config, work: Work) -> int:
    """Steps of an epoch, the same in all folds that are trained."""
    return steps_of(max(len(parts_of(work, fold)[0][0]) for fold in fold_numbers(config, work)), config.recipe)
