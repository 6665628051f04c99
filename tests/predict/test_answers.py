from dataclasses import replace

import numpy as np
import pytest

from smrjax.predict import Readings, answer
from tests.predict.conftest import TAXONOMY

#: Of two folds for five cells; classes A, X, B, C with A, B, C a lineage.
FIRST = np.array(
    [[0.5, 0.0, 0.4, 0.1], [0.1, 0.5, 0.2, 0.2], [0.45, 0.0, 0.1, 0.45], [0.0, 0.0, 0.5, 0.5], [1, 0, 0, 0]]
)
OTHER = np.array(
    [[0.4, 0.1, 0.5, 0.0], [0.1, 0.6, 0.3, 0.0], [0.55, 0.0, 0.1, 0.35], [0.0, 0.0, 0.9, 0.1], [1, 0, 0, 0]]
)


def readings(p, shift=0.0):
    t = np.array([-0.2, 0.4, 0.5, 0.7, 1.4]) + shift
    off = np.array([0.5, 9, 1.2, 0.9, 1.0]) + shift
    return Readings(p, {"abc": t}, {"abc": 2 * off}, {"abc": off}, np.array([0.1, 1.1, 0.95, 1.5, 0.2]) + shift)


def test_one_fold():
    """Everything by hand."""
    found = answer([readings(FIRST)], TAXONOMY)
    assert found.predicted.tolist() == [0, 1, 0, 2, 0]
    assert found.second.tolist() == [2, 2, 3, 3, 1]
    assert found.lineage.tolist() == [1, 0, 1, 1, 1]
    np.testing.assert_array_equal(found.t, [0, np.nan, 0.5, 0.7, 1])
    np.testing.assert_array_equal(found.raw_t, [-0.2, np.nan, 0.5, 0.7, 1.4])
    np.testing.assert_array_equal(found.distance, [1, np.nan, 2.4, 1.8, 2])
    # The first is between A and B, the fourth between B and C; the third between A and C, which are not adjacent.
    assert found.borderline.tolist() == [True, False, False, True, False]
    # Of a class without a curve it cannot be off.
    assert found.off_curve.tolist() == [False, False, True, False, False]
    assert found.unfamiliar.tolist() == [False, True, False, True, False]


def test_several_folds_are_averaged():
    """Float64 means by hand: the first cell is A by one fold and B by the other."""
    found = answer([readings(FIRST), readings(OTHER, 0.2)], TAXONOMY)
    mean = [[0.45, 0.05, 0.45, 0.05], [0.1, 0.55, 0.25, 0.1], [0.5, 0, 0.1, 0.4], [0, 0, 0.7, 0.3], [1, 0, 0, 0]]
    np.testing.assert_allclose(found.probabilities, mean)
    np.testing.assert_allclose(found.raw_t, [-0.1, np.nan, 0.6, 0.8, 1.5])
    np.testing.assert_allclose(found.off_curve_ratio, [0.6, np.nan, 1.3, 1.0, 1.1])
    np.testing.assert_allclose(found.unfamiliar_ratio, [0.2, 1.2, 1.05, 1.6, 0.3])
    assert found.predicted[1:].tolist() == [1, 0, 2, 0]
    assert found.borderline.tolist() == [True, False, False, False, False]
    assert found.unfamiliar.tolist() == [False, True, True, True, False]


def test_a_fold_without_a_limit_has_no_say_in_it():
    """None of its validation cells was of the lineage: the others' mean stands, and where there are none, no flag."""
    silent = replace(readings(FIRST), off_curve={"abc": np.full(5, np.nan)}, unfamiliar=np.full(5, np.nan))
    alone, together = answer([readings(FIRST)], TAXONOMY), answer([readings(FIRST), silent], TAXONOMY)
    np.testing.assert_array_equal(together.off_curve_ratio, alone.off_curve_ratio)
    np.testing.assert_array_equal(together.unfamiliar, alone.unfamiliar)
    none = answer([silent], TAXONOMY)
    assert np.isnan(none.unfamiliar_ratio).all() and not none.unfamiliar.any() and not none.off_curve.any()


def test_borderline_against_brute_force():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 500)
    one = Readings(p, {}, {}, {}, np.zeros(500))
    neighbours = {frozenset("AB"), frozenset("BC")}
    expected = []
    for row in p:
        (high, first), (low, second) = sorted(zip(row, TAXONOMY.classes, strict=True), reverse=True)[:2]
        expected.append(frozenset((first, second)) in neighbours and high - low < 0.3)
    found = answer([one], TAXONOMY, borderline=0.3)
    assert found.borderline.tolist() == expected
    assert 20 < sum(expected) < 480
    assert not answer([one], TAXONOMY, borderline=0.0).borderline.any()
    assert np.isnan(found.t).all() and not found.off_curve.any()


def test_least_severity_decides_where_it_did_in_training():
    severity = np.ones((4, 4)) - np.eye(4)
    severity[1, 2] = 50  # taking an X for a B
    found = answer([Readings(np.array([[0.3, 0.1, 0.6, 0.0]]), {}, {}, {}, np.zeros(1))], TAXONOMY, severity=severity)
    assert found.predicted.tolist() == [0] and found.second.tolist() == [2]


def test_nothing_to_answer_from():
    with pytest.raises(ValueError, match="readings"):
        answer([], TAXONOMY)
    none = answer([Readings(np.zeros((0, 4)), {}, {}, {}, np.zeros(0))], TAXONOMY)
    assert none.predicted.shape == none.t.shape == none.borderline.shape == (0,)
