import os
import struct

import numpy as np
import pytest

from smrjax.data.decode import decode
from smrjax.data.reading import read_images
from tests.data.conftest import picture


def everything(paths, **how):
    return list(read_images([str(path) for path in paths], **how))


@pytest.fixture
def files(tmp_path):
    kinds = ["png", "jpg", "tif", "bmp", "webp"]
    paths = [tmp_path / f"{i}.{kinds[i % 5]}" for i in range(11)]
    for i, path in enumerate(paths):
        picture(i, (40 + i, 37)).save(path)
    return paths


@pytest.mark.parametrize("batch", [1, 4, 11, 64])
def test_pixels_are_those_of_training(files, batch):
    seen = everything(files, size=16, batch=batch)
    images = np.concatenate([images for images, _ in seen])
    assert [reason for _, words in seen for reason in words] == [""] * 11
    assert all(len(images) == batch for images, _ in seen)
    for path, image in zip(files, images, strict=False):
        np.testing.assert_array_equal(image, decode(path.read_bytes(), 16))
    assert not images[11:].any()


def test_no_files():
    assert everything([], size=16, batch=4) == []


def test_every_kind_of_bad_image_has_a_reason(files, tmp_path):
    whole = files[1].read_bytes()
    bad = {
        "gone.png": "there is no such file",
        "empty.png": "the file is empty",
        "text.png": "the file is not an image",
        "cut.jpg": "the image is damaged",
        "cut.png": "the image is damaged",
        "flat.bmp": "the ",
        "folder.png": "there is no such file",
        "dangling.png": "there is no such file",
        "noise.tif": "the ",
    }
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:200])
    # A picture 0 pixels wide.
    header = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 0, 9, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "flat.bmp").write_bytes(header)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "noise.tif").write_bytes(b"II*\0" + np.random.default_rng(0).bytes(500))
    paths = [*files[:2], *(tmp_path / name for name in bad), files[2]]
    ((images, words),) = everything(paths, size=16, batch=16)
    assert words[:2] == ["", ""] and words[-1] == ""
    for said, (name, expected) in zip(words[2:-1], bad.items(), strict=True):
        assert said.startswith(expected), (name, said)
        assert "0x" not in said and "\n" not in said
    assert not images[2:-5].any()
    np.testing.assert_array_equal(images[len(bad) + 2], decode(files[2].read_bytes(), 16))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(files):
    files[0].chmod(0)
    ((_, words),) = everything(files[:1], size=16, batch=1)
    assert "Permission denied" in words[0]


def test_whoever_stops_early_leaves_no_thread(files):
    import threading

    before = threading.active_count()
    reader = read_images([str(path) for path in files * 200], size=16, batch=8)
    next(reader)
    reader.close()
    assert threading.active_count() == before
