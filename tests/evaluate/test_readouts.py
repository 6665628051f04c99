"""Readouts against numbers worked by hand and scipy."""

import json

import numpy as np
import pytest
from scipy import stats

from smrjax.evaluate import compare_readouts, expected_stage, maturity_scores

STAGE, LINEAGE = np.array([0, 1, 2, 0, 1, -1]), np.array([0, 0, 0, 1, 1, -1])


def test_expected_stage_by_hand():
    p = np.array([[0.1, 0.2, 0.1, 0.3, 0.1, 0.2], [0.0, 0.0, 0.0, 0.0, 0.5, 0.5]])
    first, second = (expected_stage(p, STAGE, LINEAGE, lineage) for lineage in (0, 1))
    assert first[0] == pytest.approx((0.2 + 0.2) / 0.4)
    assert np.isnan(first[1])
    np.testing.assert_allclose(second, [0.25, 1.0])


def test_expected_stage_follows_the_given_order_of_stages():
    p = np.array([[0.7, 0.2, 0.1]])
    assert expected_stage(p, np.array([2, 0, 1]), np.zeros(3, int), 0) == pytest.approx(2 * 0.7 + 0.1)


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="no class"):
        expected_stage(np.ones((1, 6)), STAGE, LINEAGE, 2)
    with pytest.raises(ValueError, match="fit"):
        expected_stage(np.ones((1, 5)), STAGE, LINEAGE, 0)
    with pytest.raises(ValueError, match="fit"):
        maturity_scores(np.ones(2), np.zeros(3, int), STAGE)


def test_naming_the_class_earns_nothing_within_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    truth = (labels + rng.random(120)) / 3
    named = maturity_scores(STAGE[labels].astype(float), labels, STAGE, true_maturity=truth)
    assert named["kendall_tau_stage"] == pytest.approx(1)
    assert named["kendall_tau_true"] > 0.7
    assert named["kendall_tau_true_within"] is None  # constant within every class
    perfect = maturity_scores(truth, labels, STAGE, true_maturity=truth)
    assert perfect["kendall_tau_true_within"] == pytest.approx(1)


def test_classes_weigh_alike_within():
    labels = np.array([0] * 3 + [1] * 4)
    t, truth = np.array([1.0, 2, 3, 1, 2, 3, 4]), np.array([1.0, 2, 3, 4, 3, 2, 1])
    assert maturity_scores(t, labels, STAGE, true_maturity=truth)["kendall_tau_true_within"] == pytest.approx(0)


def test_readouts_side_by_side():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 100)
    truth = np.where(LINEAGE[labels] >= 0, STAGE[labels] + rng.random(100), np.nan)
    readouts = {name: truth + rng.normal(size=100) for name in ("line", "bezier")}
    table = compare_readouts(
        readouts, labels, stage=STAGE, lineage_index=LINEAGE, lineages=["a", "b", "c"], true_maturity=truth
    )
    own = LINEAGE[labels] == 1
    expected = stats.kendalltau(readouts["bezier"][own], STAGE[labels][own]).statistic
    assert table["b"]["bezier"]["kendall_tau_stage"] == pytest.approx(expected)
    assert table["c"]["line"] == {
        "n": 0,
        "kendall_tau_stage": None,
        "spearman_stage": None,
        "kendall_tau_true": None,
        "kendall_tau_true_within": None,
    }
    json.dumps(table, allow_nan=False)
