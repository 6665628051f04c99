"""Classical features and plain networks, nested cross-validation: ``python -m experiments.baselines --task all``."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from tqdm import tqdm

from experiments import descriptors, nested, networks
from experiments.baselines_report import NAMES, Entry, write_report
from experiments.checks import check_options
from experiments.cluster import processors, workers
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions, block, configure
from experiments.outcome import Judged
from experiments.prepare import augmentation, check_only_folds, find_severity, first_variables, read_cells
from experiments.representations import Learnt, equip_learnt, learnt, run_learnt
from experiments.runs import digest_of, open_run, severity_of
from experiments.runtime import leave, prepare_jax, stop_flag
from experiments.tasks import choose
from smrjax.classical.features import FEATURES, describe
from smrjax.classical.search import CLASSIFIERS
from smrjax.data.cache import cache_root
from smrjax.data.folds import nested_folds
from smrjax.encoders import ENCODERS
from smrjax.errors import InputError
from smrjax.train.folder import locked, read_json
from smrjax.train.loop import Interrupted
from smrjax.train.step import AXIS

if TYPE_CHECKING:
    from builtins import str as ClassifierName
    from builtins import str as EncoderName
    from builtins import str as FeatureName
else:
    FeatureName = tyro.extras.literal_type_from_choices([*FEATURES, *ENCODERS])
    ClassifierName = tyro.extras.literal_type_from_choices(list(CLASSIFIERS))
    EncoderName = tyro.extras.literal_type_from_choices(list(ENCODERS))


@dataclass(frozen=True)
class BaselineOptions:
    """What is compared, and how thoroughly each is searched (OOTB, sections 3 and 4)."""

    task: Literal["neutrophilic", "leukocytes", "all"] = "neutrophilic"
    """neutrophilic: the stages of one lineage; leukocytes: cells against artefacts; all: every class but artefacts."""
    lineage: str = ""
    """Of the task neutrophilic: this lineage; by default the one called neutrophil, or the only one."""
    artefacts: tuple[str, ...] = ()
    """Codes of the classes that are artefacts; by default those that the taxonomy calls so."""
    features: tuple[FeatureName, ...] = ("hog", "shog", "lbp")
    """hog; shog, the same of the image in polar coordinates; lbp; or the pooled output of a network by its name."""
    classifiers: tuple[ClassifierName, ...] = tuple(CLASSIFIERS)
    """Linear SVM, RBF SVM, random forest (rfc), AdaBoost (abc), each on every feature."""
    networks: tuple[EncoderName, ...] = ("densenet_small",)
    """Networks with a softmax layer, trained as a whole."""
    beside: Annotated[str, tyro.conf.arg(name="with", metavar="tml,softmax,smr,guides")] = ""
    """Methods that learn embeddings, on the same folds: names separated by commas."""
    inner_folds: int = 6
    """Parts of every outer training part, for the search; one of them stops the last training of a network."""
    sets: int = 5
    """Sets of hyper-parameters that each classifier's random search tries, on every feature and outer fold."""
    network_sets: int = 2
    """The same for each network."""
    network_parts: int = 1
    """Inner folds that judge a network's set: all of --inner-folds, or fewer to save time."""
    copies: int = 1
    """Turned and shifted copies of every training cell, for classifiers; networks get a new view every time."""
    descriptor_size: int = 64
    """Side of the square images that hog, shog and lbp are computed of; networks see --image-size."""
    hog_cell: int | None = None
    """Side of a cell of hog and shog in pixels; by default a quarter of the image's (50 px at the paper's 200 px)."""
    hog_block: int = 2
    """Side of a block, in cells: 2 for the paper's 4 cells per block, 4 for the other reading."""
    weights: tuple[str, ...] = ()
    """Where networks begin, each by its name: resnet18=FILE.safetensors, efficientnet_lite0=imagenet; all others begin
    as --init says."""
    jobs: int = 0
    """Processes at a time; 0 for as many as there are processors."""
    scheduler: str = ""
    """HOST:PORT of a Dask scheduler on whose workers classifiers are searched."""


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    preset: Literal["quick", "paper"] = "quick"
    """Where defaults come from: minutes on two cores, or the paper's protocol (a cluster, and a GPU for networks)."""
    baselines: BaselineOptions = block(BaselineOptions)
    data: DataOptions = DataOptions(folds=3)
    encoder: EncoderOptions = block(EncoderOptions)
    # OOTB, section 4: rotation and a shift of up to 10 of 200 pixels are the whole augmentation.
    train: TrainOptions = TrainOptions(flips=False, crop=0.05, zoom=0.0, stain=0.0)
    run: RunOptions = block(RunOptions)


