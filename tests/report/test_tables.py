"""Tables against rows as BM prints them, read back cell by cell."""

import numpy as np
import pytest

from smrjax.evaluate import fold_scores
from smrjax.report import classwise_table, strategies_table

NAN = float("nan")
# Some rows of BM, Table 4; those of a network are apart from each other.
ROWS = [
    ("Regnet_y_32gf", "Random", [0.709, 0.698, 0.695], [0.040, 0.038, 0.025]),
    ("VGG-19 BN", "Random", [0.667, 0.744, 0.695], [0.039, 0.058, 0.038]),
    ("Regnet_y_32gf", "ImageNet + CD", [0.787, 0.755, 0.762], [0.060, 0.061, 0.050]),
    ("VGG-19 BN", "CD", [0.648, 0.782, 0.691], [0.045, 0.065, 0.045]),
]


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_strategies_as_in_the_paper():
    assert cells(strategies_table(ROWS)) == [
        ["Network", "First weights", "Precision", "Recall", "F1"],
        ["---", "---", "---:", "---:", "---:"],
        ["Regnet_y_32gf", "Random", "0.709 ± 0.040", "0.698 ± 0.038", "0.695 ± 0.025"],
        ["", "ImageNet + CD", "**0.787** ± 0.060", "0.755 ± 0.061", "**0.762** ± 0.050"],
        ["VGG-19 BN", "Random", "0.667 ± 0.039", "0.744 ± 0.058", "0.695 ± 0.038"],
        ["", "CD", "0.648 ± 0.045", "**0.782** ± 0.065", "0.691 ± 0.045"],
    ]


def test_strategies_of_little():
    assert len(strategies_table([]).splitlines()) == 2
    told = cells(strategies_table([("a", "b", [NAN, 0.5, 0.50004], [NAN] * 3), ("c", "b", [NAN, 0.4, 0.5], [NAN] * 3)]))
    # Undefined is a dash, one fold has no ±, and what prints alike is the best alike.
    assert told[2:] == [["a", "b", "–", "**0.500**", "**0.500**"], ["c", "b", "–", "0.400", "**0.500**"]]
    assert r"| a\|b | " in strategies_table([("a|b", "", [1, 1, 1], [0, 0, 0])])
    with pytest.raises(ValueError, match=r"shape \(2,\).*Precision, Recall, F1"):
        strategies_table([("a", "b", [1, 1], [0, 0, 0])])


def test_classes_as_in_the_paper():
    """From counts to rows: 2 of 5 folds right gives the paper's row of abnormal eosinophils."""
    right, wrong = np.array([[1, 0], [0, 9]]), np.array([[0, 1], [0, 9]])
    found = fold_scores(np.array([right, right, wrong, wrong, wrong]))
    table = classwise_table(
        titles=["Abnormal eosinophils", "Others"],
        codes=["ABE", "OTH"],
        mean=found.mean,
        deviation=found.deviation,
        images=[8, 27395],
        macro_mean=found.macro_mean,
        macro_deviation=found.class_deviation,
    )
    lines = cells(table)
    assert lines[0] == ["Class", "Code", "Precision", "Recall", "F1", "Images"]
    assert lines[2] == ["Abnormal eosinophils", "ABE", *["0.400 ± 0.548"] * 3, "8"]
    # Of the others: precision 1, 1, .9, .9, .9.
    assert lines[3] == ["Others", "OTH", "0.940 ± 0.055", "1.000 ± 0.000", "0.968 ± 0.029", "27,395"]
    assert lines[4] == ["**mean**", "", "0.670 ± 0.301", "0.700 ± 0.274", "0.684 ± 0.288", "27,403"]


def test_a_class_without_scores_has_dashes():
    mean, deviation = np.full((3, 1), NAN), np.full((3, 1), NAN)
    words = {"titles": ["A|B"], "codes": ["A"], "images": [0], "macro_mean": [NAN] * 3, "macro_deviation": [NAN] * 3}
    table = classwise_table(mean=mean, deviation=deviation, **words)
    assert r"| A\|B | A | – | – | – | 0 |" in table
    assert cells(table)[-1] == ["**mean**", "", "–", "–", "–", "0"]
    with pytest.raises(ValueError, match="for 1 classes"):
        classwise_table(mean=np.ones((3, 2)), deviation=np.ones((3, 2)), **words)
