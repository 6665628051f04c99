"""On the published cells; skipped where they are not there."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smrjax.data import load, load_pbc
from smrjax.data.folds import make_folds
from smrjax.taxonomy import for_classes, load_taxonomy

DATA = Path(os.environ.get("SMRJAX_DATA", Path(__file__).parents[3] / "shared" / "data"))
COUNTS = {"PMY": 390, "MY": 750, "MMY": 670, "BNE": 1000, "SNE": 1000}
COUNTS |= {"ERB": 250, "EO": 150, "BA": 120, "MO": 130, "LY": 100}

pytestmark = pytest.mark.skipif(not (DATA / "pbc").is_dir(), reason=f"no cells in {DATA / 'pbc'} (set SMRJAX_DATA)")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Ten cells of each class, as links."""
    folder = tmp_path_factory.mktemp("pbc")
    for code in COUNTS:
        (folder / code).mkdir()
        for image in sorted((DATA / "pbc" / code).iterdir())[:10]:
            (folder / code / image.name).symlink_to(image)
    return folder


def test_the_set_is_complete():
    from smrjax.data.pbc import find_pbc

    labels = [record.label for record in find_pbc(DATA / "pbc")]
    assert {code: labels.count(code) for code in COUNTS} == COUNTS


def test_pixels_are_those_of_the_photographs(small, tmp_path):
    cells = load_pbc(small, size=64, cache_dir=tmp_path, progress=False)
    assert cells.classes == load_taxonomy("pbc").classes
    for row in range(0, 100, 17):
        with Image.open(small / cells.names[row]) as image:
            box = (0, 1.5, 360, 361.5)  # 360 x 363 pixels
            expected = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS, box=box), int)
        # Decoding at reduced scale stays within the noise of the compression.
        assert np.abs(cells.images[row] - expected).mean() < 1.5


def test_the_same_folder_as_anyone_would_give_it(small, tmp_path):
    cells = load(small, size=32, cache_dir=tmp_path, progress=False)
    taxonomy = for_classes(cells.classes)
    assert cells.classes == tuple(sorted(COUNTS)) and taxonomy.lineages == load_taxonomy("pbc").lineages
    assert taxonomy.stage()[cells.classes.index("SNE")] == 4
    fold_of = make_folds(cells.labels, classes=cells.classes)
    for label in range(10):
        assert np.ptp(np.bincount(fold_of[cells.labels == label], minlength=6)) <= 1
