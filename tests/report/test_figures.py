import os
import subprocess
import sys

import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.report.figures import check_classes, class_groups, darker, kendall, number, sheet, text_width
from tests.report.conftest import svg_words


def test_importing_the_room_does_not_import_matplotlib():
    code = "import sys, smrjax.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sheet_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), sheet(tmp_path / "a.png", width=2, height=2, svg=True):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_sheet_replaces_an_older_one_and_makes_folders(tmp_path):
    path = tmp_path / "deep" / "er" / "a.png"
    for _ in range(2):
        with sheet(path, width=2, height=2, svg=False) as figure:
            figure.text(0.5, 0.5, "$5 and $6 cost")
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_dollars_in_a_name_are_no_formula(tmp_path):
    with sheet(tmp_path / "a.png", width=2, height=2, svg=True) as figure:
        figure.text(0.5, 0.5, "$x_1$ & <y>")
    assert "$x_1$ & <y>" in svg_words(tmp_path / "a.svg")


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write the picture .*a.png"):
        with sheet(tmp_path / "file" / "a.png", width=2, height=2, svg=False):
            pass


def test_only_png_names(tmp_path):
    with pytest.raises(ValueError, match="a.pdf"), sheet(tmp_path / "a.pdf", width=2, height=2, svg=False):
        pass


def test_the_callers_matplotlib_settings_stay_and_do_not_matter(tmp_path):
    import matplotlib

    def draw(name):
        with sheet(tmp_path / f"{name}.png", width=2, height=2, svg=True) as figure:
            figure.add_axes((0.2, 0.2, 0.7, 0.7)).plot([1, 3, 2])
        return (tmp_path / f"{name}.svg").read_bytes()

    plain = draw("plain")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20}):
        assert draw("odd") == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_files_differ_in_no_byte_between_two_drawings(tmp_path):
    for name in "ab":
        with sheet(tmp_path / f"{name}.png", width=2, height=2, svg=True) as figure:
            axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
            axes.scatter([1, 3, 2], [2, 3, 1], rasterized=True)
            axes.plot([1, 2], [1, 2])
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="permissions as on Unix")
def test_files_can_be_read_by_the_group(tmp_path):
    before = os.umask(0o022)
    try:
        with sheet(tmp_path / "a.png", width=2, height=2, svg=False):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o644


def test_class_groups_name_every_class_once():
    groups = class_groups(7, {"a": [5, 2], "empty": [], "b": [0]})
    assert groups == {"a": [5, 2], "b": [0], "other classes": [1, 3, 4, 6]}
    assert class_groups(2, {}) == {"classes": [0, 1]}
    assert class_groups(0, {}) == {}


@pytest.mark.parametrize(
    ("colours", "lineages", "labels", "message"),
    [
        (["#000000"], {}, None, "1 colours for 2 classes"),
        (["#000000"] * 2, {"a": [0, 2]}, None, "at most once"),
        (["#000000"] * 2, {"a": [0], "b": [0]}, None, "at most once"),
        (["#000000"] * 2, {}, np.array([0, 2]), "labels run from 0 to 2"),
        (["#000000"] * 2, {}, np.array([-1, 1]), "labels run from -1"),
    ],
)
def test_classes_that_do_not_fit_are_refused(colours, lineages, labels, message):
    with pytest.raises(ValueError, match=message):
        check_classes(["x", "y"], colours, lineages, labels)


def test_kendall_of_nothing_is_nan_and_of_order_is_one():
    x = np.array([0.1, 0.2, np.nan, 0.3])
    assert kendall(x, np.array([1.0, 2.0, 0.0, 3.0])) == 1
    # By hand: five concordant pairs, no discordant one, one tie in y of six pairs: 5 / sqrt(6 * 5).
    tied = kendall(np.arange(4.0), np.array([0.0, 0.0, 1.0, 2.0]))
    assert tied == pytest.approx(5 / np.sqrt(30))
    for flat in (np.zeros(0), np.ones(1), np.ones(5)):
        assert np.isnan(kendall(flat, np.arange(flat.size, dtype=float)))


def test_small_helpers():
    assert darker("#ffffff", 0.5) == "#808080"
    assert number(float("inf")) == "–" and number(-0.001) == "0.00" and number(2.5, 1, sign=True) == "+2.5"
    assert text_width(" ", 9) == 0
    assert 1.9 < text_width("mm", 18) / text_width("m", 18) < 2.2
    assert text_width("cell", 20) == pytest.approx(2 * text_width("cell", 10), rel=0.05)
