"""Bars of outcomes, strips of cells, reliability: what is drawn and written, then the odd inputs."""

import numpy as np
import pytest
from PIL import Image

from smrjax.report import (
    Reliability,
    Strip,
    along,
    outcomes_figure,
    reliability_figure,
    traversal_figure,
)
from tests.report.conftest import check_png, svg_words


def test_outcomes_say_every_share_that_has_room(tmp_path):
    shares = {"TML": {"correct": 0.75, "adjacent": 0.2, "same_lineage": 0.01, "other": 0.04}}
    path = outcomes_figure(tmp_path / "o.png", shares=shares, title="Outcomes")
    check_png(path, "#2b6ca3", "#9cc3e6", "#c4532d")
    words = svg_words(path.with_suffix(".svg"))
    assert "75.0 %" in words and "20.0 %" in words and "1.0 %" not in words and "one stage off" in words
    with pytest.raises(ValueError, match="sum to one"):
        outcomes_figure(path, shares={"TML": shares["TML"] | {"other": 0.5}}, title="t")


def test_along_takes_the_nearest_cell_of_each_place():
    """Against a search over all cells; the steps are wide enough that no two places want the same one."""
    t = np.random.default_rng(0).uniform(-0.5, 1.5, 400)
    t[::7] = np.nan
    places, chosen = along(t, -0.2, 1.2, count=11)
    np.testing.assert_allclose(places, -0.2 + 0.14 * np.arange(11))
    for place, row in zip(places, chosen, strict=True):
        assert abs(t[row] - place) == np.nanmin(np.abs(t - place))


@pytest.mark.parametrize(
    "t, expected",
    [
        ([], [-1, -1, -1]),
        ([np.nan], [-1, -1, -1]),
        ([0.5], [-1, 0, -1]),
        ([0.25], [0, -1, -1]),
        ([0.26, 5.0], [-1, 0, -1]),
    ],
)
def test_along_leaves_gaps_where_no_cell_is_near(t, expected):
    assert along(np.array(t), count=3)[1].tolist() == expected


def test_strips_show_position_and_class_in_its_colour(tmp_path, cells):
    images = np.full((3, 8, 8, 3), 90, np.uint8)
    strips = [
        Strip("test cells", np.array([0.0, 0.5, 1.0]), np.array([0.02, np.nan, -0.98]), np.array([0, -1, 4]), images),
        Strip("slide 7", np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.51, 1.0]), np.array([2, 3, 1]), images),
    ]
    look = {key: cells[key] for key in ("class_names", "colours", "lineages")}
    path = traversal_figure(tmp_path / "t.png", strips={"neutrophil": strips}, title="Cells in order", **look)
    check_png(path, *(cells["colours"][c] for c in (0, 1, 2, 3, 4)))
    words = svg_words(path.with_suffix(".svg"))
    for wanted in ("test cells", "slide 7", "0.02", "−0.98", "0.51", "BLA", "EO", "neutrophil"):
        assert wanted in words, wanted
    with pytest.raises(ValueError, match="at least one strip"):
        traversal_figure(path, strips={"neutrophil": []}, title="t", **look)


@pytest.mark.parametrize("count", [1, 4])
def test_reliability_has_a_panel_for_every_run(tmp_path, count):
    bins = {
        "claimed": np.array([0.1, np.nan, 0.9]),
        "right": np.array([0.2, np.nan, 0.7]),
        "low": np.array([0.1, 0.0, 0.6]),
        "high": np.array([0.4, 1.0, 0.8]),
        "cells": np.array([10, 0, 1234]),
    }
    runs = [Reliability(f"run {i}", "ECE 0.190", **bins) for i in range(count)]
    path = reliability_figure(tmp_path / "r.png", runs=runs, title="Reliability")
    check_png(path, "#0072b2")
    words = svg_words(path.with_suffix(".svg"))
    assert words.count("1,234") == count and words.count("claimed probability") == count
    with Image.open(path) as image:
        assert image.width < 1400
    with pytest.raises(ValueError, match="no run"):
        reliability_figure(path, runs=[], title="t")
