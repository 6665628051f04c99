"""Calibration against scikit-learn, examples worked by hand, and the definition cell by cell."""

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from smrjax.evaluate import (
    brier_score,
    calibration_report,
    classwise_calibration_error,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)


def cells(n, classes, seed):
    """Probabilities, and labels that are drawn by them but for one in four."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.5), n)
    labels = np.array([rng.choice(classes, p=row) for row in p])
    return p, np.where(rng.random(n) < 0.25, rng.integers(classes, size=n), labels)


@pytest.mark.parametrize("bins", [1, 2, 15])
def test_table_is_that_of_sklearn(bins):
    p, y = cells(400, 3, 0)
    table = reliability(p[:, 0], y == 0, bins=bins)
    true, claimed = calibration_curve(y == 0, p[:, 0], n_bins=bins)
    full = table["count"] > 0
    np.testing.assert_allclose(table["accuracy"][full], true)
    np.testing.assert_allclose(table["confidence"][full], claimed)
    assert table["count"].sum() == 400 and len(table["edges"]) == bins + 1


def test_ends_of_the_bins():
    # Upper ends belong to the bin, and 0 to the first; 1.0 is in the last and not beyond.
    table = reliability(np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.0]), np.ones(6, bool), bins=4)
    assert table["count"].tolist() == [2, 1, 1, 2]
    np.testing.assert_allclose(table["confidence"], [0.125, 0.5, 0.75, 1.0])
    empty = reliability(np.array([0.9]), np.array([True]), bins=2)
    assert np.isnan(empty["accuracy"][0]) and empty["accuracy"][1] == 1


def test_calibration_error_by_hand():
    # Ten cells claim 0.9 and seven are right; five claim 0.6 and four are right: (10 x 0.2 + 5 x 0.2) / 15.
    p = np.repeat([[0.9, 0.1], [0.6, 0.4]], [10, 5], axis=0)
    y = np.array([0] * 7 + [1] * 3 + [0] * 4 + [1])
    assert expected_calibration_error(p, y) == pytest.approx(0.2)
    # Of the other class 0.1 is claimed where 0.3 are, 0.4 where 0.2 are: the same differences.
    assert classwise_calibration_error(p, y) == pytest.approx(0.2)
    # In one bin, too much and too little cancel: 0.8 is claimed, 11 of 15 are right.
    assert expected_calibration_error(p, y, bins=1) == pytest.approx(0.8 - 11 / 15)


@pytest.mark.parametrize("bins", [4, 15])
def test_calibration_errors_cell_by_cell(bins):
    p, y = cells(300, 4, 1)

    def gap(claims, truths):
        total = 0.0
        for b in range(bins):
            inside = [i for i, c in enumerate(claims) if b / bins < c <= (b + 1) / bins]
            total += abs(sum(claims[i] for i in inside) - sum(truths[i] for i in inside))
        return total / len(claims)

    best = p.argmax(axis=1)
    assert expected_calibration_error(p, y, bins=bins) == pytest.approx(gap(p.max(axis=1), best == y))
    each = [gap(p[:, c], y == c) for c in range(4)]
    assert classwise_calibration_error(p, y, bins=bins) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_are_those_of_sklearn(classes):
    p, y = cells(200, classes, 2)
    assert negative_log_likelihood(p, y) == pytest.approx(log_loss(y, p, labels=range(classes)))
    assert brier_score(p, y) == pytest.approx(brier_score_loss(y, p, labels=range(classes), scale_by_half=False))
    sure = np.eye(classes)[y]
    sure[0] = np.roll(sure[0], 1)  # certain, and wrong
    assert negative_log_likelihood(sure, y) == pytest.approx(log_loss(y, sure, labels=range(classes)))
    assert brier_score(sure, y) == pytest.approx(2 / 200)
    assert expected_calibration_error(sure, y) == pytest.approx(1 / 200)


def test_labels_drawn_by_the_probabilities_are_calibrated():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 20_000)
    y = (rng.random((20_000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    # 20,000 cells in at most 15 bins: chance alone is about 0.01.
    assert expected_calibration_error(p, y) < 0.015 and classwise_calibration_error(p, y) < 0.015
    assert expected_calibration_error(p**3 / (p**3).sum(axis=1, keepdims=True), y) > 0.1  # too sure of itself


@pytest.mark.parametrize("n", [0, 1, 7])
def test_report_is_json_at_all_ends(n):
    one = calibration_report(np.ones((n, 1)), np.zeros(n, int), bins=3)
    json.dumps(one, allow_nan=False)
    expected = 0.0 if n else None
    assert [one[key] for key in one if key.endswith(("error", "score", "likelihood"))] == [expected] * 4
    assert one["reliability"]["count"] == [0, 0, n] and one["n"] == n
    assert one["reliability"]["accuracy"] == [None, None, 1.0 if n else None]


@pytest.mark.parametrize(
    ("p", "y", "said"),
    [
        ([[0.5, 0.5]], [2], "outside 0 ... 1"),
        ([[0.5, 0.5]], [-1], "outside 0 ... 1"),
        ([[0.5, 0.5]], [0, 1], "expected"),
        ([[0.5, 0.5]], [0.0], "expected"),
        ([0.5], [0], "expected"),
        ([[1.5, -0.5]], [0], "between 0 and 1"),
        ([[np.nan, 0.5]], [0], "between 0 and 1"),
    ],
)
def test_what_is_no_probability_or_label(p, y, said):
    for score in (expected_calibration_error, classwise_calibration_error, brier_score, negative_log_likelihood):
        with pytest.raises(ValueError, match=said):
            score(np.array(p), np.array(y))


def test_no_bin():
    with pytest.raises(ValueError, match="no bin"):
        reliability(np.array([0.5]), np.array([True]), bins=0)
