import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.curves import Curve
from smrjax.data import CellSet
from smrjax.errors import InputError
from smrjax.losses.tsne import init_network
from smrjax.predict import make_reader, read
from smrjax.predict import reader as reader_module
from smrjax.predict.members import load_reader
from smrjax.predict.reader import distance_to
from smrjax.taxonomy import Lineage, for_classes
from smrjax.train.assess import assess_fold

ROOT = Path(__file__).parents[2]


def brute(training, z, nth):
    """Distance to the n-th nearest, pair by pair in float64."""
    pairs = [[np.sqrt(((a.astype(float) - b.astype(float)) ** 2).sum()) for b in training] for a in z]
    return np.sort(np.array(pairs), axis=1)[:, nth - 1]


def test_limits_leave_one_validation_cell_in_a_hundred_beyond(cells, reader):
    """Distances to the training part pair by pair, to a straight line in closed form."""
    z, labels, part = cells
    away = brute(z[part == 0], z[part == 1], 3)
    assert reader.unfamiliar == pytest.approx(np.quantile(away, 0.99), rel=1e-6)
    line = z[(part == 1) & (labels != 1)].astype(float)
    along = np.clip(line[:, 0] / 2, 0, 1)
    off = np.linalg.norm(line - np.stack([2 * along, 0 * along, 0 * along], 1), axis=1)
    assert reader.off_curve["abc"] == pytest.approx(np.quantile(off, 0.99), rel=1e-5)
    assert (away > reader.unfamiliar).mean() == pytest.approx(0.01, abs=0.01)


def test_readings_of_new_cells(cells, reader):
    """Probabilities from scikit-learn's votes are tested with the machine; here what is made of its arrays."""
    z = np.random.default_rng(1).normal(1, 1.5, (7, 3)).astype(np.float32)
    found = read(reader, z)
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    np.testing.assert_allclose(found.raw_t["abc"], z[:, 0] / 2, atol=1e-5)
    np.testing.assert_allclose(found.off_curve["abc"], found.distance["abc"] / reader.off_curve["abc"])
    np.testing.assert_allclose(found.unfamiliar, brute(cells[0][cells[2] == 0], z, 3) / reader.unfamiliar, rtol=1e-6)
    assert set(found.raw_t) == {"abc"}


def test_no_cells(reader):
    found = read(reader, np.zeros((0, 3), np.float32))
    assert found.probabilities.shape == (0, 4) and found.unfamiliar.shape == found.raw_t["abc"].shape == (0,)


def test_few_training_cells_and_no_validation_cells(cells, reader):
    z, labels, _ = cells
    few = make_reader(
        reader.svm,
        4,
        curves=reader.curves,
        reducer={},
        embeddings=z[:3],
        labels=labels[:3],
        part=np.zeros(3, int),
        lineages={"abc": np.array([0, 2, 3])},
    )
    assert few.unfamiliar == few.off_curve["abc"] == np.inf
    assert np.isnan(read(few, z[:9]).unfamiliar).all()
    np.testing.assert_allclose(distance_to(z[:3], z[:9]), brute(z[:3], z[:9], 3), rtol=1e-5, atol=1e-7)


def test_of_many_training_cells_some_are_kept(cells, reader, monkeypatch):
    """Every fourth here; limits follow from distances to those, of every fourth validation cell."""
    monkeypatch.setattr(reader_module, "KEPT", 25)
    z, labels = cells[0][:194], cells[1][:194]
    part = np.repeat([0, 1], 97)
    how = {"curves": reader.curves, "reducer": {}, "lineages": {"abc": np.array([0, 2, 3])}}
    few = make_reader(reader.svm, 4, embeddings=z, labels=labels, part=part, **how)
    np.testing.assert_array_equal(few.training, z[:97:4])
    assert few.unfamiliar == pytest.approx(np.quantile(brute(z[:97:4], z[97::4], 3), 0.99), rel=1e-6)


def test_cells_that_are_all_alike_make_anything_else_unfamiliar(reader):
    alike = replace(reader, training=np.zeros((9, 3), np.float32), unfamiliar=0.0)
    found = read(alike, np.array([[0, 0, 0], [0, 0.1, 0]], np.float32)).unfamiliar
    assert found[0] == 0 and found[1] > 1 and np.isfinite(found).all()


def test_a_fold_in_a_reduced_space_is_read_as_it_was_assessed(tmp_path):
    """From the files of a fold alone: the network into the reduced space, too."""
    rng = np.random.default_rng(0)
    taxonomy = for_classes("ABC", (Lineage("abc", ("A", "B", "C")),))
    labels = np.arange(90, dtype=np.int32) % 3
    z = (np.eye(3, 6)[labels] * 2 + rng.normal(0, 0.4, (90, 6))).astype(np.float32)
    names = tuple(f"{i}.png" for i in range(90))
    cells = CellSet(np.zeros((90, 2, 2, 3), np.uint8), labels, names, ("A", "B", "C"), None, None, None, "", "toy")
    rows = np.arange(0, 50), np.arange(50, 70), np.arange(70, 90)
    goal = {
        "curves": {"abc": Curve(jnp.array([[[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]]))},
        "targets": {"abc": jnp.array([0.0, 0.5, 1.0])},
        "reducer": init_network(jax.random.key(0), 6, widths=(8,)),
    }
    assess_fold(tmp_path, z=z, cells=cells, taxonomy=taxonomy, rows=rows, goal=goal, seed=0)
    found = read(load_reader(tmp_path, taxonomy), z[rows[2]])
    with open(tmp_path / "predictions.csv") as file:
        for i, row in enumerate(csv.DictReader(file)):
            np.testing.assert_allclose(found.probabilities[i], [float(row[f"p_{c}"]) for c in "ABC"], atol=1e-5)
            assert found.raw_t["abc"][i] == pytest.approx(float(row["raw_t"]), rel=1e-4, abs=1e-5)
            assert found.distance["abc"][i] == pytest.approx(float(row["distance"]), rel=1e-4, abs=1e-5)
    (tmp_path / "reducer.npz").unlink()
    with pytest.raises(InputError, match="train the run again"):
        load_reader(tmp_path, taxonomy)


def test_nothing_that_trains_is_imported():
    words = (
        "import sys, smrjax.predict; print([m for m in ('optax', 'flax', 'orbax', 'smrjax.train') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
