import gzip
import sys
import warnings

import numpy as np
import pytest

from smrjax.data import load, load_pcam
from smrjax.data.folds import make_folds, split
from smrjax.data.pcam import PARTS, find_pcam, read_pcam
from smrjax.errors import InputError

h5py = pytest.importorskip("h5py", reason="pip install 'smrjax[pcam]'")

pytestmark = pytest.mark.filterwarnings("ignore:pcam. other numbers of images than published")
FEW = {"train": 11, "valid": 4, "test": 5}


@pytest.fixture
def options(tmp_path):
    return {"size": 16, "cache_dir": tmp_path / "cache", "progress": False}


def arrays():
    rng = np.random.default_rng(0)
    return {
        part: (rng.integers(0, 256, (n, 96, 96, 3), dtype=np.uint8), rng.integers(0, 2, (n, 1, 1, 1), dtype=np.uint8))
        for part, n in FEW.items()
    }


def file_of(folder, part, what):
    return folder / f"camelyonpatch_level_2_split_{part}_{what}.h5"


def write(path, key, array):
    with h5py.File(path, "w") as file:
        file[key] = array


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "pcam"
    folder.mkdir()
    for part, (x, y) in arrays().items():
        write(file_of(folder, part, "x"), "x", x)
        write(file_of(folder, part, "y"), "y", y)
    return folder


@pytest.fixture
def packed(published, tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    for path in published.iterdir():
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    return folder


def test_pixels_labels_and_parts(published, options):
    cells, made = load_pcam(published, **options | {"size": 96}), arrays()
    np.testing.assert_array_equal(cells.images, np.concatenate([x for x, _ in made.values()]))
    np.testing.assert_array_equal(cells.labels, np.concatenate([y.ravel() for _, y in made.values()]))
    assert cells.classes == ("normal", "tumor") and cells.name == "pcam" and len(set(cells.labels)) == 2
    fold_of = make_folds(cells.labels, given=cells.folds)
    parts = [[cells.names[row].split("/")[0] for row in rows] for rows in split(fold_of, 0)]
    assert parts == [["train"] * 11, ["valid"] * 4, ["test"] * 5]


def test_numbers_are_the_papers():
    # BM, section 2.1.3.
    assert PARTS == {"train": 262_144, "valid": 32_768, "test": 32_768} and sum(PARTS.values()) == 327_680


def test_packed_files_give_the_same_cells_and_leave_nothing_unpacked(published, packed, options, tmp_path):
    plain, cells = load_pcam(published, **options), load(packed, **options)
    assert plain.names == cells.names
    np.testing.assert_array_equal(plain.images, cells.images)
    assert not list((tmp_path / "cache").rglob("*.h5"))


def test_folder_and_name_give_the_same_cells(published, options, monkeypatch):
    monkeypatch.setenv("SMRJAX_DATA", str(published.parent))
    assert load("pcam", **options).digest == load(published, **options).digest


def test_an_unpacked_file_goes_before_a_packed_one(published, packed):
    file_of(packed, "valid", "x").write_bytes(file_of(published, "valid", "x").read_bytes())
    assert [path.suffix for path in find_pcam(packed).values()] == [".gz", ".gz", ".h5", ".gz", ".gz", ".gz"]


def test_few_rows_are_in_memory_at_a_time(published, tmp_path, monkeypatch):
    monkeypatch.setattr("smrjax.data.pcam._CHUNK", 3)
    wanted = []
    read = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, rows: wanted.append(rows) or read(self, rows))
    found = list(read_pcam(published, tmp_path))
    assert len(found) == 20 and all(rows.stop - rows.start == 3 for rows in wanted)
    made = arrays()
    np.testing.assert_array_equal(np.stack([image for _, image, _, _ in found[:11]]), made["train"][0])
    assert [label for _, _, label, _ in found[11:15]] == made["valid"][1].ravel().tolist()


def test_a_second_call_needs_no_h5py(published, options, monkeypatch):
    first = load_pcam(published, **options)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert load_pcam(published, **options).digest == first.digest
    with pytest.raises(InputError, match=r"pip install 'smrjax\[pcam\]'"):
        load_pcam(published, **options | {"size": 8, "cache_dir": options["cache_dir"] / "other"})


@pytest.mark.filterwarnings("default:pcam. other numbers of images than published")
def test_other_numbers_are_told_and_the_published_are_not(published, options, monkeypatch):
    with pytest.warns(UserWarning, match=r"train \(11 of 262,144\), valid \(4 of 32,768\), test \(5 of 32,768\)"):
        load_pcam(published, **options)
    monkeypatch.setattr("smrjax.data.pcam.PARTS", FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_pcam(published, **options)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("what", ["x", "y"])
def test_a_missing_file_is_named(published, options, part, what):
    file_of(published, part, what).unlink()
    with pytest.raises(InputError, match=rf"split_{part}_{what}.h5\[.gz\]: .*zenodo.2546921") as caught:
        load(published, **options)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path, options, monkeypatch):
    monkeypatch.delenv("SMRJAX_DATA", raising=False)
    with pytest.raises(InputError, match=r"set SMRJAX_DATA .*zenodo.2546921"):
        load("pcam", **options)
    with pytest.raises(InputError, match="train_x.h5"):
        load_pcam(tmp_path, **options)


WRONG = {
    "grey": ("x", np.zeros((5, 96, 96), np.uint8), "x is uint8 of shape"),
    "floats": ("x", np.zeros((5, 96, 96, 3)), "x is float64"),
    "fewer images than labels": ("x", np.zeros((4, 96, 96, 3), np.uint8), "for 4 images"),
    "another label": ("y", np.full((5, 1, 1, 1), 2, np.uint8), "neither 0 nor 1"),
    "masks for labels": ("y", np.zeros((5, 96, 96, 1), np.uint8), "has labels of shape"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arrays(published, options, what):
    key, array, message = WRONG[what]
    write(file_of(published, "test", key), key, array)
    with pytest.raises(InputError, match=message) as caught:
        load_pcam(published, **options)
    assert "split_test_" in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_files(published, packed, options):
    write(file_of(published, "test", "y"), "labels", np.zeros(5))
    with pytest.raises(InputError, match=r"test_y.h5: is not a whole HDF5 file with an array y"):
        load_pcam(published, **options)
    path = file_of(published, "train", "x")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"train_x.h5: is not a whole HDF5 file"):
        load_pcam(published, **options)
    path = packed / f"{path.name}.gz"
    data = path.read_bytes()
    for damaged in (data[:-1000], data[:500] + bytes(500) + data[1000:], b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"train_x.h5.gz: is not a whole .gz file") as caught:
            load_pcam(packed, **options)
        assert "\n" not in str(caught.value)
