"""Whatever is fitted sees its own part of the cells: other pixels, embeddings and labels of the rest change no bit.

Every stage is run on some cells, on the same cells with the test part poisoned, and with a cell poisoned that it may
see: the first two must agree in every bit, the third must not. Then each stage is given the leak that its test is
there for, and the test has to fail.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from tqdm import tqdm

from experiments import crossval, nested, networks, smr, strategies_work
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.outcome import Judged
from experiments.prepare import Prepared, prepare
from experiments.views import of_images
from smrjax.data import CellSet
from smrjax.data.channels import channel_statistics
from smrjax.data.sampling import pk_batches
from smrjax.evaluate import m_score
from smrjax.evaluate.svm import fit_svm
from smrjax.evaluate.svm_grid import Grid, gamma_unit
from smrjax.files import read_json
from smrjax.method import guided, network
from smrjax.method import smr as smr_method
from smrjax.predict import reader
from smrjax.train import assess, loop
from smrjax.train.learner import Cells, Learner, blank_state, build
from smrjax.train.lr_range import lr_range
from smrjax.train.optimizer import adam
from smrjax.train.transfer import load_encoder
from tests.train import toy

TRAINING, VALIDATION, TEST = range(3)
N = 96


@dataclass(frozen=True)
class World:
    """Cells of four classes, their embeddings, and the part of each."""

    images: np.ndarray
    z: np.ndarray
    y: np.ndarray
    part: np.ndarray

    def rows(self, *parts: int) -> np.ndarray:
        return np.flatnonzero(np.isin(self.part, parts))

    @property
    def cells(self) -> CellSet:
        names = tuple(map(str, range(N)))
        return CellSet(self.images, self.y, names, toy.TAXONOMY.classes, None, None, None, "toy", "toy")


def clean() -> World:
    cells = toy.cells(N)
    rng = np.random.default_rng(1)
    z = rng.normal(size=(N, 5)) + 1.2 * np.eye(4, 5)[cells.labels]
    images = np.asarray(cells.plain(np.arange(N)))
    return World(images, z.astype(np.float32), cells.labels, np.arange(N) // 4 % 4 % 3)


def poisoned(world: World, rows: np.ndarray) -> World:
    """Those rows have other pixels, embeddings far away, and other labels."""
    rng = np.random.default_rng(2)
    images, z, y = world.images.copy(), world.z.copy(), world.y.copy()
    images[rows] = 255 - images[rows] // 3
    z[rows] = 20 * rng.normal(size=(len(rows), 5))
    y[rows] = (y[rows] + 1) % 4
    y[rows[1::3]] = 0
    return replace(world, images=images, z=z, y=y)


def bits(tree: Any) -> list[Any]:
    return [leaf.tobytes() if hasattr(leaf, "tobytes") else leaf for leaf in jax.tree.leaves(tree)]


# What is fitted, stage by stage: (world, folder) -> a pytree.


def assessment(world: World, folder: Path) -> Any:
    """The SVM, its grid and calibration, curves and their targets, decision boundaries."""
    rows = tuple(world.rows(part) for part in (TRAINING, VALIDATION, TEST))
    about = assess.assess_fold(folder, z=world.z, cells=world.cells, taxonomy=toy.TAXONOMY, rows=rows, goal={}, seed=0)
    with np.load(folder / "svm.npz") as svm, np.load(folder / "curves.npz") as curves:
        return about["svm"], dict(svm), dict(curves)


def limits(world: World, folder: Path) -> Any:
    """Beyond which a cell is unfamiliar, or off its curve."""
    rows = world.rows(TRAINING)
    machine = fit_svm(world.z[rows], world.y[rows]).model
    curves = {"abc": np.stack([world.z[rows][world.y[rows] == c].mean(0) for c in range(3)])[None]}
    found = reader.make_reader(
        machine,
        4,
        curves=curves,
        reducer={},
        embeddings=world.z,
        labels=world.y,
        part=world.part,
        lineages={"abc": np.arange(3)},
    )
    return found.training, found.unfamiliar, found.off_curve


def cells_for(world: World) -> Cells:
    read = world.images.__getitem__
    return Cells(read, read, world.y, {"abc": np.arange(3)}, world.rows(TRAINING), world.rows(VALIDATION))


def training(world: World, folder: Path, method: Any = None, epochs: int = 2) -> Any:
    """Parameters, batch statistics, optimiser, goal (curves, targets, t-SNE network, guide) and the epochs' metrics."""
    return loop.train(learner_of(method), cells_for(world), toy.plan(epochs=epochs), folder)


@functools.cache
def learner_of(method: Any) -> Learner:
    """Compiled once for all trainings with a method."""
    return toy.learner(method or toy.method(targets="frequency"))


