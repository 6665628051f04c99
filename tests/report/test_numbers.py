"""The pictures made of numbers alone, and the numbers that pictures compute, against scipy."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from smrjax.report import comparison_figure, learning_figure
from smrjax.report.comparison import interval
from smrjax.report.maturity import density
from smrjax.report.truth import binned
from tests.report.conftest import check_png, colour_share, svg_words


def test_density_matches_scipy():
    values = np.random.default_rng(0).normal(0.4, 0.1, size=200)
    grid = np.linspace(-0.2, 1.2, 400)
    quartiles = np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.349
    width = 0.9 * min(values.std(), quartiles) * values.size**-0.2
    reference = stats.gaussian_kde(values, bw_method=width / values.std(ddof=1))(grid)
    np.testing.assert_allclose(density(values, grid), reference / reference.max(), rtol=1e-6, atol=1e-12)


def test_density_of_few_and_of_one_point():
    grid = np.linspace(0, 1, 11)
    np.testing.assert_array_equal(density(np.array([0.2, 0.3]), grid), 0)
    spike = density(np.full(9, 0.5), grid)
    assert spike.argmax() == 5 and spike.max() == 1
    # One grid step is the width, so the next grid point lies one deviation off.
    assert spike[6] == pytest.approx(np.exp(-0.5))


def test_binned_matches_scipy():
    rng = np.random.default_rng(1)
    x, y = rng.random(300), rng.normal(size=300)
    centres, means, spreads = binned(x, y, 8)
    for values, statistic in ((means, "mean"), (spreads, "std")):
        np.testing.assert_allclose(values, stats.binned_statistic(x, y, statistic, 8).statistic)
    np.testing.assert_allclose(centres, stats.binned_statistic(x, x, "mean", 8).statistic)
    assert all(part.size == 0 for part in binned(np.zeros(0), np.zeros(0)))


def test_interval_matches_scipy():
    values = np.array([0.76, 0.78, 0.75, np.nan, 0.77, 0.79])
    mean, half = interval(values)
    bounds = stats.ttest_1samp(values[np.isfinite(values)], 0).confidence_interval(0.95)
    np.testing.assert_allclose([mean - half, mean + half], bounds)
    assert interval(np.array([0.5, np.nan]))[0] == 0.5 and np.isnan(interval(np.array([0.5]))[1])
    assert np.isnan(interval(np.zeros(0))[0])


def test_comparison_shows_differences(tmp_path):
    rng = np.random.default_rng(2)
    folds = rng.normal(0.76, 0.03, size=6)
    scores = {
        "macro-F": {
            "TML": folds,
            "SMR": folds + 0.02,
            "far worse method": folds - 0.1 + 0.001 * rng.normal(size=6),
        },
        "tau": {"TML": folds, "SMR": folds + rng.normal(0, 0.05, size=6), "SVM": [np.nan, 0.7], "none": []},
    }
    differences = {"macro-F": {"SMR": (0.02, 0.02, 0.02), "far worse method": (-0.1, -0.12, -0.08)}, "tau": {}}
    path = comparison_figure(
        tmp_path / "c.png", scores=scores, baseline="TML", differences=differences, title="Methods"
    )
    check_png(path, "#0072b2", "#6b6b6b")
    words = svg_words(path.with_suffix(".svg"))
    assert {"macro-F", "tau", "TML", "SMR", "far worse method", "SVM", "none", "Methods"} <= set(words)
    assert any("+0.020 ± 0.000" in w for w in words)
    assert any("−0.100 ± 0.020" in w for w in words)
    assert any(w.startswith(f"{folds.mean():.3f} ± ") for w in words)


def test_means_stand_with_their_intervals_where_there_is_no_difference(tmp_path):
    """t(0.975, 2) x 0.02 / sqrt(3) = 4.302653 x 0.0115470. Runs apart are hollow, which the words below say."""
    scores = {"F": {"TML": [0.70, 0.72, 0.74], "one": [0.9, np.nan], "none": []}}
    for apart in ((), ("one",)):
        path = comparison_figure(tmp_path / "c.png", scores=scores, baseline="TML", apart=apart, title="t")
        words = svg_words(path.with_suffix(".svg"))
        assert "0.720 ± 0.050" in words and "0.900" in words and "–" in words
        said = " ".join(words)
        assert "Dashed: mean of TML" in said and "paired difference" not in said
        assert ("Hollow" in said) == bool(apart)
        assert (colour_share(path, "#0072b2") > 0) != bool(apart)


def test_a_difference_is_bold_where_its_interval_leaves_out_zero(tmp_path):
    """On either side, whichever is better; an interval that touches zero claims nothing."""
    for low, high, bold in ((0.01, 0.03, True), (-0.03, -0.01, True), (-0.01, 0.03, False), (0.0, 0.02, False)):
        differences = {"F": {"SMR": ((low + high) / 2, low, high)}}
        scores = {"F": {"TML": [0.5, 0.6], "SMR": [0.55, 0.65]}}
        path = comparison_figure(tmp_path / "c.png", scores=scores, baseline="TML", differences=differences, title="t")
        drawn = ElementTree.parse(path.with_suffix(".svg")).iter("{http://www.w3.org/2000/svg}text")
        (style,) = (one.get("style") for one in drawn if re.match(r"[+−]\S+ ±", "".join(one.itertext())))
        assert ("font-weight: 700" in style) == bold


def test_many_scores_are_wrapped(tmp_path):
    """Twelve panels in three rows of four rather than one strip: as wide as four, as high as three."""
    sizes = {}
    for count in (4, 12):
        scores = {f"score {i}": {"TML": [0.5, 0.6], "SMR": [0.55, 0.65]} for i in range(count)}
        path = comparison_figure(tmp_path / f"{count}.png", scores=scores, baseline="TML", title="Many")
        with Image.open(path) as image:
            sizes[count] = image.size
    assert sizes[12][0] == pytest.approx(sizes[4][0], rel=0.05)
    assert 1.8 < sizes[12][1] / sizes[4][1] < 3


def test_comparison_without_baseline_and_of_one_fold(tmp_path):
    path = comparison_figure(tmp_path / "c.png", scores={"F": {"only": [0.5]}}, baseline=None, title="One")
    check_png(path)
    assert "0.500" in svg_words(path.with_suffix(".svg"))
    with pytest.raises(ValueError, match="none of only"):
        comparison_figure(tmp_path / "c.png", scores={"F": {"only": [0.5]}}, baseline="TML", title="")
    with pytest.raises(ValueError, match="no method"):
        comparison_figure(tmp_path / "c.png", scores={}, baseline=None, title="")


def log(fold, epochs):
    for epoch in range(epochs):
        yield {
            "epoch": epoch,
            "fold": fold,
            "loss": 1 / (epoch + 1),
            "loss/triplet": 0.5 / (epoch + 1),
            "loss/maturity": np.float32(0.3),
            "macro_f1": 0.5 + 0.01 * epoch + 0.1 * fold,
            "span/neutrophil": np.inf if epoch == 3 else 1.0,
            "learning_rate": 1e-4,
            "best": epoch == 2,
            "warning": "collapsed",
            "missing": None,
        }


def test_learning_groups_what_stands_before_the_slash(tmp_path):
    rows = [row for fold in range(3) for row in log(fold, 6 - fold)]
    path = learning_figure(tmp_path / "l.png", rows=rows, title="Three folds")
    check_png(path, "#0072b2", "#d55e00", "#009e73")
    words = svg_words(path.with_suffix(".svg"))
    for wanted in ("loss", "total", "triplet", "maturity", "macro f1", "span", "neutrophil", "learning rate"):
        assert words.count(wanted) == 1, wanted
    assert not {"best", "warning", "missing", "epoch/"} & set(words)
    assert any("Thin: 3 folds" in w for w in words)


def test_learning_of_one_epoch(tmp_path):
    path = learning_figure(tmp_path / "l.png", rows=list(log(0, 1)), title="One epoch")
    check_png(path)
    assert colour_share(path, "#0072b2") > 0
    for rows in ([], [{"epoch": 0, "note": "x", "loss": np.nan}]):
        with pytest.raises(ValueError, match="no number"):
            learning_figure(tmp_path / "l.png", rows=rows, title="")


def test_the_mean_ends_where_the_first_fold_stops(tmp_path):
    from smrjax.report.learning import _mean

    curves = [np.array([[0, 1.0], [1, 2.0], [2, 9.0]]), np.array([[0, 3.0], [1, 4.0]])]
    np.testing.assert_array_equal(_mean(curves), [[0, 2.0], [1, 3.0]])
