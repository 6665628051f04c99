"""The confusion matrix of BM, Figure 4, with shares and logarithmic bars: what is drawn is read back from the axes."""

import numpy as np
import pytest

from smrjax.report import confusion_figure, figures
from tests.report.conftest import check_png, svg_words

COUNTS = np.array([[90, 10, 0], [300, 699, 1], [0, 0, 0]])
SHARES = np.array([[0.874, 0.126, 0.0], [0.296, 0.7, 0.004], [np.nan] * 3])
CLASSES = {"class_names": ["A", "B", "C"], "colours": ["#c5d8ff", "#5b81d8", "#263864"], "lineages": {"all": [0, 1]}}


@pytest.fixture
def kept(monkeypatch):
    """Figures as they would have been saved."""
    found = []
    monkeypatch.setattr(figures, "_save", lambda figure, *_, **__: found.append(figure))
    return found


def test_shares_are_shaded_and_written_in_percent(tmp_path, kept):
    confusion_figure(tmp_path / "c.png", counts=COUNTS, shares=SHARES, log=True, title="", svg=False, **CLASSES)
    matrix, bars, scale = kept[-1].axes
    np.testing.assert_array_equal(matrix.images[0].get_array(), np.nan_to_num(SHARES))
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in matrix.texts}
    named = {place: word for place, word in written.items() if word.isdigit()}
    # Below half a percent nothing.
    assert named == {(0, 0): "87", (0, 1): "13", (1, 0): "30", (1, 1): "70"}
    # Bars end at the number of cells, on an axis of powers of ten; recall is that of the shares.
    assert bars.get_xscale() == "log"
    assert [bar.get_width() + bar.get_x() for bar in bars.patches] == pytest.approx([100, 1000, 0.8])
    assert bars.get_xlim() == (0.8, 1000)
    assert [tick.get_text() for tick in bars.get_xticklabels()] == ["1", "10¹", "10²", "10³"]
    assert [text.get_text() for text in bars.texts] == ["100 · 87 %", "1,000 · 70 %", "0"]


def test_counts_alone_keep_their_linear_bars(tmp_path, kept):
    confusion_figure(tmp_path / "c.png", counts=COUNTS, title="", svg=False, **CLASSES)
    matrix, bars, _ = kept[-1].axes
    np.testing.assert_allclose(matrix.images[0].get_array(), [[0.9, 0.1, 0], [0.3, 0.699, 0.001], [0, 0, 0]])
    assert {"90", "10", "300", "699", "1"} <= {text.get_text() for text in matrix.texts}
    assert [bar.get_width() for bar in bars.patches] == [100, 1000, 0] and bars.get_xscale() == "linear"


def test_shares_of_another_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match="shares"):
        confusion_figure(tmp_path / "c.png", counts=COUNTS, shares=SHARES[:2], title="", **CLASSES)


def test_21_classes_with_shares_fit_a_page(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 40, (21, 21)) + np.diag(rng.integers(8, 29424, 21))
    names = [f"class number {c}" for c in range(21)]
    path = confusion_figure(
        tmp_path / "c.png",
        counts=counts,
        shares=counts / counts.sum(axis=1, keepdims=True),
        log=True,
        class_names=names,
        colours=["#336699"] * 21,
        lineages={"some": [3, 4, 5]},
        title="Many classes",
    )
    check_png(path)
    words = svg_words(path.with_suffix(".svg"))
    assert {"10⁴", "cells · recall", *names} <= set(words)
    percent = np.rint(100 * counts / counts.sum(axis=1, keepdims=True)).astype(int)
    # Besides the cells, "1" on the axis of the bars, and "0" and "50" on the scale.
    wanted = sorted([*percent[percent > 0].tolist(), 1, 0, 50])
    assert sorted(int(word) for word in words if word.isascii() and word.isdigit()) == wanted
