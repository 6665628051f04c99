import numpy as np
import pytest
from PIL import Image


def picture(seed, size=(40, 40)):
    """A smooth random picture; every seed another."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def make_folder(tmp_path):
    """A folder of class folders with PNG images: make_folder({"A": 3, "B": 2})."""

    def make(counts, name="cells"):
        folder = tmp_path / name
        for k, (label, count) in enumerate(counts.items()):
            (folder / label).mkdir(parents=True)
            for i in range(count):
                picture(1000 * k + i).save(folder / label / f"{i}.png")
        return folder

    return make
