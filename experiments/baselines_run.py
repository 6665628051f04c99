"""What a run of the baselines works with, and its searches, each as far as it is not done."""

import hashlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from experiments import descriptors, nested, networks
from experiments.baselines_options import Config, beside
from experiments.cluster import processors
from experiments.duplicates import Repeated, nested_sides_of
from experiments.first_weights import check_unseen, digest_of, known_by
from experiments.outcome import Judged
from experiments.prepare import (
    augmentation,
    check_only_folds,
    devices_for,
    duplicates_in,
    find_severity,
    first_variables,
    read_cells,
)
from experiments.representations import Learnt, equip_learnt, learnt
from experiments.runs import severity_of
from experiments.tasks import choose
from smrjax.classical.features import FEATURES, describe
from smrjax.classical.search import CLASSIFIERS
from smrjax.data.folds import nested_folds
from smrjax.encoders import ENCODERS
from smrjax.errors import InputError
from smrjax.train.step import AXIS


@dataclass(frozen=True)
class Work:
    """Everything that a run works with, read or built before its folder is made.

    Attributes:
        described: The task with the images of which descriptors are computed.
        seen: The task with the images that networks see.
        networks: Name -> model without an embedding layer, and its variables.
        devices: On which networks are trained.
        learnt: Methods that learn embeddings, with what they work with.
        severity: As run.json has it.
        identity: What a resume must find as it was.
        repeated: Duplicates among the cells.
    """

    described: Judged
    seen: Judged
    networks: dict[str, tuple[Any, Any]]
    devices: list[jax.Device]
    learnt: dict[str, Learnt]
    severity: dict[str, Any]
    identity: dict[str, str]
    repeated: Repeated


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
    check_classes(folds, cells.labels, cells.classes)
    repeated = duplicates_in(data, cells, nested_sides_of(folds))
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
    for init in dict.fromkeys(init_of(config, name) for name in names):
        check_unseen(init, cells, folds, data.only_folds or range(len(folds)), strict=data.strict_split)
    devices = devices_for(config.train.devices, min(networks.BATCHES)) if options.networks else []
    encoder = replace(config.encoder, init=init_of(config, config.encoder.encoder))
    some = equip_learnt(replace(config, encoder=encoder), seen, learnt(beside(options), config, taxonomy), repeated)
    begun = [known_by(v, name, init_of(config, name), seed=seed) for name, (_, v) in built.items()]
    begun += [one.prepared.weights for one in some.values()]
    identity = {
        "cells": described.cells.digest + seen.cells.digest,
        "folds": digest_of(folds),
        "weights": hashlib.sha256(repr(begun).encode()).hexdigest(),
        "guides": digest_of([one.places for one in some.values()]),
        "severities": digest_of(severity),
    }
    return Work(described, seen, built, devices, some, severity_of(severity, severity_file), identity, repeated)


def check_classes(nested: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Make sure that no search trains on one class alone, as with few slides it might.

    Raises:
        InputError: naming the class.
    """
    for fold, inner in enumerate(nested):
        for part in range(int(inner.max()) + 1):
            seen = np.unique(labels[(inner >= 0) & (inner != part)])
            if len(seen) < 2:
                raise InputError(
                    f"while fold {fold} is tested, there is class {classes[seen[0]]} alone to train on: the other "
                    "classes are on too few slides or patients; use fewer folds, or more slides"
                )


def how(config: Config, name: str) -> dict[str, Any]:
    """Options of a descriptor."""
    options = config.baselines
    return {} if name == "lbp" else {"cell": options.hog_cell, "block": options.hog_block}


def init_of(config: Config, name: str) -> str:
    """What a network begins with: see `EncoderOptions.init`.

    Raises:
        InputError: if that is the file of another network.
    """
    files = dict(text.split("=", 1) for text in config.baselines.weights)
    init = files.get(name, config.encoder.init)
    if name not in files and init not in ("random", "imagenet") and name != config.encoder.encoder:
        raise InputError(f"--init {init} is for --encoder {config.encoder.encoder}; give --weights {name}=FILE, too")
    return init


def build_network(config: Config, name: str) -> tuple[Any, Any]:
    """A network without an embedding layer, and the variables that it begins with.

    Raises:
        InputError: if its weights cannot be had, or are of another network.
    """
    init = init_of(config, name)
    if init == "random" and name in config.baselines.features:
        warnings.warn(
            f"--features {name}: the network has random weights; give --init imagenet or --weights {name}=FILE",
            stacklevel=2,
        )
    model = ENCODERS[name](embedding_dim=0, dropout=0.0, axis_name=AXIS)
    return model, first_variables(model, name, init, size=config.data.image_size, seed=config.train.seed)


def outer_folds(config: Config, judged: Judged) -> tuple[int, ...]:
    """The outer folds of the run."""
    return config.data.only_folds or tuple(range(len(judged.nested)))


def search_classifiers(config: Config, work: Work, folder: Path, at_once: int, should_stop: Callable[[], bool]) -> None:
    """Search every classifier on every feature, as far as it is not done.

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
    left = {}
    for feature in options.features:
        own = [(name, fold) for name in options.classifiers for fold in folds]
        left[feature] = [(name, fold) for name, fold in own if not done(folder, f"{feature}-{name}", fold)]
    total = options.sets * sum(map(len, left.values()))
    with tqdm(total=total, unit="set", dynamic_ncols=True, disable=not total) as bar:
        for feature, pairs in left.items():
            values = describe_all(config, work, feature, should_stop) if pairs else []
            for name, fold in pairs:
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


def search_networks(config: Config, work: Work, folder: Path, should_stop: Callable[[], bool]) -> None:
    """Search every network, as far as it is not done.

    Args:
        config: Options.
        work: From `ready`.
        folder: Of the run.
        should_stop: Asked between steps.

    Raises:
        Interrupted: if it said so; what was done is on disk.
    """
    options, folds = config.baselines, outer_folds(config, work.seen)
    left = {name: [fold for fold in folds if not done(folder, name, fold)] for name in options.networks}
    trainings = (options.network_sets * options.network_parts + 1) * sum(map(len, left.values()))
    total = config.train.epochs * trainings
    with tqdm(total=total, unit="epoch", dynamic_ncols=True, disable=not total) as bar:
        for name, own in left.items():
            classes = len(work.seen.cells.classes)
            learner = networks.learner_of(*work.networks[name], classes, config.train, work.devices)
            for fold in own:
                bar.set_description(f"{name}, fold {fold}")
                networks.search_fold(
                    folder / name / f"fold_{fold}",
                    learner,
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
        compute = descriptors.of_threads(feature, config.workers.jobs or processors(), **own)
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