PRESETS = {
    "quick": Config(data=DataOptions(folds=3, count=600)),
    "paper": Config(
        preset="paper",
        baselines=BaselineOptions(
            features=("hog", "shog", "lbp", "resnet18", "resnet152"),
            networks=("resnet18", "resnet152"),
            sets=150,
            network_sets=10,
            network_parts=6,
            copies=4,
            descriptor_size=200,
        ),
        data=DataOptions(folds=3, image_size=200, count=5809),
        encoder=EncoderOptions(encoder="resnet18", init="imagenet"),
        train=TrainOptions(epochs=100, patience=10, learning_rate=1e-4, flips=False, crop=0.05, zoom=0.0, stain=0.0),
    ),
}


@dataclass(frozen=True)
class Work:
    """Everything that a run works with, read or built before its folder is made.

    Attributes:
        described: The task with the images of which descriptors are computed.
        seen: The task with the images that networks see.
        networks: Name -> model without an embedding layer, and its variables.
        learnt: Methods that learn embeddings.
        prepared: What those work with; None without them.
        severity: As run.json has it.
        identity: What a resume must find as it was.
    """

    described: Judged
    seen: Judged
    networks: dict[str, tuple[Any, Any]]
    learnt: dict[str, Learnt]
    prepared: Any
    severity: dict[str, Any]
    identity: dict[str, str]


def main() -> None:
    """Compare all features, classifiers and networks on one task, or go on with a run."""
    config = configure(Config, PRESETS, resolved, prog="python -m experiments.baselines", text=__doc__ or "")
    prepare_jax(config.train.devices, cache_root(config.data.cache) / "xla" if config.run.compile_cache else None)
    check(config)
    # Before anything is read: a cluster that is not there is said at once.
    with workers(config.baselines.scheduler, config.baselines.jobs or processors()) as at_once:
        work = ready(config)
        folder = open_run(config, "baselines", default_name(config), identity=work.identity, severity=work.severity)
        with locked(folder), resumable(folder) as should_stop:
            search_all(config, work, folder, at_once, should_stop)
    for name, one in work.learnt.items():
        run_learnt(config, work.prepared, folder, name, one)
    folds = outer_folds(config, work.described)
    for line in write_report(folder, config.baselines.task, work.described, entries(config, work), folds):
        print(line)


