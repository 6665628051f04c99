import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.data.stain import StainStatistics
from smrjax.evaluate import fit_svm_at
from smrjax.predict import make_reader
from smrjax.predict.exporting import write_model
from smrjax.predict.model import Judged, Member, Model
from smrjax.taxonomy import Lineage, Taxonomy

TAXONOMY = Taxonomy(
    name="toy",
    classes=("A", "X", "B", "C"),
    lineages=(Lineage("alone", ("X",)), Lineage("abc", ("A", "B", "C"))),
    colours=("#111111", "#222222", "#333333", "#444444"),
    titles=("A", "X", "B", "C"),
)


@pytest.fixture(scope="session")
def cells():
    """Embeddings in three dimensions, labels and parts: A, B and C along a line, X beside it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    centre = np.array([[0, 0, 0], [1, 2, 0], [1, 0, 0], [2, 0, 0]], float)[labels]
    return (centre + rng.normal(0, 0.3, (400, 3))).astype(np.float32), labels, rng.integers(0, 3, 400)


@pytest.fixture(scope="session")
def reader(cells):
    z, labels, part = cells
    svm = fit_svm_at(z[part == 0], labels[part == 0], C=1.0, gamma=0.5).model
    return make_reader(
        svm,
        4,
        curves={"abc": np.array([[[0, 0, 0], [2, 0, 0]]], np.float32)},
        reducer={},
        embeddings=z,
        labels=labels,
        part=part,
        lineages={"alone": np.array([1]), "abc": np.array([0, 2, 3])},
    )


#: Pixels a side of the toy model's images.
SIZE = 4


def toy_variables(seed):
    """Of a network that turns mean colours into three dimensions, linearly."""
    rng = np.random.default_rng(seed)
    return {
        "params/dense/bias": rng.normal(0, 0.1, 3).astype(np.float32),
        "params/dense/kernel": (np.eye(3) * 2 + rng.normal(0, 0.1, (3, 3))).astype(np.float32),
    }


def toy_shared(variables, images):
    return images[None]


def toy_own(variables, seen):
    colours = seen[0].astype(jnp.float32).mean((1, 2)) / 255
    return jnp.matmul(colours, variables["params/dense/kernel"], precision="highest") + variables["params/dense/bias"]


@pytest.fixture(scope="session")
def toy(reader, tmp_path_factory):
    """A model of two folds that differ in their networks, and as much of its run's folder as there is to copy."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    members = []
    for fold in (0, 2):
        (folder / f"fold_{fold}").mkdir(parents=True)
        np.savez(folder / f"fold_{fold}" / "curves.npz", targets_abc=np.array([0, 0.5, 1]))
        tested = Judged(np.array([0, 1, 2]), np.array([0, 1, fold]), np.eye(4)[[0, 1, fold]])
        members.append(Member(fold, toy_variables(fold), reader, tested))
    stain = StainStatistics((60.0, 10.0, -8.0), (12.0, 5.0, 6.0))
    shared, own = jax.jit(toy_shared), jax.jit(toy_own)
    return Model(folder, "a toy", TAXONOMY, SIZE, None, stain, tuple(members), shared, own)


@pytest.fixture(scope="session")
def images():
    """Of plain colours from one end of the toy's curve to beside the other, with noise."""
    colours = np.linspace([0, 0, 0], [250, 60, 0], 9)[:, None, None]
    noise = np.random.default_rng(3).integers(0, 5, (9, SIZE, SIZE, 3))
    return (colours + noise).astype(np.uint8)


@pytest.fixture
def exported(toy, tmp_path):
    write_model(tmp_path / "model", toy, about={"versions": {}})
    return tmp_path / "model"
