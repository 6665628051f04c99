"""Images that somebody damaged, or made to harm: each is read or has a reason, within the memory that is stated."""

import io
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import smr
from experiments.runtime import leave
from smrjax.data.decode import LARGE, MAX_BYTES, MAX_PIXELS, decode
from smrjax.data.folder import find_images, read_bytes, read_folder
from smrjax.data.listing import list_pictures
from smrjax.data.load import load_folder
from smrjax.data.reading import read_images
from smrjax.errors import InputError
from tests.data import hostile

pytestmark = pytest.mark.filterwarnings("ignore:.*exact copies of others")


def reasons(paths, **how):
    return [word for _, words in read_images([str(path) for path in paths], size=32, batch=64, **how) for word in words]


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def test_whole_pictures_of_every_kind_are_read(tmp_path):
    assert reasons(write(tmp_path, hostile.whole())) == [""] * len(hostile.whole())


def test_an_orientation_in_the_metadata_is_not_applied():
    pictures = hostile.whole()
    np.testing.assert_array_equal(decode(pictures["turned.jpeg"], 32), decode(pictures["rgb.jpeg"], 32))


def test_of_several_pages_the_first_is_read():
    pictures = hostile.whole()
    for name in ("pages.tiff", "moving.png"):
        np.testing.assert_array_equal(decode(pictures[name], 32), decode(pictures["rgb.png"], 32))


def test_a_thousand_damaged_images_are_read_or_have_a_reason(tmp_path):
    files = list(hostile.damaged(1000))
    paths = write(tmp_path, {name: data for name, data, _ in files})
    said = reasons(paths)
    assert len(set(paths)) == len(said) == 1000
    for word, (name, data, hopeless) in zip(said, files, strict=True):
        assert word.startswith("the ") if hopeless else word == "" or word.startswith("the "), name
        assert word.isprintable() and str(tmp_path) not in word, name
        assert (word == "") == pillow_reads(data), (name, word)
    assert 300 < said.count("") < 500


def pillow_reads(data):
    """Whether Pillow by itself opens a file and loads its pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                image.convert("RGBA")
        except Exception:
            return False
    return True


#: In a process of its own, whose memory nothing else has used: the peak in MB above that of the imports.
MEASURE = """
import sys
from smrjax.data.reading import read_images
def peak():
    with open("/proc/self/status") as file:  # not getrusage, which counts the parent before it became this process
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
before = peak()
said = [word for _, words in read_images(sys.argv[2:], size=32, batch=8, threads=int(sys.argv[1])) for word in words]
print(int(peak() - before), *said, sep="\\n")
"""


def measured(paths, threads=2):
    words = [sys.executable, "-W", "ignore", "-c", MEASURE, str(threads), *map(str, paths)]
    out = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    megabytes, *said = out.split("\n")[:-1]
    return int(megabytes), said


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are told otherwise elsewhere")
def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    paths = write(tmp_path, hostile.bombs())
    megabytes, said = measured(paths)
    assert all(word.startswith("the image is damaged") for word in said) and len(said) == len(paths)
    # All of them together, of which any alone asks for 50 MB at least, and most for a gigabyte.
    assert megabytes < 40


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are told otherwise elsewhere")
def test_the_largest_images_need_no_more_memory_than_is_stated(tmp_path):
    files = {f"{i}.{kind}": hostile.largest(kind) for kind in ("webp",) for i in range(2)}
    megabytes, said = measured(write(tmp_path, files))
    assert said == [""] * len(files)
    # One at a time, whatever the number of threads: two at once would need twice as much.
    stated = 32 * MAX_PIXELS / 1e6
    assert 0.3 * stated < megabytes < stated


def test_the_limits_are_those_that_are_stated():
    assert (MAX_PIXELS, MAX_BYTES >> 20, 32 * MAX_PIXELS / 1e9) == (25_000_000, 128, 0.8)
    assert round((MAX_BYTES + 32 * LARGE) / 1e9, 1) == 0.3


@pytest.fixture
def cells(tmp_path):
    """A folder of two classes with three whole images each."""
    folder, pictures = tmp_path / "cells", list(hostile.whole().items())
    for label in ("A", "B"):
        write(folder / label, dict(pictures[:3]))
    return folder


def train(capsys, *words):
    """The exit code of a training and the last line of what it says."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["smr", "--folds", "3", "--image-size", "16", *words])
        leave(smr.main)
    return end.value.code, capsys.readouterr().err.rstrip("\n").replace("\r", "\n").split("\n")[-1]


