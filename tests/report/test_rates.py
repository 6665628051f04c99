"""The range test: what is drawn is read back from the axes."""

import numpy as np
import pytest

from smrjax.report import figures, lr_range_figure
from tests.report.conftest import check_png, svg_words

RATES = np.geomspace(1e-6, 1, 61)
CURVE = 3 - 1.5 / (1 + np.exp(-3 * (np.log10(RATES) + 2.5)))
LOSSES = CURVE + 0.1 * np.random.default_rng(0).normal(size=61)


@pytest.fixture
def kept(monkeypatch):
    """Figures as they would have been saved."""
    found = []
    monkeypatch.setattr(figures, "_save", lambda figure, *_, **__: found.append(figure))
    return found


def draw(path, **changes):
    values = {"rates": RATES, "losses": LOSSES, "smoothed": CURVE, "suggestion": 0.0023, "title": "A range test"}
    return lr_range_figure(path, **(values | changes))


def test_losses_curve_and_suggestion_lie_where_they_are(tmp_path, kept):
    exploding = np.concatenate([LOSSES[:-1], [1e30]])
    draw(tmp_path / "r.png", losses=exploding)
    axes = kept[-1].axes[0]
    dots, curve, line, mark = axes.lines
    np.testing.assert_array_equal(dots.get_xydata(), np.column_stack([RATES, exploding]))
    np.testing.assert_array_equal(curve.get_xydata(), np.column_stack([RATES, CURVE]))
    assert set(line.get_xdata()) == {0.0023}
    # On the curve, and the exploding loss has not stretched the axis.
    (x, y), (low, high) = mark.get_xydata()[0], axes.get_ylim()
    assert x == 0.0023 and y == pytest.approx(3 - 1.5 / (1 + np.exp(-3 * (np.log10(0.0023) + 2.5))), abs=0.01)
    assert axes.get_xscale() == "log" and low < CURVE.min() and CURVE.max() < high < 4
    assert (dots.get_alpha() or 1) < 0.5 and curve.get_color() == dots.get_color() != mark.get_color()


def test_range_test_files_and_words(tmp_path):
    path = draw(tmp_path / "r.png")
    check_png(path, "#0072b2", "#b2182b")
    words = svg_words(path.with_suffix(".svg"))
    assert {"A range test", "0.0023", "learning rate", "10⁻⁶", "10⁻¹", "1"} <= set(words)
    assert not any("$" in word or "\\" in word for word in words)
    assert "3.4 × 10⁻⁵" in svg_words(draw(tmp_path / "s.png", suggestion=3.4e-5).with_suffix(".svg"))


@pytest.mark.parametrize("n", [1, 2])
def test_a_range_test_of_little(tmp_path, n):
    x = np.full(n, 2.0)
    check_png(draw(tmp_path / "r.png", rates=RATES[:n], losses=x, smoothed=x, suggestion=1e-3, svg=False))


@pytest.mark.parametrize("change", [{"losses": LOSSES[:5]}, {"rates": -RATES}, {"suggestion": 0.0}])
def test_range_tests_that_cannot_be_are_refused(tmp_path, change):
    with pytest.raises(ValueError, match="do not fit"):
        draw(tmp_path / "r.png", **change)
    empty = dict.fromkeys(("rates", "losses", "smoothed"), [])
    with pytest.raises(ValueError, match="do not fit"):
        draw(tmp_path / "r.png", **empty)
