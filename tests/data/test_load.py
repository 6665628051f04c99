"""From folders to decoded cells, through TFDS records and the cache."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from smrjax.data import DATASETS, CellSet, load, load_folder, load_pbc, load_synthetic
from smrjax.data.cache import cache_root, open_cells
from smrjax.data.synthetic import CLASSES, render
from smrjax.errors import InputError


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def from_folder(folder, cache, size=16, **options):
    return load_folder(folder, size=size, cache_dir=cache, progress=False, **options)


def entry(cache, start="cell_folder"):
    (found,) = cache.glob(f"{start}-*")
    return found


def test_pixels_labels_and_names(make_folder, cache):
    folder = make_folder({"B": 3, "A": 2})
    cells = from_folder(folder, cache, size=40)
    assert cells.classes == ("A", "B") and cells.labels.tolist() == [0, 0, 1, 1, 1]
    assert cells.labels.dtype == np.int32 and cells.images.dtype == np.uint8 and len(cells) == 5
    assert cells.names == ("A/0.png", "A/1.png", "B/0.png", "B/1.png", "B/2.png") and cells.name == "cells"
    assert cells.groups is None and cells.folds is None and cells.maturity is None
    for name, image in zip(cells.names, cells.images, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(folder / name)))


def test_resized_as_pillow_does(make_folder, cache):
    folder = make_folder({"A": 1, "B": 1})
    with Image.open(folder / "A" / "0.png") as image:
        expected = np.asarray(image.resize((16, 16), Image.Resampling.LANCZOS, reducing_gap=3.0))
    np.testing.assert_array_equal(from_folder(folder, cache).images[0], expected)


def test_second_call_reads_the_map_and_nothing_heavy(make_folder, cache):
    folder = make_folder({"A": 2, "B": 2})
    first = from_folder(folder, cache)
    program = (
        "import sys, smrjax.data as d;"
        f"c = d.load({str(folder)!r}, size=16, cache_dir={str(cache)!r});"
        "heavy = ('tensorflow_datasets', 'PIL', 'jax', 'sklearn');"
        "print(c.digest, c.images.sum(), *(m for m in heavy if m in sys.modules))"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    out = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.split() == [first.digest, str(first.images.sum())] and out.stderr == ""


def test_two_processes_at_once_build_one_entry_each_and_share_the_records(make_folder, cache):
    folder = make_folder({"A": 20, "B": 20})
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    processes = []
    for size in (8, 8, 12):
        call = f"load({str(folder)!r}, size={size}, cache_dir={str(cache)!r}, progress=False)"
        program = f"from smrjax.data import load; {call}"
        processes.append(subprocess.Popen([sys.executable, "-W", "error", "-c", program], env=environment))
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(list(cache.glob("cell_folder-*"))) == 2 and len(list((cache / "records").iterdir())) == 1


def test_original_bytes_are_kept_in_records_that_tfds_reads_alone(make_folder, cache):
    import tensorflow_datasets as tfds

    folder = make_folder({"A": 2, "B": 1})
    cells = from_folder(folder, cache)
    (where,) = (cache / "records").glob("*/cell_folder/1.0.0")
    source = tfds.builder_from_directory(where).as_data_source("train")
    assert len(source) == 3
    for name, label, example in zip(cells.names, cells.labels, source, strict=True):
        assert example["image"] == (folder / name).read_bytes() and example["label"] == label


def test_more_than_tfds_holds_in_memory_is_written_without_tensorflow_and_in_order(make_folder, cache, monkeypatch):
    # TFDS's own writer turns to TensorFlow beyond this; real sets have gigabytes.
    monkeypatch.setattr("tensorflow_datasets.core.shuffle.MAX_MEM_BUFFER_SIZE", 1000)
    monkeypatch.setattr("smrjax.data.cells._PER_FILE", 4)
    cells = from_folder(make_folder({"A": 7, "B": 6}), cache)
    assert cells.names == tuple(f"{code}/{i}.png" for code, n in (("A", 7), ("B", 6)) for i in range(n))
    assert len(list((cache / "records").rglob("*.array_record-*"))) == 4


def test_digest_tells_content_labels_and_size(make_folder, cache):
    folder = make_folder({"A": 2, "B": 2})
    same = make_folder({"A": 2, "B": 2}, "same")
    first = from_folder(folder, cache)
    assert from_folder(same, cache).digest == first.digest and from_folder(same, cache).name == "same"
    digests = {first.digest, from_folder(folder, cache, size=8).digest}
    digests.add(from_folder(folder, cache, classes=["B", "A"]).digest)
    (same / "A" / "0.png").rename(same / "B" / "9.png")
    digests.add(from_folder(same, cache).digest)
    Image.new("RGB", (9, 9), "red").save(folder / "A" / "0.png")
    digests.add(from_folder(folder, cache).digest)
    assert len(digests) == 5


def test_changed_image_is_decoded_anew(make_folder, cache):
    folder = make_folder({"A": 1, "B": 1})
    before = from_folder(folder, cache).images[0].copy()
    Image.new("RGB", (40, 40), (1, 2, 3)).save(folder / "A" / "0.png")
    after = from_folder(folder, cache).images[0]
    assert (after == [1, 2, 3]).all() and (before != after).any()


@pytest.mark.parametrize("damage", ["short map", "no map", "short table", "no table", "no about", "other format"])
def test_damaged_entry_is_rebuilt(make_folder, cache, damage):
    folder = make_folder({"A": 2, "B": 2})
    expected = from_folder(folder, cache)
    pixels = np.array(expected.images)
    where = entry(cache)
    if damage == "other format":
        about = json.loads((where / "about.json").read_text()) | {"format": 0}
        (where / "about.json").write_text(json.dumps(about))
    else:
        how, what = damage.split()
        file = where / {"map": "images.npy", "table": "cells.npz", "about": "about.json"}[what]
        if how == "no":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:-100])
    assert open_cells(where) is None
    again = from_folder(folder, cache)
    np.testing.assert_array_equal(again.images, pixels)
    assert again.names == expected.names and again.digest == expected.digest


def test_damaged_records_are_rebuilt(make_folder, cache):
    folder = make_folder({"A": 2, "B": 2})
    from_folder(folder, cache)
    (records,) = (cache / "records").glob("**/*.array_record*")
    records.write_bytes(b"\0" * records.stat().st_size)
    assert from_folder(folder, cache, size=8).images.shape == (4, 8, 8, 3)


def test_unreadable_image_is_named_and_nothing_half_built_stays(make_folder, cache):
    folder = make_folder({"A": 2, "B": 2})
    good = (folder / "B" / "1.png").read_bytes()
    (folder / "B" / "1.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match=r"B/1.png: cannot be read as an image") as caught:
        from_folder(folder, cache)
    assert "\n" not in str(caught.value)
    left = [path.name for path in cache.iterdir() if not path.name.endswith(".lock")]
    assert sorted(left) == ["hashes", "records"] and not list((cache / "records").iterdir())
    (folder / "B" / "1.png").write_bytes(good)
    assert len(from_folder(folder, cache)) == 4


def test_manifest_brings_groups_and_folds(make_folder, cache):
    folder = make_folder({"A": 2, "B": 2})
    path = folder / "cells.csv"
    path.write_text("path,label,slide,fold\nB/0.png,x,s2,1\nA/0.png,y,s1,0\nA/1.png,x,s2,1\n")
    cells = from_folder(path, cache)
    assert cells.labels.tolist() == [0, 1, 0] and cells.names == ("B/0.png", "A/0.png", "A/1.png")
    assert cells.groups.tolist() == [1, 0, 1] and cells.groups.dtype == np.int32
    assert cells.folds.tolist() == [1, 0, 1] and cells.folds.dtype == np.int32


def test_slides_that_are_numbers_keep_them(make_folder, cache):
    folder = make_folder({"A": 1, "B": 1})
    (folder / "cells.csv").write_text("path,label,slide\nA/0.png,x,107\nB/0.png,y,9\n")
    assert from_folder(folder / "cells.csv", cache).groups.tolist() == [107, 9]


def test_copies_are_told(make_folder, cache):
    folder = make_folder({"A": 2, "B": 2})
    (folder / "B" / "7.png").write_bytes((folder / "A" / "1.png").read_bytes())
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"1 images are exact copies of others \(B/7.png of A/1.png"):
            from_folder(folder, cache)


def test_broken_link_is_named(make_folder, cache):
    folder = make_folder({"A": 1, "B": 1})
    (folder / "A" / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(InputError, match=r"gone.png: cannot be read"):
        from_folder(folder, cache)


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give another folder by --cache"):
        cache_root(tmp_path / "file" / "cache")


def test_cache_folder_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SMRJAX_CACHE", str(tmp_path / "here"))
    assert cache_root() == tmp_path / "here" and cache_root(tmp_path / "there") == tmp_path / "there"
    monkeypatch.delenv("SMRJAX_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "smrjax"


def test_full_disk(make_folder, cache, monkeypatch):
    import shutil

    folder = make_folder({"A": 1, "B": 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(InputError, match="GB are free"):
        from_folder(folder, cache)


def test_synthetic_marrow_is_what_the_renderer_draws(cache):
    cells = load_synthetic(12, size=16, seed=3, cache_dir=cache, progress=False)
    assert cells.classes == CLASSES and cells.name == "synthetic_marrow"
    for index in range(12):
        expected = render(index, size=16, seed=3)
        np.testing.assert_array_equal(cells.images[index], expected.image)
        assert (cells.labels[index], cells.groups[index]) == (expected.label, expected.slide)
        np.testing.assert_array_equal(cells.maturity[index], np.float32(expected.maturity))


def test_load_by_name_and_by_path(make_folder, cache):
    drawn = load("synthetic_marrow", size=16, count=5, cache_dir=cache, progress=False)
    assert isinstance(drawn, CellSet) and len(drawn) == 5
    assert drawn.digest != load("synthetic_marrow", size=16, count=5, seed=1, cache_dir=cache, progress=False).digest
    assert len(load(make_folder({"A": 1, "B": 1}), size=8, cache_dir=cache, progress=False)) == 2
    assert set(DATASETS) == {"synthetic_marrow", "pbc", "marrow21", "bloodmnist", "pcam"}


def test_crops_of_the_comparison_detector_are_a_folder_like_any_other(make_folder, cache):
    # The eleven classes of Liang et al. 2018, for pre-training.
    names = "actinomyces agc asch ascus candida flora herps hsil lsil scc trichomonas".split()
    cells = load(make_folder(dict.fromkeys(names, 1), "cd"), size=8, cache_dir=cache, progress=False)
    assert list(cells.classes) == names and cells.labels.tolist() == list(range(11)) and cells.name == "cd"


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("no/such", {}, "no such folder or manifest; or say synthetic_marrow, pbc, marrow21, bloodmnist or pcam"),
        ("synthetic_marrow", {"count": 0}, "1 or more"),
        ("synthetic_marrow", {"size": 4}, "16 to 512"),
        (".", {"size": 0}, "--image-size 0"),
    ],
)
def test_things_that_cannot_be_loaded(cache, spec, options, message):
    with pytest.raises(InputError, match=message):
        load(spec, **{"size": 16, "cache_dir": cache, "progress": False} | options)


def test_pbc_needs_a_place(monkeypatch, cache):
    monkeypatch.delenv("SMRJAX_DATA", raising=False)
    with pytest.raises(InputError, match="10.17632/snkd93bnjr.1"):
        load_pbc(size=16, cache_dir=cache)
