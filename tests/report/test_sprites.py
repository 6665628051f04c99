import base64
import io

import numpy as np
import pytest
from PIL import Image

from smrjax.report import sprites
from smrjax.report.sprites import sprite_sheet, tile_side


def plain(count, size):
    """Images of one colour each, neighbours far apart."""
    colours = np.random.default_rng(0).permutation(np.linspace(0, 255, 3 * count)).reshape(count, 3)
    return np.broadcast_to(colours.astype(np.uint8)[:, None, None], (count, size, size, 3))


def decoded(sheet):
    return np.asarray(Image.open(io.BytesIO(sheet.image)).convert("RGB")).astype(int)


@pytest.mark.parametrize(("count", "size"), [(1, 64), (7, 28), (50, 64), (12, 200)])
def test_every_tile_holds_its_own_image_and_nothing_of_its_neighbours(count, size):
    images = plain(count, size)
    sheet = sprite_sheet(images)
    pixels = decoded(sheet)
    assert sheet.side == min(size, 128) and sheet.pitch % 16 == 0 and sheet.pitch >= sheet.side
    for i in range(count):
        left, top = sheet.pitch * (i % sheet.columns), sheet.pitch * (i // sheet.columns)
        tile = pixels[top : top + sheet.side, left : left + sheet.side]
        assert tile.shape == (sheet.side, sheet.side, 3)
        # Neighbours differ by far more; the outermost pixels are not shown.
        assert np.abs(tile[1:-1, 1:-1] - images[i, 0, 0].astype(int)).max() <= 16


def test_a_tile_is_turned_no_way():
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, :20, 44:, 0] = 255  # red at the top right
    pixels = decoded(sprite_sheet(image))
    assert pixels[5, 58, 0] > 200 and pixels[58, 5, 0] < 50 and pixels[5, 5, 0] < 50 and pixels[58, 58, 0] < 50


def test_many_images_are_shown_smaller():
    for count in (1, 1000, 1250, 3000, 5000):
        assert count * tile_side(count, 500) ** 2 <= 5000 * 64**2
    assert [tile_side(5000, size) for size in (28, 64, 224)] == [28, 64, 64]


def test_images_that_are_hard_to_code_get_a_lower_quality(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    usual = sprite_sheet(noise)
    monkeypatch.setattr(sprites, "BYTES", len(usual.image) - 1)
    assert len(sprite_sheet(noise).image) < len(usual.image)


def test_a_data_uri_holds_the_file():
    sheet = sprite_sheet(plain(2, 16))
    kind, _, text = sheet.uri.partition(",")
    assert kind == "data:image/webp;base64" and base64.b64decode(text) == sheet.image


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 9, 3), np.uint8),
        np.zeros((2, 8, 8, 3)),
        np.zeros((8, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(images):
    with pytest.raises(ValueError, match="a sheet of"):
        sprite_sheet(images)