@pytest.mark.parametrize("count", [8, pytest.param(1000, marks=pytest.mark.soak)])
def test_training_names_the_damaged_image_and_leaves_nothing(cells, tmp_path, capsys, count):
    every = [(name, data) for name, data, _ in hostile.damaged(1000)][:: 1000 // count]
    bad = [(name, data) for name, data in every if reasons(write(tmp_path / "one", {name: data}))[0]]
    assert len(bad) > count // 2
    print(f"{len(bad)} of {len(every)} damaged images cannot be read")
    out, cache = tmp_path / "runs", tmp_path / "cache"
    for name, data in bad:
        (path,) = write(cells / "B", {name: data})
        code, said = train(capsys, "--data", str(cells), "--cache", str(cache), "--out", str(out))
        assert code == 2 and said.startswith("error: ") and f"B/{name}" in said, (name, said)
        path.unlink()
    assert not out.exists()
    assert not [path for path in cache.glob("*cell_folder*") if path.name.endswith("px")]


@pytest.mark.parametrize("count", [6, pytest.param(1000, marks=pytest.mark.soak)])
def test_damaged_images_that_can_be_read_are_trained_on(cells, tmp_path, count):
    every = {name: data for name, data, _ in hostile.damaged(1000)}
    paths = write(tmp_path / "all", every)
    good = [path for path, word in zip(paths, reasons(paths), strict=True) if not word][:count]
    for path in good:
        path.rename(cells / "A" / path.name)
    found = load_folder(cells, size=16, cache_dir=tmp_path / "cache", progress=False)
    print(f"{len(good)} damaged images can be read")
    assert len(found) == 6 + len(good) and found.images.shape == (len(found), 16, 16, 3)


def endless(folder):
    """What opens like a file and never ends, by name."""
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    with open(folder / "sparse.png", "wb") as file:
        file.truncate(2**40)
    (folder / "round.png").symlink_to(folder / "round.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "folder.png").mkdir()
    return ["pipe.png", "device.png", "sparse.png", "round.png", "gone.png"]


def test_pipes_devices_and_endless_files_are_not_read(cells, tmp_path, capsys):
    names = endless(cells / "B")
    start = time.monotonic()
    assert all(reasons(cells / "B" / name for name in names))
    for name in names:
        (cells / "B" / name).rename(tmp_path / name)
    for name in names:
        (tmp_path / name).rename(cells / "B" / name)
        code, said = train(capsys, "--data", str(cells), "--cache", str(tmp_path / "cache"))
        assert code == 2 and said.startswith("error: ") and f"B/{name}" in said
        (cells / "B" / name).unlink()
    assert len(load_folder(cells, size=16, cache_dir=tmp_path / "cache", progress=False)) == 6
    assert time.monotonic() - start < 300


def test_links_are_followed_out_of_the_folder_and_never_in_circles(cells, tmp_path):
    (picture,) = write(tmp_path / "elsewhere", {"1.png": hostile.whole()["rgb.png"]})
    (cells / "A" / "out.png").symlink_to(picture)
    (cells / "C").symlink_to(picture.parent, target_is_directory=True)
    (picture.parent / "back").symlink_to(cells, target_is_directory=True)
    (cells / "A" / "again").symlink_to(cells / "A", target_is_directory=True)
    records, classes = read_folder(cells)
    assert classes == ("A", "B", "C")
    assert {"A/out.png", "C/1.png"} <= {record.name for record in records} and len(records) < 30
    assert len({os.path.realpath(path) for path in find_images(str(cells))}) == 7


def test_names_in_any_script(cells, tmp_path):
    count = hostile.write_names(cells / "C", hostile.whole()["rgb.png"])
    assert count > 20
    found = load_folder(cells, size=16, cache_dir=tmp_path / "cache", progress=False)
    assert len(found) == 6 + count and len(set(found.names)) == len(found.names)
    assert all(name.encode() for name in found.names)
    pictures = list_pictures([str(cells / "C")])
    assert len(pictures) == count and reasons(picture.path for picture in pictures) == [""] * count


@pytest.mark.parametrize("name", ["שלום", "a\nb", "\x1b[2J", "<b>", "-x", "=1", "a,b", "x" * 255, "\u202edrow", " "])
def test_classes_in_any_script(cells, tmp_path, name):
    (cells / "B").rename(cells / name)
    found = load_folder(cells, size=16, cache_dir=tmp_path / "cache", progress=False)
    assert set(found.classes) == {"A", name} and len(found) == 6
    for cell, label in zip(found.names, found.labels, strict=True):
        assert cell.split("/")[0] == found.classes[label]


def test_errors_are_one_line_whatever_names_hold(cells, tmp_path, capsys):
    write(cells / "B\n2\x1b[2J", {"\u202egnp.png": b"none"})
    code, said = train(capsys, "--data", str(cells), "--cache", str(tmp_path / "cache"))
    assert code == 2 and said.startswith("error: ") and r"B\n2\x1b[2J/\u202egnp.png" in said


@pytest.mark.parametrize("path", ["x" * 300, "~nobody-of-this-name/x", "a\nb", "/dev/null", "x" * 300 + ".csv"])
def test_paths_that_cannot_be(tmp_path, capsys, path):
    code, said = train(capsys, "--data", path, "--cache", str(tmp_path / "cache"))
    assert code == 2 and said.startswith("error: ")
    if path != "/dev/null":  # named by itself, it gets a row with a reason
        with pytest.raises(InputError):
            list_pictures([path])


def test_members_of_archives_have_a_size_limit(tmp_path):
    import zipfile

    from smrjax.data.folder import Record

    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("../../BAS_1.jpg", "w") as file:
            for _ in range(130):
                file.write(bytes(2**20))
    record = Record("BAS_1.jpg", str(tmp_path / "bomb.zip"), "BAS", member="../../BAS_1.jpg")
    assert (tmp_path / "bomb.zip").stat().st_size < 2**18
    with pytest.raises(InputError, match="bomb.zip: BAS_1.jpg cannot be read .130 MB"):
        list(read_bytes([record]))
    # Members are read where they are: nothing is written, so no name leads out of anything.
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.zip"] and not (tmp_path.parent / "BAS_1.jpg").exists()
