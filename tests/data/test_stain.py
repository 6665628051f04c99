"""Colours of stains against scikit-image's conversions and thresholds."""

import itertools
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab
from skimage.filters import threshold_multiotsu

from smrjax.data import load
from smrjax.data.stain import BINS, CHUNK, StainStatistics, normalise_stain, stain_statistics, two_thresholds

DATA = Path(os.environ.get("SMRJAX_DATA", Path(__file__).parents[3] / "shared" / "data"))

OWN = StainStatistics((54.0, 24.0, -33.0), (24.0, 20.0, 26.0))
REFERENCE = StainStatistics((64.0, 19.0, -8.0), (25.0, 14.0, 25.0))


def noise(n, size, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def cells(n, size, fill, seed, tint=(0, 0, 0)):
    """Dark discs with a paler ring on a bright ground; `fill` is the disc's share of the image's side."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, size)
    radius = np.hypot(x[:, None], x[None, :])
    image = np.array([240.0, 225, 215])[None, None] * np.ones((size, size, 1))
    image[radius < 1.4 * fill] = (190, 150, 185)
    image[radius < fill] = (85, 45, 130)
    return np.clip(image + tint + rng.normal(0, 6, (n, size, size, 3)), 0, 255).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:.*negative Z values:UserWarning")
def test_colours_are_those_of_skimage():
    images = noise(3, 50, 0)
    scale, shift = np.divide(REFERENCE.deviation, OWN.deviation), np.array(REFERENCE.mean)
    expected = 255 * lab2rgb((rgb2lab(images) - OWN.mean) * scale + shift)
    ours = normalise_stain(images, OWN, REFERENCE)
    assert ours.dtype == np.uint8 and ours.shape == images.shape
    # Single precision, and half a grey level of rounding.
    assert np.abs(ours - expected).max() < 0.6
    assert np.abs(ours.astype(int) - images).mean() > 10


def test_every_grey_and_every_corner_comes_back():
    levels = np.array(np.meshgrid(*[[0, 1, 2, 9, 10, 11, 12, 127, 254, 255]] * 3), np.uint8).reshape(3, -1).T
    greys = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    images = np.concatenate([levels, greys])[None, None]
    assert np.abs(normalise_stain(images, OWN, OWN).astype(int) - images).max() <= 1


@given(st.lists(st.integers(0, 20), min_size=3, max_size=14).filter(any))
def test_thresholds_part_the_most_variance(histogram):
    values = np.repeat(np.arange(len(histogram)), histogram)

    def between(first, second):
        parts = [values[np.digitize(values, (first, second)) == k] for k in range(3)]
        return sum(len(x) * (x.mean() - values.mean()) ** 2 for x in parts if len(x))

    best = max(between(i, j) for i, j in itertools.combinations(range(1, len(histogram)), 2))
    assert between(*two_thresholds(np.array(histogram))) == pytest.approx(best)


def test_thresholds_of_three_humps_are_those_of_skimage():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 4, n) for m, n in ((25, 4000), (60, 9000), (100, 20000))])
    histogram = np.bincount(np.clip(values, 0, 127).astype(int), minlength=128)
    theirs = threshold_multiotsu(hist=(histogram.astype(float), np.arange(128)), classes=3)
    # Theirs are the last bins of the parts; between the humps some are as good.
    np.testing.assert_allclose(two_thresholds(histogram), theirs + 1, atol=1)


def test_statistics_are_those_of_three_parts_of_equal_weight():
    images = cells(5, 40, 0.4, 1)
    pixels = rgb2lab(images).reshape(-1, 3)
    home = np.floor(pixels[:, 0] * BINS / 100).astype(int)
    part = np.digitize(home, two_thresholds(np.bincount(home, minlength=BINS)))
    share = np.bincount(part)
    assert (share > 500).all()
    weight = 1 / (3 * share[part])
    mean = weight @ pixels
    found = stain_statistics(images)
    np.testing.assert_allclose(found.mean, mean, atol=0.02)
    np.testing.assert_allclose(found.deviation, np.sqrt(weight @ (pixels - mean) ** 2), atol=0.02)


def test_how_much_of_the_image_a_cell_fills_does_not_matter():
    small, large = (stain_statistics(cells(10, 48, fill, 2)) for fill in (0.2, 0.6))
    np.testing.assert_allclose(small.mean, large.mean, atol=1)
    np.testing.assert_allclose(small.deviation, large.deviation, atol=1)
    plain = [rgb2lab(cells(10, 48, fill, 2)).reshape(-1, 3).mean(0) for fill in (0.2, 0.6)]
    assert np.abs(plain[0] - plain[1]).max() > 15


def test_a_tint_is_taken_away():
    here, there = cells(20, 32, 0.4, 3), cells(20, 32, 0.5, 4, tint=(-40, -30, 30))
    reference = stain_statistics(here)
    back = normalise_stain(there, stain_statistics(there), reference)
    found = stain_statistics(back)
    np.testing.assert_allclose(found.mean, reference.mean, atol=1.5)
    np.testing.assert_allclose(found.deviation, reference.deviation, atol=1.5)

    def nucleus(images):
        return images[:, 14:18, 14:18].mean((0, 1, 2))

    assert np.abs(nucleus(there) - nucleus(here)).max() > 25 > 4 * np.abs(nucleus(back) - nucleus(here)).max()


def test_chunks_are_put_together():
    side = 16
    images = cells(2 * CHUNK // side**2 + 3, side, 0.4, 5)
    whole = normalise_stain(images, OWN, REFERENCE)
    for i in (0, CHUNK // side**2, len(images) - 1):
        np.testing.assert_array_equal(whole[i], normalise_stain(images[i : i + 1], OWN, REFERENCE)[0])
    halves = [stain_statistics(images[some]) for some in (slice(None), slice(None, None, -1))]
    np.testing.assert_allclose(halves[0].mean, halves[1].mean, rtol=1e-6)


@pytest.mark.parametrize("level", [0, 130, 255])
def test_one_colour_has_statistics_that_can_be_divided_by(level):
    flat = np.full((1, 3, 5, 3), level, np.uint8)
    found = stain_statistics(flat)
    assert found.deviation == (1, 1, 1)
    assert normalise_stain(flat, found, REFERENCE).shape == flat.shape
    np.testing.assert_allclose(found.mean, rgb2lab(flat[0, 0, 0] / 255), atol=0.02)
    assert StainStatistics(**{k: tuple(v) for k, v in json.loads(json.dumps(asdict(found))).items()}) == found


def test_what_are_no_images():
    for wrong in (np.zeros((0, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4, 3))):
        with pytest.raises(ValueError, match="expected UInt8"):
            stain_statistics(wrong)
    with pytest.raises(ValueError, match="expected UInt8"):
        normalise_stain(np.zeros((2, 4, 4, 4), np.uint8), OWN, OWN)
    assert normalise_stain(np.zeros((0, 4, 4, 3), np.uint8), OWN, OWN).shape == (0, 4, 4, 3)


@pytest.mark.skipif(
    not (DATA / "pbc").is_dir() or not (DATA / "marrow").is_dir(), reason=f"no cells in {DATA} (set SMRJAX_DATA)"
)
def test_segmented_neutrophils_of_two_laboratories_come_closer(tmp_path):
    found = {}
    for name, codes in (("pbc", ("SNE", "PMY")), ("marrow", ("NGS", "PMO"))):
        for code in codes:
            (tmp_path / name / code).mkdir(parents=True)
            for image in sorted((DATA / name / code).iterdir())[:40]:
                (tmp_path / name / code / image.name).symlink_to(image)
        cells = load(tmp_path / name, size=32, cache_dir=tmp_path, progress=False)
        found[name] = cells.images[cells.labels == cells.classes.index(codes[0])], stain_statistics(cells.images)
    (blood, reference), (marrow, own) = found["pbc"], found["marrow"]

    def parts(images):
        """Colours of nuclei, of cytoplasm and red cells, and of the background: means over the images."""
        found = []
        for pixels in rgb2lab(images).reshape(len(images), -1, 3):
            part = np.digitize(pixels[:, 0], threshold_multiotsu(pixels[:, 0], nbins=64))
            found.append([pixels[part == k].mean(axis=0) for k in range(3)])
        return np.mean(found, axis=0)

    apart = {
        name: np.linalg.norm(parts(images) - parts(blood), axis=1)
        for name, images in (("before", marrow), ("after", normalise_stain(marrow, own, reference)))
    }
    assert (apart["after"] < apart["before"]).all()
    assert apart["after"].sum() < apart["before"].sum() / 2
