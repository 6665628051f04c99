"""Scores against the confusion matrix of OOTB Fig. 2d, scikit-learn, scipy and numbers worked by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from smrjax import evaluate
from smrjax.evaluate.ordinal import lineage_scores

# Rows true, columns predicted: promyelocyte, myelocyte, metamyelocyte, band, segment.
OOTB = np.array([[405, 28, 1, 1, 0], [23, 180, 28, 2, 3], [3, 22, 180, 48, 0], [0, 4, 63, 448, 38], [1, 2, 6, 81, 445]])
TRUE, PRED = (np.repeat(index.ravel(), OOTB.ravel()) for index in np.indices(OOTB.shape))
NAMES = ["PMY", "MY", "MMY", "BNE", "SNE"]


def test_published_numbers():
    assert len(TRUE) == 2012
    assert evaluate.accuracy(TRUE, PRED) == pytest.approx(0.8241, abs=5e-5)
    assert evaluate.macro_f1(TRUE, PRED) == pytest.approx(0.8075, abs=5e-5)
    assert evaluate.balanced_accuracy(TRUE, PRED) == pytest.approx(0.8094, abs=5e-5)
    assert evaluate.off_by_one_accuracy(TRUE, PRED) == pytest.approx(0.9886, abs=5e-5)
    assert evaluate.mean_absolute_stage_error(TRUE, PRED, n_stages=5) == pytest.approx(0.191, abs=5e-4)
    assert evaluate.quadratic_kappa(TRUE, PRED, n_stages=5) == pytest.approx(0.948, abs=5e-4)
    assert evaluate.m_score(TRUE, PRED) == pytest.approx(-1.0995, abs=5e-5)
    f1 = [row["f1"] for row in evaluate.per_class(TRUE, PRED, classes=NAMES).values()]
    np.testing.assert_allclose(f1, [0.934, 0.763, 0.678, 0.791, 0.872], atol=5e-4)


labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(labels)
def test_agrees_with_sklearn_on_any_labels(pairs):
    true, pred = np.array(pairs).T
    np.testing.assert_array_equal(
        evaluate.confusion(true, pred, n_classes=5), metrics.confusion_matrix(true, pred, labels=range(5))
    )
    assert evaluate.accuracy(true, pred) == pytest.approx(metrics.accuracy_score(true, pred))
    assert evaluate.macro_f1(true, pred) == pytest.approx(
        metrics.f1_score(true, pred, average="macro", zero_division=0)
    )
    assert evaluate.balanced_accuracy(true, pred) == pytest.approx(
        metrics.recall_score(true, pred, average="macro", labels=np.unique(true), zero_division=0)
    )
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, pred, labels=range(5), zero_division=np.nan
    )
    ours = list(evaluate.per_class(true, pred, classes=NAMES).values())
    for key, theirs in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        mine = [np.nan if row[key] is None else row[key] for row in ours]
        np.testing.assert_allclose(mine, theirs)
    if len(set(true) | set(pred)) > 1:
        kappa = metrics.cohen_kappa_score(true, pred, weights="quadratic", labels=range(5))
        assert evaluate.quadratic_kappa(true, pred, n_stages=5) == pytest.approx(kappa)


def test_macro_f1_of_large_classes():
    theirs = metrics.f1_score(TRUE, PRED, average=None)
    assert evaluate.macro_f1_at_support(TRUE, PRED, support=300) == pytest.approx(theirs[[0, 3, 4]].mean())
    assert evaluate.macro_f1_at_support(TRUE, PRED, support=9999) is None


def test_m_score_has_a_floor():
    true, pred = np.array([0, 0, 1]), np.array([0, 0, 0])  # F1 of class 0 is 4/5, of class 1 nothing
    assert evaluate.m_score(true, pred) == pytest.approx(math.log(0.8) + math.log(0.01))


def test_severity_by_hand():
    severity = np.array([[1, 2, 5], [3, 1, 1], [4, 4, 1]])
    true, pred = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 2, 0, 2])
    assert evaluate.misclassification_severity(true, pred, severity) == pytest.approx((2 + 5 + 3) / 5)
    assert evaluate.misclassification_severity(true, pred, severity, normalized=True) == pytest.approx(10 / 22)
    assert evaluate.misclassification_severity(true, true, severity) == 0
    assert evaluate.misclassification_severity(true, true, np.zeros((3, 3)), normalized=True) == 0
    with pytest.raises(ValueError):
        evaluate.misclassification_severity(true, pred, severity[:2])
    with pytest.raises(ValueError):
        evaluate.misclassification_severity(true, pred, severity[:2, :2])


def test_predictions_outside_the_lineage_by_hand():
    true, pred = np.array([0, 0, 1, 2]), np.array([0, -1, 2, 2])
    assert evaluate.off_by_one_accuracy(true, pred) == 0.75
    assert evaluate.mean_absolute_stage_error(true, pred, n_stages=3) == pytest.approx((0 + 2 + 1 + 0) / 4)
    # weights 1/4 and 1; observed .25 x 1 + 1; chance: rows (2, 1, 1) x columns (1, 0, 2, outside 1) / 4
    chance = (2 * (0 + 2 * 1 + 1) + 1 * (0.25 + 2 * 0.25 + 1) + 1 * (1 + 0 + 1)) / 4
    assert evaluate.quadratic_kappa(true, pred, n_stages=3) == pytest.approx(1 - 1.25 / chance)
    both = lineage_scores(true, pred, n_stages=3)
    assert both["in_lineage"] == 0.75
    assert both["conditional"]["mean_absolute_stage_error"] == pytest.approx(1 / 3)
    assert both["conditional"]["quadratic_kappa"] == pytest.approx(
        metrics.cohen_kappa_score([0, 1, 2], [0, 2, 2], weights="quadratic")
    )
    assert both["penalised"]["off_by_one_accuracy"] == 0.75


def test_two_stages_still_punish_leaving_the_lineage():
    assert evaluate.off_by_one_accuracy(np.array([0, 1]), np.array([1, -1])) == 0.5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_rank_correlations_are_those_of_scipy(pairs):
    a, b = np.array(pairs, float).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert evaluate.kendall_tau(a, b) is None
        assert evaluate.spearman(a, b) is None
        return
    assert evaluate.kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    # Spearman is Pearson on ranks
    ranks = np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]
    assert evaluate.spearman(a, b) == pytest.approx(ranks)


def test_tau_b_by_hand_and_gaps():
    # pairs: 5 concordant, 0 discordant, one tie in b: 5 / sqrt(6 x 5)
    a, b = np.array([1.0, 2, 3, 4, np.nan]), np.array([0.0, 1, 1, 2, 9])
    assert evaluate.kendall_tau(a, b) == pytest.approx(5 / math.sqrt(30))
    assert evaluate.kendall_tau(a[:1], b[:1]) is None


def test_error_split_by_hand():
    stage, lineage = np.array([0, 1, 2, 0, -1, -1]), np.array([0, 0, 0, 1, -1, -1])
    true = np.array([0, 0, 0, 0, 4, 4, 3, 1])
    pred = np.array([0, 1, 2, 3, 5, 0, 3, 0])
    split = evaluate.error_split(true, pred, stage=stage, lineage_index=lineage)
    assert split == {"correct": 2 / 8, "adjacent": 2 / 8, "same_lineage": 1 / 8, "other": 3 / 8}


def test_report_is_plain_json_and_agrees_with_its_parts():
    stage, lineage = np.array([0, 1, 2, 0, -1, 0]), np.array([0, 0, 0, 1, -1, 2])
    names = ["a", "b", "c", "d", "e", "f"]
    rng = np.random.default_rng(0)
    true, pred = rng.integers(0, 5, 80), rng.integers(0, 5, 80)  # no cell of class f, so lineage 2 is empty
    t = np.where(lineage[true] == 0, rng.random(80), np.nan)
    maturity = np.where(lineage[true] == 0, t + 0.1 * rng.random(80), np.nan)
    report = evaluate.score_report(
        true, pred, classes=names, stage=stage, lineage_index=lineage, lineages=["x", "y", "z"],
        t=t, true_maturity=maturity, severity=np.ones((6, 6)),
    )  # fmt: skip
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert sum(report["errors"].values()) == pytest.approx(1)
    assert report["misclassification_severity"] == pytest.approx(1 - report["accuracy"])
    assert report["per_class"]["f"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    own = lineage[true] == 0
    x = report["lineages"]["x"]
    assert x["n"] == own.sum()
    assert x["kendall_tau_stage"] == pytest.approx(stats.kendalltau(t[own], true[own]).statistic)
    within = [stats.kendalltau(t[true == c], maturity[true == c]).statistic for c in range(3)]
    assert x["kendall_tau_true_within"] == pytest.approx(np.mean(within))
    inside = own & (lineage[pred] == 0)
    assert x["conditional"]["off_by_one_accuracy"] == np.mean(np.abs(true[inside] - pred[inside]) <= 1)
    assert report["lineages"]["y"]["penalised"]["mean_absolute_stage_error"] is None  # one stage
    empty = report["lineages"]["z"]
    assert empty["n"] == 0
    assert empty["in_lineage"] is None
    assert empty["kendall_tau_stage"] is None
    assert set(empty["conditional"].values()) == {None}


def test_report_of_one_cell():
    report = evaluate.score_report(
        np.array([1]),
        np.array([1]),
        classes=["a", "b"],
        stage=np.array([0, 1]),
        lineage_index=np.array([0, 0]),
        t=np.array([0.3]),
        true_maturity=np.array([0.4]),
    )
    json.dumps(report, allow_nan=False)
    assert report["macro_f1"] == 1
    assert report["macro_f1_support30"] is None
    assert report["lineages"]["0"]["conditional"]["quadratic_kappa"] is None
    assert report["lineages"]["0"]["kendall_tau_true_within"] is None


@pytest.mark.parametrize("true, pred", [([], []), ([0, 1], [0]), ([0, 7], [0, 1]), ([0, -1], [0, 0])])
def test_bad_labels_are_refused(true, pred):
    with pytest.raises(ValueError):
        evaluate.confusion(np.array(true, int), np.array(pred, int), n_classes=3)


def test_negative_true_stage_is_refused():
    with pytest.raises(ValueError, match="lineage"):
        evaluate.off_by_one_accuracy(np.array([-1]), np.array([0]))
