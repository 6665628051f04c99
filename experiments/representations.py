"""Representation-learning methods on the folds of the baselines, so that a reader sees what each of them buys."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import guides, smr
from experiments.crossval import cross_validate
from experiments.guides_report import title_of
from experiments.outcome import Judged
from experiments.prepare import Blocks, Parts, Prepared, equip
from smrjax.errors import InputError
from smrjax.method import Method, softmax, tml
from smrjax.taxonomy import Taxonomy
from smrjax.train.folder import read_json, write_json

NAMES = ("tml", "softmax", "smr", "guides")


@dataclass(frozen=True)
class Learnt:
    """A method that learns embeddings, for an SVM to classify."""

    title: str
    method: Method


def learnt(names: tuple[str, ...], blocks: Blocks, taxonomy: Taxonomy) -> dict[str, Learnt]:
    """The methods of those names, at the defaults of their own experiments.

    Args:
        names: Among `NAMES`.
        blocks: Options of the run.
        taxonomy: Of the task.

    Raises:
        InputError: for another name, or a method that has nothing to go by in this task.
    """
    found = {}
    for name in names:
        if name not in NAMES:
            raise InputError(f"--with {name}: there is no such method; choose from {', '.join(NAMES)}")
        try:
            found[name] = _learnt(name, blocks, taxonomy)
        except InputError as error:
            raise InputError(f"--with {name}: {error}") from None
    return found


def _learnt(name: str, blocks: Blocks, taxonomy: Taxonomy) -> Learnt:
    if name == "tml":
        return Learnt("TML", tml())
    if name == "softmax":
        return Learnt("Softmax", softmax(len(taxonomy.classes)))
    if name == "smr":
        config = smr.resolved(smr.Config())
        return Learnt(smr.title(config), smr.method_of(config.smr, taxonomy))
    options = guides.Config(data=blocks.data, train=blocks.train)
    (guide, places), *_ = guides.lay_out(options, taxonomy).items()
    return Learnt(f"Guide {title_of(guide)}", guides.method_of(options.guides, places, options.guides.loss[0]))


def outer_parts(inner: np.ndarray) -> Parts:
    """Training, validation and test part of an outer fold: the validation part is inner fold 0, as for networks."""
    return np.flatnonzero(inner > 0), np.flatnonzero(inner == 0), np.flatnonzero(inner < 0)


def equip_learnt(blocks: Blocks, judged: Judged, some: dict[str, Learnt]) -> Prepared | None:
    """What all of these trainings work with but their method; None without methods.

    Raises:
        InputError: for options that do not fit.
    """
    if not some:
        return None
    parts = [outer_parts(inner) for inner in judged.nested]
    first = next(iter(some.values())).method
    return equip(blocks, judged.cells, judged.taxonomy, first, judged.nested, parts)


def run_learnt(blocks: Blocks, prepared: Prepared, folder: Path, name: str, one: Learnt) -> dict[str, Any]:
    """Train one method on every outer fold, in a run folder of its own, unless it is finished; its summary."""
    own = folder / name
    if (own / "summary.json").exists():
        return read_json(own / "summary.json")
    own.mkdir(exist_ok=True)
    for file in ("config.json", "run.json"):
        write_json(own / file, read_json(folder / file))
    return cross_validate(blocks, replace(prepared, method=one.method), own, title=one.title)
