"""Figure 2 of OOTB: every mark is read back from the axes and must lie where its number says."""

import math

import numpy as np
import pytest
from PIL import Image

from smrjax.evaluate.scores import M_SCORE_FLOOR
from smrjax.report import baselines_figure, figures
from smrjax.report.baselines import FLOOR, _lanes
from tests.report.conftest import check_png, svg_words

NAMES = ("promyelocyte", "myelocyte", "band")
COLOURS = ("#c5d8ff", "#5b81d8", "#263864")
SCORES = {
    "networks": {"ResNet18": ([0.9, 0.8, 0.95], -0.38)},
    "nothing": {},
    "HOG": {"linear SVM": ([0.7, np.nan, 0.5], -1.05), "RFC": ([0.0, 1.0, 0.25], -5.99)},
    "LBP": {"linear SVM": (np.full(3, 0.6), np.nan), "RFC": (np.full(3, np.nan), -13.8)},
}
ROWS = [row for rows in SCORES.values() for row in rows.values()]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws and returns the figure itself, unsaved."""
    kept = []
    monkeypatch.setattr(figures, "_save", lambda figure, *_, **__: kept.append(figure))

    def draw(scores=SCORES, class_names=NAMES, **options):
        baselines_figure(tmp_path / "b.png", scores=scores, class_names=class_names, title="", svg=False, **options)
        return kept[-1]

    return draw


def marks(axes):
    return {str(mark.get_label()): np.ma.filled(mark.get_offsets(), np.nan) for mark in axes.collections}


def test_squares_ticks_and_crosses_lie_at_the_scores(drawn):
    below, above = drawn(colours=COLOURS).axes[:2]
    at = marks(below)
    f1 = np.array([of for of, _ in ROWS], float)
    for c, name in enumerate(NAMES):
        np.testing.assert_array_equal(at[name][:, 0], f1[:, c])  # NaN stays NaN, and is not drawn
    np.testing.assert_allclose(at["macro-F"][:, 0], [2.65 / 3, 0.6, 1.25 / 3, 0.6, np.nan])
    cross = marks(above)["m-score"]
    np.testing.assert_array_equal(cross[:, 0], [m for _, m in ROWS])
    np.testing.assert_array_equal(cross[:3, 1], at["macro-F"][:3, 1])
    # The two axes share their ends: m of all classes at 0.01 stands above F1 = 0, m = 0 above F1 = 1.
    for m, f in ((3 * math.log(M_SCORE_FLOOR), 0.0), (0.0, 1.0)):
        on_page = above.transData.transform((m, 0)), below.transData.transform((f, 0))
        assert on_page[0][0] == pytest.approx(on_page[1][0])
    ticks = above.get_xticks()
    assert len(ticks) >= 3 and ticks[-1] == 0 and (ticks >= 3 * math.log(FLOOR)).all()


def test_squares_have_the_colours_of_their_classes_as_has_the_legend(drawn):
    from matplotlib.colors import to_hex

    figure = drawn(colours=COLOURS)
    below, key = figure.axes[0], figure.axes[-1]
    squares = [mark for mark in below.collections if mark.get_label() in NAMES]
    faces = {mark.get_label(): to_hex(mark.get_facecolor()[0]) for mark in squares}
    words = {round(t.get_position()[0] - 0.1, 6): t.get_text() for t in key.texts if t.get_position()[1] == 0}
    legend = {words[round(line.get_xdata()[0], 6)]: line.get_color() for line in key.lines if line.get_ydata()[0] == 0}
    assert legend == dict(zip(NAMES, COLOURS, strict=True)) == faces


def test_rows_and_groups_keep_their_order_and_their_words_stand_at_their_marks(drawn):
    figure = drawn(colours=COLOURS)
    axes = figure.axes[0]
    # A mark without a number has no place; every row has a mean or a cross.
    y = np.fmax(marks(axes)["macro-F"][:, 1], marks(figure.axes[1])["m-score"][:, 1])
    heights = axes.transData.transform(np.column_stack([np.zeros(5), y]))[:, 1]
    assert (np.diff(heights) < 0).all()
    gaps = -np.diff(heights)
    assert gaps[1] == pytest.approx(gaps[3]) and gaps[0] == pytest.approx(gaps[2]) and gaps[0] > gaps[1]
    page = figure.get_size_inches()[1] * figure.dpi
    said = {}
    for text in figure.texts:
        said.setdefault(text.get_text(), []).append(text.get_position()[1] * page)
    svm, rfc = [1, 3], [2, 4]
    np.testing.assert_allclose(said["ResNet18"], heights[:1])
    np.testing.assert_allclose(said["linear SVM"], heights[svm])
    np.testing.assert_allclose(said["RFC"], heights[rfc])
    np.testing.assert_allclose(said["HOG"], heights[1:3].mean())
    np.testing.assert_allclose(said["0.883"] + said["0.417"] + said["−13.80"], heights[[0, 2, 4]])
    # The lowest class of each row, first of equals; a dash where there is none, as for a missing score.
    np.testing.assert_allclose(said["band"], heights[[1]])
    np.testing.assert_allclose(said["myelocyte"], heights[:1])
    np.testing.assert_allclose(said["promyelocyte"], heights[[2, 3]])
    np.testing.assert_allclose(sorted(said["–"]), sorted(heights[[3, 4, 4]]))
    assert "nothing" not in said
    bold = {text.get_text() for text in figure.texts if text.get_fontweight() == "bold"}
    assert {"0.883", "−0.38"} <= bold and not {"0.600", "−1.05"} & bold


def test_squares_of_one_score_do_not_hide_one_another(drawn):
    at = marks(drawn().axes[0])
    heights = {round(float(at[name][3, 1]), 3) for name in NAMES}
    assert len(heights) == 3
    # Those that stand alone stay on the line of their row.
    assert all(at[name][2, 1] == at["macro-F"][2, 1] for name in NAMES)


def test_lanes_keep_marks_apart_where_there_is_room():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.random(6)
        lanes = _lanes(x, 0.2, 13)
        assert lanes[-1] == 0
        for i in range(6):
            assert all(lanes[i] != lanes[j] or abs(x[i] - x[j]) >= 0.2 for j in range(i))
    crowded = _lanes(np.zeros(8), 0.2, 3)
    assert set(crowded) == {-1, 0, 1}
    np.testing.assert_array_equal(_lanes(np.array([0.1, np.nan, 0.1, np.nan]), 0.2, 3), [0, 0, 1, 0])


def test_files_and_words(tmp_path):
    path = tmp_path / "b.png"
    title = "Networks hold the stages apart"
    assert baselines_figure(path, scores=SCORES, class_names=NAMES, colours=COLOURS, title=title) == path
    check_png(path, *COLOURS)
    words = svg_words(path.with_suffix(".svg"))
    wanted = {*NAMES, "networks", "HOG", "LBP", "ResNet18", "RFC", title, "F1 of a class", "m-score", "weakest"}
    assert wanted <= set(words)
    assert words.count("linear SVM") == 2
    assert any("has no square" in word for word in words)


@pytest.mark.parametrize(("groups", "each", "count"), [(1, 2, 2), (5, 5, 7), (1, 1, 1), (1, 2, 21)])
def test_any_number_of_rows_and_classes_fits_a_page(tmp_path, groups, each, count):
    rng = np.random.default_rng(0)
    name = "a rather long name of a thing that nobody wants to read"
    scores = {f"{g} {name}": {f"{r} {name}": (rng.random(count), -0.5) for r in range(each)} for g in range(groups)}
    path = tmp_path / "b.png"
    baselines_figure(path, scores=scores, class_names=[f"{c} {name}" for c in range(count)], title="Many", svg=False)
    check_png(path)
    with Image.open(path) as image:
        wide, high = np.array(image.size) / figures.PNG_DPI
    assert wide < 9.5 and high < 11


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "need a row"),
        ({"HOG": {}}, "need a row"),
        ({"HOG": {"SVM": ([0.5, 0.5], -1.0)}}, r"HOG, SVM: F1 of shape \(2,\) for 3 classes"),
        ({"HOG": {"SVM": ([0.5, 0.5, 1.01], -1.0)}}, "HOG, SVM: F1 from 0.5 to 1.01"),
        ({"HOG": {"SVM": ([-0.1, np.nan, 0.5], -1.0)}}, "F1 from -0.1"),
        ({"HOG": {"SVM": ([0.5, 0.5, 0.5], 0.1)}}, "m-score 0.1 leaves"),
        ({"HOG": {"SVM": ([0.5, 0.5, 0.5], -13.9)}}, "m-score -13.9 leaves"),
    ],
)
def test_scores_that_cannot_be_are_refused(tmp_path, scores, message):
    with pytest.raises(ValueError, match=message):
        baselines_figure(tmp_path / "b.png", scores=scores, class_names=NAMES, title="")
    assert not list(tmp_path.iterdir())


def test_classes_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 colours for 3 classes"):
        baselines_figure(tmp_path / "b.png", scores=SCORES, class_names=NAMES, colours=COLOURS[:2], title="")
    with pytest.raises(ValueError, match="1 and 0"):
        baselines_figure(tmp_path / "b.png", scores={"HOG": {"SVM": ([], 0.0)}}, class_names=[], title="")


def test_the_floor_is_that_of_the_score():
    assert FLOOR == M_SCORE_FLOOR
