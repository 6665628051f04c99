import json

import numpy as np
import pytest
from PIL import Image

from smrjax.data.listing import Picture
from smrjax.data.stain import normalise_stain, stain_statistics
from smrjax.errors import InputError
from smrjax.predict.stains import group_stains, read_stain, recolour, samples, write_stain
from tests.data.conftest import picture


@pytest.fixture
def slides(tmp_path):
    """Two slides, one much bluer; their images take turns; one file is broken."""
    pictures, images = [], []
    for i in range(9):
        image = np.asarray(picture(i, (24, 24))).astype(float)
        image = np.clip(image * ([1, 1, 1] if i % 2 else [0.5, 0.6, 1]), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        pictures.append(Picture(f"{i}.png", str(tmp_path / f"{i}.png"), f"slide {i % 2}"))
        images.append(image)
    (tmp_path / "4.png").write_bytes(b"broken")
    return pictures, np.stack(images)


def test_each_slide_has_its_own_colours(slides):
    """By hand on the images that can be read."""
    pictures, images = slides
    found = group_stains([*pictures, Picture("x", "nowhere.png", "lost")], size=24, batch=4)
    assert found == {"slide 0": stain_statistics(images[[0, 2, 6, 8]]), "slide 1": stain_statistics(images[1::2])}


def test_colours_that_are_known_are_not_read_again(slides, tmp_path):
    """Stopped within the second of three slides, of which one has no image that can be read."""
    pictures = [*slides[0], Picture("x", "nowhere.png", "lost")]
    whole, kept, counts = group_stains(pictures, size=24, batch=2), tmp_path / "stains.json", []

    def stop(count):
        counts.append(count)
        if len(counts) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group_stains(pictures, size=24, batch=2, kept=kept, on_images=stop)
    assert counts == [2, 2, 1, 2] and list(json.loads(kept.read_text())) == ["slide 0"]
    for i in (0, 2, 4, 6, 8):
        (tmp_path / f"{i}.png").unlink()
    counts.clear()
    assert group_stains(pictures, size=24, batch=2, kept=kept, on_images=counts.append) == whole
    assert counts == [5, 2, 2, 1] and json.loads(kept.read_text())["lost"] is None
    for i in (1, 3, 5, 7):
        (tmp_path / f"{i}.png").unlink()
    assert group_stains(pictures, size=24, batch=2, kept=kept) == whole


@pytest.mark.parametrize("content", ["", "[]", '{"slide 0": 1}', '{"slide 0": {"mean": [1, 2, 3]}}'])
def test_known_colours_that_are_damaged(slides, tmp_path, content):
    (tmp_path / "stains.json").write_text(content)
    with pytest.raises(InputError, match="stains.json"):
        group_stains(slides[0], size=24, batch=2, kept=tmp_path / "stains.json")


def test_samples_are_spread_evenly():
    """Of 1,000 images of a slide every fourth or so, from the first to the last; of few, all."""
    pictures = [Picture(str(i), str(i), "many" if i < 1000 else "few") for i in range(1003)]
    found = samples(pictures)
    rows = np.array([int(picture.name) for picture in found["many"]])
    assert len(rows) == 256 and (rows[0], rows[-1]) == (0, 999) and set(np.diff(rows)) == {3, 4}
    assert found["few"] == pictures[1000:]


def test_images_of_a_batch_are_brought_to_the_reference_slide_by_slide(slides, tmp_path):
    pictures, images = slides
    write_stain(tmp_path / "stain.json", images[1::2])
    reference = read_stain(tmp_path)
    assert reference == stain_statistics(images[1::2])
    stains = group_stains(pictures, size=24, batch=4)
    batch = recolour(pictures, stains, reference)(np.concatenate([images[3:], images[:1]]), 3)
    np.testing.assert_array_equal(batch[0], images[3])  # already of these colours
    np.testing.assert_array_equal(batch[3], normalise_stain(images[6:7], stains["slide 0"], reference)[0])
    assert np.abs(batch[3].astype(int) - images[6]).max() > 20
    np.testing.assert_array_equal(batch[6], images[0])  # padding


def test_a_run_without_colours(tmp_path):
    assert read_stain(tmp_path) is None
    for content in ("{}", "[]", '{"mean": [1, 2, 3], "deviation": [1, 2]}'):
        (tmp_path / "stain.json").write_text(content)
        with pytest.raises(InputError, match="stain.json"):
            read_stain(tmp_path)
