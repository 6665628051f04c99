import numpy as np
import pytest

from smrjax.evaluate import fit_svm_at
from smrjax.predict import make_reader
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
