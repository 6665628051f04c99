import warnings

import numpy as np
import pytest

from smrjax.data import load, load_bloodmnist
from smrjax.data.bloodmnist import CLASSES, PARTS, find_bloodmnist
from smrjax.data.folds import make_folds, split
from smrjax.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:bloodmnist. other numbers of images than published")
FEW = {"train": 40, "val": 8, "test": 16}


@pytest.fixture
def options(tmp_path):
    return {"size": 16, "cache_dir": tmp_path / "cache", "progress": False}


def arrays(side=28, *, seed=0, counts=FEW):
    """Random images; labels go round."""
    rng = np.random.default_rng(seed)
    made = {}
    for part, n in counts.items():
        made[f"{part}_images"] = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        made[f"{part}_labels"] = (np.arange(n) % 8).astype(np.uint8)[:, None]
    return made


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "bloodmnist"
    folder.mkdir()
    np.savez_compressed(folder / "bloodmnist.npz", **arrays())
    return folder


def test_pixels_labels_and_parts(published, options):
    cells, made = load_bloodmnist(published, **options | {"size": 28}), arrays()
    np.testing.assert_array_equal(cells.images, np.concatenate([made[f"{part}_images"] for part in PARTS]))
    np.testing.assert_array_equal(cells.labels, np.concatenate([made[f"{part}_labels"][:, 0] for part in PARTS]))
    assert cells.classes == CLASSES and cells.name == "bloodmnist" and cells.groups is None
    assert CLASSES[3] == "immature granulocytes" and len(CLASSES) == 8
    assert cells.names[0] == "train/00000" and cells.names[-1] == "test/00015"


def test_numbers_are_the_papers():
    # Yang et al. 2023: 17,092 images; Acevedo et al. 2020: the same by class.
    assert sum(PARTS.values()) == 17_092 == 1218 + 3117 + 1551 + 2895 + 1214 + 1420 + 3329 + 2348


def test_fold_0_is_the_official_split_and_the_others_are_even_in_every_class(published, options):
    cells = load_bloodmnist(published, **options)
    fold_of = make_folds(cells.labels, given=cells.folds)
    parts = [[cells.names[row].split("/")[0] for row in rows] for rows in split(fold_of, 0)]
    assert parts == [["train"] * 40, ["val"] * 8, ["test"] * 16]
    for label in range(8):
        of_training = cells.folds[(cells.labels == label) & (cells.folds > 1)]
        assert sorted(np.bincount(of_training, minlength=6)[2:]) == [1, 1, 1, 2]


def test_file_folder_and_name_give_the_same_cells(published, options, monkeypatch):
    monkeypatch.setenv("SMRJAX_DATA", str(published.parent))
    specs = ("bloodmnist", published, published / "bloodmnist.npz")
    assert len({load(spec, **options).digest for spec in specs}) == 1


def test_the_smallest_file_that_is_large_enough(published):
    for side in (64, 224):
        (published / f"bloodmnist_{side}.npz").touch()
    sizes = {16: "", 28: "", 29: "_64", 64: "_64", 65: "_224", 224: "_224", 300: "_224"}
    assert {size: find_bloodmnist(published, size).stem for size in sizes} == {
        size: f"bloodmnist{end}" for size, end in sizes.items()
    }


def test_larger_images_are_other_cells(published, options):
    small = load_bloodmnist(published, **options | {"size": 40})
    np.savez(published / "bloodmnist_64.npz", **arrays(64, seed=1))
    large = load_bloodmnist(published, **options | {"size": 64})
    assert small.digest != large.digest
    np.testing.assert_array_equal(large.images[0], arrays(64, seed=1)["train_images"][0])


def test_records_are_lossless_and_read_without_this_library(published, options, tmp_path):
    import io

    import tensorflow_datasets as tfds
    from PIL import Image

    load_bloodmnist(published, **options)
    (where,) = (tmp_path / "cache" / "records").glob("*/blood_mnist/1.0.0")
    example = tfds.builder_from_directory(where).as_data_source("train")[5]
    assert example["label"] == 5 and example["name"] == b"train/00005" and example["fold"] == 2
    with Image.open(io.BytesIO(example["image"])) as image:
        np.testing.assert_array_equal(np.asarray(image), arrays()["train_images"][5])


@pytest.mark.filterwarnings("default:bloodmnist. other numbers of images than published")
def test_other_numbers_are_told_every_time(published, options):
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"train \(40 of 11,959\), val \(8 of 1,712\), test \(16 of 3,421\)"):
            load_bloodmnist(published, **options)


def test_the_published_numbers_are_taken_without_a_word(published, options, monkeypatch):
    monkeypatch.setattr("smrjax.data.bloodmnist.PARTS", FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_bloodmnist(published, **options)) == 64


def changed(**values):
    return arrays() | values


# What other sets of MedMNIST look like.
OTHERS = {
    "grey": (changed(train_images=np.zeros((40, 28, 28), np.uint8)), "in colour: train_images is uint8 of shape"),
    "volumes": (changed(val_images=np.zeros((8, 28, 28, 28), np.uint8)), "in colour: val_images"),
    "seven classes": (changed(train_labels=np.arange(40)[:, None] % 7), "8 labels each: train_labels"),
    "nine classes": (changed(train_labels=np.arange(40)[:, None] % 9), "8 labels each: train_labels"),
    "a ninth class in the test": (changed(test_labels=np.full((16, 1), 8)), "8 labels each: test_labels"),
    "many labels an image": (changed(train_labels=np.arange(80).reshape(40, 2) % 8), "8 labels each"),
    "too few labels": (changed(test_labels=np.zeros((5, 1), int)), "for 16 images"),
    "floats": (changed(train_images=np.zeros((40, 28, 28, 3))), "float64"),
    "something else": ({"x": np.zeros(3)}, "it has no array train_images"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_set_of_medmnist(published, options, what):
    made, message = OTHERS[what]
    np.savez(published / "bloodmnist.npz", **made)
    with pytest.raises(InputError, match=message) as caught:
        load(published / "bloodmnist.npz", **options)
    assert "zenodo.10519652" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "empty", "pickled", "one array"])
def test_damaged_file(published, options, damage):
    path = published / "bloodmnist.npz"
    data = path.read_bytes()
    if damage == "pickled":
        np.savez(path, **changed(train_images=np.array([{}] * 40, dtype=object)))
    elif damage == "one array":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    else:
        middle = data[:20000] + bytes(5000) + data[25000:]
        path.write_bytes({"cut": data[:-500], "zeros": middle, "text": b"hello", "empty": b""}[damage])
    with pytest.raises(InputError, match="not a whole .npz archive") as caught:
        load_bloodmnist(path, **options)
    assert "\n" not in str(caught.value)
    path.write_bytes(data)
    assert len(load_bloodmnist(path, **options)) == 64


def test_nothing_there(tmp_path, options, monkeypatch):
    monkeypatch.delenv("SMRJAX_DATA", raising=False)
    with pytest.raises(InputError, match=r"set SMRJAX_DATA .*zenodo.10519652"):
        load("bloodmnist", **options)
    with pytest.raises(InputError, match=r"there is no bloodmnist.npz .*zenodo.10519652"):
        load_bloodmnist(tmp_path, **options)