def resolved(config: Config) -> Config:
    """The options with every default that depends on another one filled in."""
    options = config.baselines
    if options.hog_cell is None:
        options = replace(options, hog_cell=max(options.descriptor_size // 4, 1))
    return replace(config, baselines=options)


def check(config: Config) -> None:
    """Numbers that no run could work with.

    Raises:
        InputError: for the first one.
    """
    check_options(config.data, config.encoder, config.train)
    options = config.baselines
    for flag, value, least in (
        ("--inner-folds", options.inner_folds, 3),
        ("--sets", options.sets, 1),
        ("--network-sets", options.network_sets, 1),
        ("--network-parts", options.network_parts, 1),
        ("--copies", options.copies, 0),
        ("--descriptor-size", options.descriptor_size, 1),
        ("--hog-cell", options.hog_cell or 0, 1),
        ("--hog-block", options.hog_block, 1),
        ("--jobs", options.jobs, 0),
    ):
        if value < least:
            raise InputError(f"{flag} {value}: give {least} or more")
    if options.network_parts > options.inner_folds:
        raise InputError(f"--network-parts {options.network_parts}: there are {options.inner_folds} inner folds")
    if not (options.features and options.classifiers) and not options.networks and not options.beside:
        raise InputError("nothing to compare: name --features and --classifiers, --networks, or methods by --with")
    if config.train.epochs < 1 and (options.networks or options.beside):
        raise InputError(f"--epochs {config.train.epochs}: give 1 or more, or name no --networks and no --with")
    for flag, names in (
        ("--features", options.features),
        ("--classifiers", options.classifiers),
        ("--networks", options.networks),
    ):
        if len(set(names)) < len(names):
            raise InputError(f"{flag} {' '.join(names)}: name each once")
    for text in options.weights:
        name, equals, file = text.partition("=")
        if not equals or not file or name not in ENCODERS:
            raise InputError(f"--weights {text}: write NAME=FILE or NAME=imagenet, as in resnet18=FILE.safetensors")


def ready(config: Config) -> Work:
    """Read the cells, choose the task, split it, build the networks.

    Raises:
        InputError: for anything that does not fit.
    """
    options, data, seed = config.baselines, config.data, config.train.seed
    sizes = {options.descriptor_size, data.image_size}
    found = {}
    for size in sizes:
        cells, taxonomy = read_cells(data, size)
        found[size] = choose(cells, taxonomy, options.task, lineage=options.lineage, artefacts=options.artefacts)
    cells, taxonomy = found[data.image_size]
    folds = nested_folds(
        cells.labels,
        groups=cells.groups,
        given=cells.folds,
        n_folds=data.folds,
        inner_folds=options.inner_folds,
        seed=seed,
        classes=cells.classes,
    )
    check_only_folds(data, len(folds))
    severity, severity_file = find_severity(data, cells.classes)
    described, seen = (
        Judged(found[size][0], taxonomy, folds, severity) for size in (options.descriptor_size, data.image_size)
    )
    for name in options.features:
        if name in FEATURES:
            # One image tells whether cells and blocks fit.
            describe(described.cells.images[:1], name, **how(config, name))
    names = dict.fromkeys([*(name for name in options.features if name in ENCODERS), *options.networks])
    built = {name: build_network(config, name) for name in names}
    chosen = tuple(filter(None, (name.strip() for name in options.beside.split(","))))
    some = learnt(chosen, config, taxonomy)
    prepared = equip_learnt(config, seen, some)
    identity = {
        "cells": described.cells.digest + seen.cells.digest,
        "folds": digest_of(folds),
        "initial weights": digest_of([variables for _, variables in built.values()]),
    }
    if severity is not None:
        identity["severities"] = digest_of(np.asarray(severity, np.int32))
    return Work(described, seen, built, some, prepared, severity_of(severity, severity_file), identity)


def how(config: Config, name: str) -> dict[str, Any]:
    """Options of a descriptor."""
    options = config.baselines
    return {} if name == "lbp" else {"cell": options.hog_cell, "block": options.hog_block}


def build_network(config: Config, name: str) -> tuple[Any, Any]:
    """A network without an embedding layer, and the variables that it begins with.

    Raises:
        InputError: if its weights cannot be had, or are of another network.
    """
    files = dict(text.split("=", 1) for text in config.baselines.weights)
    init = files.get(name, config.encoder.init)
    if name not in files and init not in ("random", "imagenet") and name != config.encoder.encoder:
        raise InputError(f"--init {init} is for --encoder {config.encoder.encoder}; give --weights {name}=FILE, too")
    model = ENCODERS[name](embedding_dim=0, dropout=0.0, axis_name=AXIS)
    return model, first_variables(model, name, init, size=config.data.image_size, seed=config.train.seed)


def outer_folds(config: Config, judged: Judged) -> tuple[int, ...]:
    """The outer folds of the run."""
    return config.data.only_folds or tuple(range(len(judged.nested)))


@contextmanager
def resumable(folder: Path) -> Iterator[Callable[[], bool]]:
    """A wish to stop, which ends with the command that goes on."""
    with stop_flag() as should_stop:
        try:
            yield should_stop
        except Interrupted:
            raise Interrupted(read_json(folder / "run.json")["resume"]) from None


def search_all(config: Config, work: Work, folder: Path, at_once: int, should_stop: Callable[[], bool]) -> None:
    """Run every search that is not finished: classifiers on every feature, then networks.

    Args:
        config: Options.
        work: From `ready`.
        folder: Of the run.
        at_once: Fits that run at a time.
        should_stop: Asked between them.

    Raises:
        Interrupted: if it said so; what was done is on disk.
    """
    options, folds = config.baselines, outer_folds(config, work.described)
    # Enough fits at a time for all workers, and few enough to be stopped soon.
    together = max(1, math.ceil(2 * at_once / options.inner_folds))
    pairs = [(feature, name) for feature in options.features for name in options.classifiers]
    with tqdm(total=len(pairs) * len(folds) * options.sets, unit="set", dynamic_ncols=True) as bar:
        for feature in options.features:
            own = [(name, fold) for name in options.classifiers for fold in folds]
            left = [(name, fold) for name, fold in own if not done(folder, f"{feature}-{name}", fold)]
            bar.total -= (len(own) - len(left)) * options.sets
            values = describe_all(config, work, feature, should_stop) if left else []
            for name, fold in left:
                bar.set_description(f"{feature}, {CLASSIFIERS[name]}, fold {fold}")
                nested.search_fold(
                    folder / f"{feature}-{name}" / f"fold_{fold}",
                    name,
                    values,
                    work.described,
                    fold,
                    sets=options.sets,
                    together=together,
                    seed=config.train.seed,
                    bar=bar,
                    should_stop=should_stop,
                )
    each = options.network_sets * options.network_parts + 1
    left = [(name, fold) for name in options.networks for fold in folds if not done(folder, name, fold)]
    with tqdm(total=len(left) * each, unit="training", dynamic_ncols=True, disable=not left) as bar:
        learners = {
            name: networks.learner_of(*work.networks[name], len(work.seen.cells.classes), config.train)
            for name in dict.fromkeys(name for name, _ in left)
        }
        for name, fold in left:
            bar.set_description(f"{name}, fold {fold}")
            networks.search_fold(
                folder / name / f"fold_{fold}",
                learners[name],
                work.seen,
                fold,
                config.train,
                sets=options.network_sets,
                parts=options.network_parts,
                bar=bar,
                should_stop=should_stop,
            )


def done(folder: Path, name: str, fold: int) -> bool:
    """Whether a method has finished an outer fold."""
    return (folder / name / f"fold_{fold}" / "result.json").exists()


def describe_all(config: Config, work: Work, feature: str, should_stop: Callable[[], bool]) -> list[np.ndarray]:
    """One feature of all cells and of their copies."""
    options, train = config.baselines, config.train
    if feature in FEATURES:
        own = how(config, feature)
        compute = descriptors.of_threads(feature, options.jobs or processors(), **own)
        cells, identity = work.described.cells, f"{feature} {sorted(own.items())}"
    else:
        model, variables = work.networks[feature]
        compute = descriptors.of_network(model.clone(axis_name=None), variables)
        cells, identity = work.seen.cells, f"{feature} {digest_of(variables)}"
    return descriptors.descriptors(
        cells,
        compute,
        identity,
        title=feature,
        copies=options.copies,
        augment=augmentation(train),
        settings=repr((train.rotation, train.flips, train.crop, train.zoom, train.stain)),
        seed=train.seed,
        cache=config.data.cache,
        should_stop=should_stop,
    )


def entries(config: Config, work: Work) -> list[Entry]:
    """All methods of a run, in the order of the table."""
    options = config.baselines
    return [
        *(
            Entry(f"{feature}-{name}", feature, CLASSIFIERS[name])
            for feature in options.features
            for name in options.classifiers
        ),
        *(Entry(name, "network", NAMES[name]) for name in options.networks),
        *(Entry(name, "embedding", one.title) for name, one in work.learnt.items()),
    ]


def default_name(config: Config) -> str:
    """A folder name that says the task and when."""
    return f"{config.baselines.task}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"


if __name__ == "__main__":
    leave(main)
