"""Representation-learning methods on the folds of the baselines, so that a reader sees what each of them buys."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments import guides, guides_options, smr
from experiments.crossval import cross_validate
from experiments.duplicates import Repeated
from experiments.guides_report import title_of
from experiments.outcome import Judged
from experiments.prepare import Blocks, Parts, Prepared, equip
from smrjax.errors import InputError
from smrjax.files import read_json, write_json
from smrjax.guides import find_matrix
from smrjax.method import Method, softmax, tml
from smrjax.taxonomy import Taxonomy
from smrjax.train.loop import Interrupted

NAMES = ("tml", "softmax", "smr", "guides")


@dataclass(frozen=True)
class Learnt:
    """A method that learns embeddings, for an SVM to classify.

    Attributes:
        title: In tables.
        prepared: What its training works with, the method included.
        places: Of the classes, Float[C, 2], for a method that follows a guide.
    """

    title: str
    prepared: Prepared
    places: np.ndarray | None


#: Title, method, and the places of a guide.
Named = tuple[str, Method, np.ndarray | None]


def learnt(names: tuple[str, ...], blocks: Blocks, taxonomy: Taxonomy) -> dict[str, Named]:
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


def _learnt(name: str, blocks: Blocks, taxonomy: Taxonomy) -> Named:
    if name == "tml":
        return "TML", tml(), None
    if name == "softmax":
        return "Softmax", softmax(len(taxonomy.classes)), None
    if name == "smr":
        config = smr.resolved(smr.Config())
        title = f"SMR {config.smr.loss}, {config.smr.curve.replace('bezier', 'Bézier')}"
        return title, smr.method_of(config.smr, taxonomy), None
    options = guides_options.Config(data=blocks.data, train=blocks.train)
    if find_matrix(options.guides.matrix, taxonomy.classes) is None:
        raise InputError(
            "smrjax has no similarity matrix of these classes; leave guides out here, and train them by "
            "experiments.guides with --matrix-file"
        )
    (guide, places), *_ = guides.lay_out(options, taxonomy).items()
    method = guides.method_of(options.guides, places, options.guides.loss[0])
    return f"Guide {title_of(guide)}", method, places


def outer_parts(inner: np.ndarray) -> Parts:
    """Training, validation and test part of an outer fold: the validation part is inner fold 0, as for networks."""
    return np.flatnonzero(inner > 0), np.flatnonzero(inner == 0), np.flatnonzero(inner < 0)


def equip_learnt(blocks: Blocks, judged: Judged, named: dict[str, Named], repeated: Repeated) -> dict[str, Learnt]:
    """The methods with everything that their trainings work with.

    Raises:
        InputError: for options that do not fit.
    """
    if not named:
        return {}
    parts = [outer_parts(inner) for inner in judged.nested]
    any_method = next(iter(named.values()))[1]
    shared = equip(blocks, judged.cells, judged.taxonomy, any_method, judged.nested, parts, repeated)
    return {
        name: Learnt(title, replace(shared, method=method), places) for name, (title, method, places) in named.items()
    }


def run_learnt(blocks: Blocks, one: Learnt, folder: Path, name: str, should_stop: Callable[[], bool]) -> None:
    """Train one method on every outer fold, in a run folder of its own, unless it is finished.

    Raises:
        Interrupted: if ``should_stop`` said so.
    """
    own = folder / name
    if (own / "summary.json").exists():
        return
    if should_stop():
        raise Interrupted
    own.mkdir(exist_ok=True)
    for file in ("config.json", "run.json"):
        write_json(own / file, read_json(folder / file))
    cross_validate(blocks, one.prepared, own, title=one.title, should_stop=should_stop)