@functools.cache
def learner_at_rates() -> Learner:
    """Compiled once for all range tests."""
    return toy.learner(optimizer=adam(1.0))


def range_test(world: World, folder: Path) -> Any:
    """Losses, and the learning rate that they suggest."""
    return lr_range(learner_at_rates(), cells_for(world), toy.plan(), steps=6).losses


def colours(world: World, folder: Path) -> Any:
    """Of the fold of a training strategy, whose network divides by them."""
    folds = np.select([world.part == TEST, world.part == VALIDATION], [-1, 0], 1)[None]
    return strategies_work.fold_channels(world.cells, folds, (0,))


def classical(world: World, folder: Path) -> Any:
    """Scores of the search, what it chose, and the scaling and the weights of the machine that was fitted."""
    fitted: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        make = nested.classifier
        patch.setattr(nested, "classifier", lambda *a, **k: fitted.append(make(*a, **k)) or fitted[-1])
        inner = np.where(world.part == TEST, -1, np.arange(N) // 12 % 3)
        judged = Judged(world.cells, toy.TAXONOMY, inner[None].astype(np.int32), None)
        nested.search_fold(
            folder,
            "svm",
            [world.z],
            judged,
            0,
            sets=3,
            together=3,
            seed=0,
            bar=tqdm(total=3, disable=True),
            should_stop=lambda: False,
        )
    tried = read_json(folder / "search.json")
    scale, machine = fitted[-1]["scale"], fitted[-1]["classify"]
    return [one["scores"] for one in tried], scale.mean_, scale.scale_, machine.coef_


def first_weights(world: World, folder: Path) -> Any:
    """The encoder with which ``--init`` begins: that of a training before, whose fold tests the same cells."""
    learner = learner_of(None)
    loop.train(learner, cells_for(world), toy.plan(epochs=1), folder / "fold_0")
    return load_encoder(folder, learner.variables)


def averaged(world: World, folder: Path) -> Any:
    """Curves that ``--tta`` fits anew, to embeddings averaged over views."""
    learner, rows = learner_of(None), world.rows(TRAINING)
    prepared: Any = SimpleNamespace(
        cells=world.cells, devices=learner.devices, views=of_images(world.images, toy.noise)
    )
    blocks: Any = SimpleNamespace(run=RunOptions(tta=True), train=TrainOptions())
    state = blank_state(learner, cells_for(world), jax.random.key(0))
    return crossval._embed_all(blocks, prepared, learner, state, toy.plan(), rows)[1]


@functools.cache
def plain_network() -> Learner:
    """A network with a softmax layer, compiled once for all searches."""
    own = toy.learner()
    how: Any = {"normalize": False, "norm_weight": 0.0}
    return build(own.model, own.variables, network(4), adam(1.0), toy.noise, own.devices, **how)


def deep(world: World, folder: Path) -> Any:
    """Scores of the search over networks, what it chose, and the network that was trained by that."""
    trained: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        own = networks.train
        patch.setattr(networks, "train", lambda *a, **k: trained.append(own(*a, **k)) or trained[-1])
        inner = np.where(world.part == TEST, -1, np.arange(N) // 12 % 3)
        networks.search_fold(
            folder,
            plain_network(),
            Judged(world.cells, toy.TAXONOMY, inner[None].astype(np.int32), None),
            0,
            TrainOptions(epochs=1, embed_batch=16),
            sets=2,
            parts=1,
            bar=tqdm(total=3, disable=True),
            should_stop=lambda: False,
        )
    return read_json(folder / "search.json"), trained[-1]


# Leaks: each lets one stage see all cells of the world that it is run on.

Patch = Callable[[pytest.MonkeyPatch, World], None]


def leak_svm(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(assess, "fit_svm", lambda z, y, seed: fit_svm(world.z, world.y, seed=seed))


def leak_grid(patch: pytest.MonkeyPatch, world: World) -> None:
    """The pair is chosen on all cells; the machine is fitted to the training part."""

    def fit(z: np.ndarray, y: np.ndarray, seed: int) -> Any:
        chosen = fit_svm(world.z, world.y, seed=seed)
        return fit_svm(z, y, seed=seed, grid=Grid(C=(chosen.C,), gamma=(chosen.gamma / gamma_unit(z),)))

    patch.setattr(assess, "fit_svm", fit)


def leak_calibration(patch: pytest.MonkeyPatch, world: World) -> None:
    own = assess.calibrate
    patch.setattr(assess, "calibrate", lambda svm, z, y: own(svm, world.z, world.y))


def leak_curves(patch: pytest.MonkeyPatch, world: World) -> None:
    own = assess.read_along
    patch.setattr(assess, "read_along", lambda goal, z, *seen: own(goal, z, world.z, world.y, seen[-1]))


def leak_limits(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(reader, "VALIDATION", TEST)


def leak_neighbours(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(reader, "TRAINING", TEST)


def leak_rows(patch: pytest.MonkeyPatch, world: World, *, train: bool) -> None:
    """A training that trains, or stops, by the test part, too."""
    own = cells_for

    def cells(world: World) -> Cells:
        if train:
            return replace(own(world), train=world.rows(TRAINING, TEST))
        return replace(own(world), validation=world.rows(VALIDATION, TEST))

    patch.setitem(globals(), "cells_for", cells)


def leak_batches(patch: pytest.MonkeyPatch, world: World) -> None:
    """A sampler that depends on how many cells of all have a class."""

    def batches(y: np.ndarray, **how: Any) -> np.ndarray:
        how["seed"] += int(np.bincount(world.y, minlength=4)[0])
        return pk_batches(y, classes_per_batch=4, per_class=4, **how)

    patch.setattr(toy, "BATCHES", batches)


def leak_refit(patch: pytest.MonkeyPatch, world: World) -> None:
    """A refit by labels of the test part: as many cells, others of them."""
    own, test = learner_of, world.rows(TEST)

    def learner(method: Any) -> Learner:
        made = own(method)

        def refit(z: Any, y: Any, goal: Any, key: Any) -> Any:
            return made.refit(z, jax.numpy.asarray(np.resize(world.y[test], len(y))), goal, key)

        return replace(made, refit=refit)

    patch.setitem(globals(), "learner_of", learner)


def leak_colours(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(strategies_work, "channel_statistics", lambda images, rows: channel_statistics(images))


def leak_scaling(patch: pytest.MonkeyPatch, world: World) -> None:
    """Descriptors scaled by all cells before they are split."""
    own = nested.search_fold

    def search(folder: Path, name: str, described: list[np.ndarray], *rest: Any, **how: Any) -> None:
        z = described[0]
        own(folder, name, [(z - z.mean(0)) / z.std(0)], *rest, **how)

    patch.setattr(nested, "search_fold", search)


def leak_search(patch: pytest.MonkeyPatch, world: World) -> None:
    """Hyper-parameters judged on the test part."""
    own = nested.try_sets

    def search(x: np.ndarray, y: np.ndarray, parts: Any, *rest: Any, **how: Any) -> Any:
        test = world.rows(TEST)
        rows = np.arange(len(x) + len(test))
        x, y = np.concatenate([x, world.z[test]]), np.concatenate([y, world.y[test]])
        return own(x, y, [(a, rows[-len(test) :]) for a, _ in parts], *rest, **how)

    patch.setattr(nested, "try_sets", search)


def leak_views(patch: pytest.MonkeyPatch, world: World) -> None:
    own = crossval._embed_all
    patch.setattr(crossval, "_embed_all", lambda *given: own(*given[:-1], np.arange(N)))


def leak_parts(patch: pytest.MonkeyPatch, world: World, *, part: int) -> None:
    """Networks that train, or stop, by the test part, too."""
    own = networks._train_and_predict

    def train(*given: Any) -> Any:
        split = list(given[5])
        split[part] = np.union1d(split[part], world.rows(TEST))
        return own(*given[:5], tuple(split), *given[6:])

    patch.setattr(networks, "_train_and_predict", train)


def leak_choice(patch: pytest.MonkeyPatch, world: World) -> None:
    """A search over networks that is judged on the test part."""
    own, test, seen = networks._train_and_predict, world.rows(TEST), []

    def train(*given: Any) -> Any:
        found = own(*given)
        seen.append(own(*given[:5], (*given[5][:2], test), *given[6:])[0])
        return found

    patch.setattr(networks, "_train_and_predict", train)
    patch.setattr(networks, "m_score", lambda true, predicted: m_score(world.y[test], seen[-1]))


#: Stage -> what it fits, and the part that it may see.
STAGES: dict[str, tuple[Callable[[World, Path], Any], int]] = {
    "svm, grid, curves": (assessment, TRAINING),
    "calibration": (assessment, VALIDATION),
    "neighbours": (limits, TRAINING),
    "limits": (limits, VALIDATION),
    "training": (training, TRAINING),
    "early stopping": (training, VALIDATION),
    "range test": (range_test, TRAINING),
    "colours": (colours, TRAINING),
    "classical": (classical, TRAINING),
    "first weights": (first_weights, TRAINING),
    "averaged views": (averaged, TRAINING),
    "networks": (deep, TRAINING),
}
#: Leak -> the stage that it is in, and how it is planted.
LEAKS: dict[str, tuple[Callable[[World, Path], Any], Patch]] = {
    "svm": (assessment, leak_svm),
    "grid": (assessment, leak_grid),
    "calibration": (assessment, leak_calibration),
    "curves": (assessment, leak_curves),
    "limits": (limits, leak_limits),
    "neighbours": (limits, leak_neighbours),
    "training, batch statistics": (training, partial(leak_rows, train=True)),
    "early stopping": (training, partial(leak_rows, train=False)),
    "sampler": (training, leak_batches),
    "refit, targets": (training, leak_refit),
    "range test": (range_test, partial(leak_rows, train=True)),
    "colours": (colours, leak_colours),
    "scaling": (classical, leak_scaling),
    "search": (classical, leak_search),
    # Of another fold, which trained on cells that this one tests.
    "first weights": (first_weights, partial(leak_rows, train=True)),
    "averaged views": (averaged, leak_views),
    "networks, training": (deep, partial(leak_parts, part=0)),
    "networks, early stopping": (deep, partial(leak_parts, part=1)),
    "networks, search": (deep, leak_choice),
}


def same(stage: Callable, first: World, second: World, folder: Path, plant: Patch = lambda patch, world: None) -> bool:
    """Whether a stage fits the same on two worlds."""
    found = []
    for number, world in enumerate((first, second)):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch, world)
            (folder / str(number)).mkdir(parents=True)
            found.append(bits(stage(world, folder / str(number))))
    return found[0] == found[1]


@pytest.mark.parametrize("name", STAGES)
def test_the_test_part_changes_nothing(name, tmp_path):
    stage, seen = STAGES[name]
    world = clean()
    assert same(stage, world, poisoned(world, world.rows(TEST)), tmp_path / "test")
    assert not same(stage, world, poisoned(world, world.rows(seen)[:1]), tmp_path / "own")


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_caught(name, tmp_path):
    stage, plant = LEAKS[name]
    world = clean()
    assert not same(stage, world, poisoned(world, world.rows(TEST)), tmp_path, plant)


def guide_method(inverse: str) -> Any:
    return guided(np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]), loss="umap", inverse=inverse, samples=60)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # of umap, on so few cells
@pytest.mark.parametrize("name", ["t-SNE network", "lifted guide", "guide by UMAP"])
def test_what_other_methods_fit_after_an_epoch(name, tmp_path):
    method = {
        "t-SNE network": lambda: smr_method(toy.TAXONOMY, curve="bezier", pull="reduced", alpha=0.6),
        "lifted guide": lambda: guide_method("rbf"),
        "guide by UMAP": lambda: guide_method("umap"),
    }[name]()
    stage, world = partial(training, method=method, epochs=1), clean()
    assert same(stage, world, poisoned(world, world.rows(TEST)), tmp_path / "test")
    assert not same(stage, world, poisoned(world, world.rows(TRAINING)[:1]), tmp_path / "own")
    assert not same(stage, world, poisoned(world, world.rows(TEST)), tmp_path / "leak", leak_refit)


# The whole program.

CONFIG = smr.resolved(
    smr.Config(
        data=DataOptions(count=300, image_size=16, folds=3, only_folds=(0,)),
        encoder=EncoderOptions(encoder="resnet_tiny", embedding_dim=16),
        train=TrainOptions(epochs=1, per_class=2, embed_batch=100),
        run=RunOptions(pictures=False),
    )
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    cache = tmp_path_factory.mktemp("cache")
    config = replace(CONFIG, data=replace(CONFIG.data, cache=cache))
    return prepare(config, lambda taxonomy: smr.method_of(CONFIG.smr, taxonomy))


def whole_run(prepared: Prepared, rows: np.ndarray, folder: Path) -> Any:
    """What a fold leaves behind that was fitted, with those rows of the cells poisoned."""
    images, labels = np.array(prepared.cells.images), prepared.cells.labels.copy()
    images[rows] = 255 - images[rows] // 3
    labels[rows] = labels[np.roll(rows, 1)]
    cells = replace(prepared.cells, images=images, labels=labels)
    own = replace(prepared, cells=cells, views=of_images(images, prepared.views.augment))
    folder.mkdir()
    for file in ("run.json", "config.json"):
        crossval.write_json(folder / file, {"command": "", "resume": "", "severity": None})
    crossval.cross_validate(CONFIG, own, folder, title="run", should_stop=lambda: False)
    result = read_json(folder / "fold_0" / "result.json")
    with np.load(folder / "fold_0" / "svm.npz") as svm, np.load(folder / "fold_0" / "curves.npz") as curves:
        fitted = dict(svm), dict(curves)
    variables = load_encoder(folder / "fold_0", prepared.variables)
    return bits((fitted, variables, result["history"], result["svm"], (folder / "stain.json").read_text()))


@pytest.mark.soak
def test_a_whole_run_is_blind_to_its_test_part(prepared, tmp_path):
    train, _, test = prepared.parts[0]
    plain = whole_run(prepared, test[:0], tmp_path / "plain")
    assert whole_run(prepared, test, tmp_path / "test") == plain
    assert whole_run(prepared, train[:2], tmp_path / "train") != plain
