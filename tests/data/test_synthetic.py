"""The synthetic marrow, judged from its pixels and its annotations by closed forms and by scipy."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from smrjax.data.synthetic import CLASSES, READING_NOISE, SLIDES, VERSION, WEIGHTS, Cell, render, sample
from smrjax.data.synthetic_shapes import SIDE, grid, radial, smooth_noise, soft_dots, union_of_discs

LINEAGES = {"neutrophil": (0, 6), "erythroid": (6, 4)}
REAL = Path(os.environ.get("SMRJAX_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


@cache
def annotations(n: int = 6000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, maturity, slides = zip(*(sample(i, seed=1) for i in range(n)), strict=True)
    return np.array(labels), np.array(maturity), np.array(slides)


@cache
def cells(lineage: str, n: int = 180) -> tuple[Cell, ...]:
    """The first n cells of a lineage."""
    first, stages = LINEAGES[lineage]
    chosen = np.flatnonzero((annotations()[0] >= first) & (annotations()[0] < first + stages))[:n]
    return tuple(render(int(i), seed=1) for i in chosen)


def optical_density(image: np.ndarray) -> np.ndarray:
    light = np.maximum(image.astype(float), 1)
    return np.clip(-np.log(light / np.percentile(light, 97, axis=(0, 1))), 0, None)


def measure(image: np.ndarray) -> tuple[float, float, float]:
    """Area of the nucleus in the middle (share of the picture), its violet, the blueness around it."""
    density = optical_density(image)
    dark = density[..., 1] > 1.05
    parts, count = ndimage.label(ndimage.binary_dilation(dark))
    rows, columns = np.indices(dark.shape)
    middle = np.hypot(rows - len(dark) / 2, columns - len(dark) / 2) < len(dark) / 6
    votes = np.bincount(parts[middle & dark], minlength=count + 1)
    nucleus = (parts == votes.argmax()) & dark
    ring = ndimage.binary_dilation(nucleus, iterations=3) & ~ndimage.binary_dilation(dark)
    plasma = np.median(density[ring], axis=0)
    return nucleus.mean(), density[nucleus, 1].mean(), plasma[0] / plasma.sum()


def test_has_the_fifteen_classes_and_weights_of_one():
    assert len(CLASSES) == len(set(CLASSES)) == len(WEIGHTS) == 15
    assert sum(WEIGHTS) == pytest.approx(1)
    assert VERSION


def test_a_cell_does_not_depend_on_what_was_drawn_before():
    forward = {i: render(i, size=32) for i in (0, 3, 11, 200_000)}
    np.random.default_rng().random(3)
    for i in reversed(forward):
        again = render(i, size=32)
        np.testing.assert_array_equal(again.image, forward[i].image)
        np.testing.assert_array_equal(again[1:], forward[i][1:])
        np.testing.assert_array_equal(sample(i), forward[i][1:])


def test_other_indices_and_seeds_are_other_cells():
    pictures = [render(i, size=16, seed=s).image for i in range(5) for s in range(5)]
    assert len({p.tobytes() for p in pictures}) == 25


@settings(max_examples=12, deadline=None)
@given(st.integers(16, 97), st.integers(0, 2**31), st.integers(0, 2**31))
def test_any_size_any_index(size, index, seed):
    cell = render(index, size=size, seed=seed)
    assert cell.image.shape == (size, size, 3) and cell.image.dtype == np.uint8
    assert 0 <= cell.label < 15 and 0 <= cell.slide < SLIDES
    assert np.isnan(cell.maturity) == (cell.label >= 10)
    assert cell.image.std() > 5


def test_largest_size_and_bad_arguments():
    assert render(4, size=512).image.shape == (512, 512, 3)
    for size in (0, 15, 513):
        with pytest.raises(ValueError, match="16 to 512"):
            render(0, size=size)
    with pytest.raises(ValueError):
        render(-1)


@pytest.mark.parametrize("index", [1, 2, 8])
def test_another_size_is_the_same_scene(index):
    small, large = render(index, size=64).image.astype(float), render(index, size=256).image.astype(float)
    large = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(small - large).mean() < 4.5  # of which the camera's noise makes 1 to 3
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.985


def test_classes_and_slides_have_the_stated_frequencies():
    labels, _, slides = annotations()
    counts = np.bincount(labels, minlength=15)
    assert stats.chisquare(counts, np.array(WEIGHTS) * len(labels)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(slides, minlength=SLIDES)).pvalue > 1e-3
    assert stats.chi2_contingency(np.histogram2d(labels >= 6, slides, [2, SLIDES])[0]).pvalue > 1e-3


def test_maturity_is_known_in_the_lineages_alone():
    labels, maturity, _ = annotations()
    assert np.all(np.isnan(maturity) == (labels >= 10))
    assert np.nanmin(maturity) >= 0 and np.nanmax(maturity) <= 1


@pytest.mark.parametrize("lineage", LINEAGES)
def test_labels_are_wrong_near_borders_at_the_stated_rate(lineage):
    first, stages = LINEAGES[lineage]
    labels, maturity, _ = annotations()
    for stage in range(stages):
        position = maturity[labels == first + stage] * stages
        borders = (stage > 0) + (stage < stages - 1)
        wrong = int(np.sum(np.floor(position) != stage))
        # E max(e, 0) of a normal error e is the share that crosses one border.
        expected = borders * READING_NOISE / np.sqrt(2 * np.pi)
        assert stats.binomtest(wrong, len(position), expected).pvalue > 1e-3
        assert np.all(np.abs(position - stage - 0.5) < 0.5 + 5 * READING_NOISE)


def test_maturity_within_a_stage_is_uniform_plus_normal():
    labels, maturity, _ = annotations()

    def distribution(x):
        def g(z):
            return z * stats.norm.cdf(z) + stats.norm.pdf(z)

        return READING_NOISE * (g(x / READING_NOISE) - g((x - 1) / READING_NOISE))

    assert stats.kstest(maturity[labels == 3] * 6 - 3, distribution).pvalue > 1e-3
    assert stats.kstest(maturity[labels == 8] * 4 - 2, distribution).pvalue > 1e-3


@pytest.mark.parametrize("lineage", LINEAGES)
def test_maturity_shows_in_the_pixels(lineage):
    chosen = cells(lineage)
    maturity = [cell.maturity for cell in chosen]
    area, violet, blueness = np.array([measure(cell.image) for cell in chosen]).T
    assert stats.spearmanr(area, maturity)[0] < -0.75
    assert stats.spearmanr(violet, maturity)[0] > 0.55
    assert stats.spearmanr(blueness, maturity)[0] < -0.5
    # No single measurement gives it away.
    assert stats.spearmanr(area, maturity)[0] > -0.97


@pytest.mark.parametrize("lineage", LINEAGES)
def test_maturity_shows_within_a_stage(lineage):
    chosen = cells(lineage)
    labels = np.array([cell.label for cell in chosen])
    maturity = np.array([cell.maturity for cell in chosen])
    measured = np.log(np.array([measure(cell.image) for cell in chosen]))
    # Ranks within each stage, so that differences between stages do not count.
    for values in (maturity, *measured.T):
        for label in set(labels):
            values[labels == label] = stats.rankdata(values[labels == label]) / np.sum(labels == label)
    centred, target = measured - measured.mean(0), maturity - maturity.mean()
    fit = centred @ np.linalg.lstsq(centred, target, rcond=None)[0]
    assert stats.spearmanr(fit, target)[0] > 0.3


def test_slides_differ_in_light_and_stain():
    chosen = cells("neutrophil") + cells("erythroid")
    slides = np.array([cell.slide for cell in chosen])
    light = np.array([np.percentile(cell.image, 90, axis=(0, 1)) for cell in chosen])
    hue = []
    for cell in chosen:
        density = optical_density(cell.image)
        violet = density[density[..., 1] > 1.05].mean(0)
        hue.append(violet / violet.sum())
    for values in (*light.T, *np.array(hue).T):
        assert stats.kruskal(*(values[slides == s] for s in set(slides))).pvalue < 1e-6


def test_eosinophils_are_orange():
    labels = annotations()[0]

    def orange(label):
        found = []
        for i in np.flatnonzero(labels == label)[:15]:
            density = optical_density(render(int(i), seed=1).image)[20:44, 20:44].reshape(-1, 3)
            found.append(np.percentile(density[:, 2] - density[:, 0], 90))
        return found

    eosinophil = orange(CLASSES.index("EOS"))
    for other in ("SNE", "BAS", "LYM", "MON"):
        assert stats.mannwhitneyu(eosinophil, orange(CLASSES.index(other)), alternative="greater").pvalue < 1e-3


@pytest.mark.skipif(not (REAL / "pbc").is_dir(), reason="no real cells (set SMRJAX_DATA)")
@pytest.mark.parametrize(("real", "label"), [("SNE", 5), ("MY", 2)])
def test_nuclei_have_the_colour_of_real_ones(real, label):
    from PIL import Image

    def violet(image):
        density = optical_density(image)
        return density[density[..., 1] > 1.3].mean(0)

    photographs = [
        violet(np.asarray(Image.open(p).convert("RGB"))) for p in sorted((REAL / "pbc" / real).glob("*.jpg"))[:12]
    ]
    drawn = [violet(cell.image) for cell in cells("neutrophil") if cell.label == label][:40]
    a, b = np.mean(photographs, 0), np.mean(drawn, 0)
    assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.98
    assert 0.7 < np.linalg.norm(b) / np.linalg.norm(a) < 1.5


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(16, 80), st.integers(0, 2**31))
def test_shapes_against_double_precision(count, size, seed):
    rng = np.random.default_rng(seed)
    where = grid(size)
    centres, radii, strengths = (
        rng.uniform(-12, 12, (count, 2)),
        rng.uniform(0.3, 4, count),
        rng.random(count),
    )
    y, x = np.meshgrid(where.y.astype(float), where.x.astype(float), indexing="ij")
    d = np.hypot(x[..., None] - centres[:, 0], y[..., None] - centres[:, 1])
    np.testing.assert_allclose(union_of_discs(where, centres, radii), (d - radii).min(-1), atol=1e-4)

    sigma2 = (0.6 * radii) ** 2
    seen2 = sigma2 + where.pixel**2 / 12
    dots = (strengths * sigma2 / seen2 * np.exp(-0.5 * d**2 / seen2)).sum(-1)
    np.testing.assert_allclose(soft_dots(where, centres, radii, strengths), dots, atol=1e-4)

    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0, 0.4)
    offset = x - centres[0, 0] + 1j * (y - centres[0, 1])
    turned = offset * np.exp(-1j * angle)
    expected = np.hypot(turned.real / (1 + stretch), turned.imag * (1 + stretch))
    np.testing.assert_allclose(radial(where, centres[0], stretch, angle), expected, atol=1e-3)


def test_noise_has_unit_variance_and_is_the_same_field_at_every_size():
    fields = {size: smooth_noise(np.random.default_rng(3), size, 44) for size in (64, 192)}
    assert fields[192].std() == pytest.approx(1, abs=0.1)
    means = fields[192].reshape(64, 3, 64, 3).mean((1, 3))
    np.testing.assert_allclose(means, fields[64], atol=0.03)
    assert grid(50).pixel * 50 == SIDE
