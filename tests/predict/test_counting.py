import csv
from dataclasses import replace

import numpy as np
import pytest

from smrjax.evaluate import differential_count
from smrjax.predict.counting import ALL, count_groups, write_counts, write_ratios
from smrjax.taxonomy import Ratio
from tests.predict.conftest import TAXONOMY

CONFUSION = np.array([[9, 0, 1, 0], [0, 8, 0, 2], [1, 0, 9, 0], [0, 0, 2, 8]])
GROUPS = ["s2"] * 6 + ["s1"] * 4
PREDICTED = np.array([0, 0, 2, 3, 3, 1, 2, 2, 1, 0])
KNOWN = replace(TAXONOMY, artefacts=("X",), ratios=(Ratio("a : c", ("A",), ("C",)), Ratio("x : c", ("X",), ("C",))))


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_counts_by_hand(tmp_path):
    """Cells of every class of every slide and of all; artefacts are no part of the whole."""
    counts = count_groups(GROUPS, PREDICTED, KNOWN, CONFUSION)
    assert list(counts) == [ALL, "s1", "s2"]
    write_counts(tmp_path / "counts.csv", counts, KNOWN, within=0.1)
    rows = rows_of(tmp_path / "counts.csv")
    found = {(row["group"], row["class"]): (int(row["count"]), int(row["total"]), row["share"]) for row in rows}
    assert found[ALL, "A"] == (3, 8, "0.375") and found["s1", "B"] == (2, 3, "0.666667")
    assert found["s2", "C"] == (2, 5, "0.4") and found["s1", "C"] == (0, 3, "0")
    assert found["s2", "X"] == (1, 5, "")
    # Half of Wilson's interval is no wider than 0.1 from so many cells on, and not from one fewer.
    n, p, z = int(next(r for r in rows if r["group"] == "s2" and r["class"] == "C")["cells_needed"]), 0.4, 1.959964
    halves = [z * np.sqrt(p * (1 - p) * m + z**2 / 4) / (m + z**2) for m in (n - 1, n)]
    assert halves[0] > 0.1 >= halves[1]
    for row in rows:
        if row["share"]:
            assert float(row["low"]) <= float(row["share"]) <= float(row["high"])
            assert float(row["corrected_low"]) <= float(row["corrected"]) <= float(row["corrected_high"])


def test_ratios_by_hand(tmp_path):
    write_ratios(tmp_path / "ratios.csv", count_groups(GROUPS, PREDICTED, KNOWN, CONFUSION), KNOWN)
    rows = {row["group"]: row for row in rows_of(tmp_path / "ratios.csv")}
    assert {row["ratio"] for row in rows.values()} == {"a : c"}  # X is no blood cell.
    assert [rows[g]["over"] + ":" + rows[g]["under"] for g in (ALL, "s1", "s2")] == ["3:2", "1:0", "2:2"]
    assert rows[ALL]["value"] == "1.5" and rows["s1"]["value"] == "" and rows["s2"]["value"] == "1"


def test_every_row_of_counts_warns(tmp_path):
    """And the first line is the columns' names, as programs that read tables expect."""
    counts = count_groups(GROUPS, PREDICTED, KNOWN, CONFUSION)
    write_counts(tmp_path / "counts.csv", counts, KNOWN, within=0.1)
    write_ratios(tmp_path / "ratios.csv", counts, KNOWN)
    for name in ("counts.csv", "ratios.csv"):
        assert (tmp_path / name).read_text().startswith("group,")
        assert {row["note"] for row in rows_of(tmp_path / name)} == {"For research use only; not a medical device."}


def test_one_group_is_all(tmp_path):
    counts = count_groups(["only"] * 10, PREDICTED, TAXONOMY, CONFUSION)
    assert list(counts) == ["only"]
    expected = differential_count(np.bincount(PREDICTED, minlength=4), CONFUSION)
    np.testing.assert_array_equal(counts["only"].corrected, expected.corrected)


def test_no_cells(tmp_path):
    counts = count_groups([], np.zeros(0, int), TAXONOMY, CONFUSION)
    assert list(counts) == [ALL] and counts[ALL].total == 0
    write_counts(tmp_path / "counts.csv", counts, TAXONOMY, within=0.1)
    assert {row["share"] + row["cells_needed"] for row in rows_of(tmp_path / "counts.csv")} == {""}


def test_a_slide_may_be_called_all_and_another_have_no_readable_image():
    counts = count_groups(["all", "s1", "s1", "s2"], np.array([0, 1, 1, -1]), TAXONOMY, CONFUSION)
    assert {name: one.total for name, one in counts.items()} == {"all slides": 3, "all": 1, "s1": 2, "s2": 0}


def test_many_groups_keep_their_names():
    names = [f"slide {i % 7}" for i in range(70)]
    counts = count_groups(names, np.arange(70) % 4, TAXONOMY, CONFUSION)
    for i in range(7):
        own = (np.arange(70) % 4)[np.arange(70) % 7 == i]
        np.testing.assert_array_equal(counts[f"slide {i}"].counts, np.bincount(own, minlength=4))
    assert counts[ALL].total == pytest.approx(70)
