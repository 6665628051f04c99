"""Intervals and tests against scipy, R's documented values and closed forms."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smrjax.evaluate import cluster_bootstrap, holm, interval, macro_f1, paired_difference

A = np.array([0.763, 0.741, 0.772, 0.750, 0.761, 0.769])
B = np.array([0.752, 0.745, 0.760, 0.741, 0.748, 0.771])


def test_interval_is_that_of_scipy():
    ours = interval(A)
    theirs = stats.ttest_1samp(A, 0.0).confidence_interval(0.95)
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high))
    assert ours["deviation"] == pytest.approx(np.std(A, ddof=1))
    # tabulated: t of 5 degrees at 97.5 % is 2.5706
    assert ours["high"] - ours["mean"] == pytest.approx(2.5706 * ours["deviation"] / 6**0.5, rel=1e-4)
    assert ours["values"] == A.tolist()


@pytest.mark.parametrize("values, mean", [([], None), ([0.5], 0.5)])
def test_interval_of_too_few(values, mean):
    ours = interval(values)
    assert ours["mean"] == mean
    assert ours["low"] is ours["high"] is ours["deviation"] is None
    json.dumps(ours, allow_nan=False)


def test_uncorrected_difference_is_the_paired_t_test():
    ours = paired_difference(A, B, test_to_train=0.0)
    theirs = stats.ttest_rel(A, B)
    ci = theirs.confidence_interval(0.95)
    assert ours["p"] == pytest.approx(theirs.pvalue)
    assert (ours["low"], ours["high"]) == pytest.approx((ci.low, ci.high))
    assert ours["wilcoxon_p"] == pytest.approx(stats.wilcoxon(A, B).pvalue)


def test_correction_of_nadeau_and_bengio_by_hand():
    # differences 1, 2, 3: mean 2, variance 1; error sqrt(1/3 + 1/4); t of 2 degrees at 97.5 % is 4.30265
    ours = paired_difference([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], test_to_train=0.25)
    error = (7 / 12) ** 0.5
    assert ours["high"] - 2 == pytest.approx(4.30265 * error, rel=1e-5)
    # Student's distribution with 2 degrees in closed form: P(T > x) = 1/2 - x / (2 sqrt(2 + x^2))
    x = 2 / error
    assert ours["p"] == pytest.approx(1 - x / (2 + x * x) ** 0.5)


def test_six_folds_cannot_be_surer_than_one_in_32():
    assert paired_difference(A, A - np.arange(1, 7) / 100, test_to_train=0.25)["wilcoxon_p"] == pytest.approx(1 / 32)


def test_seeds_count_as_repetitions_but_not_for_ranks():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    ours = paired_difference(a, b, test_to_train=0.25)
    d = (a - b).ravel()
    t = d.mean() / np.sqrt(d.var(ddof=1) * (1 / 18 + 0.25))
    assert ours["n"] == 18
    assert ours["p"] == pytest.approx(2 * stats.t.sf(abs(t), 17))
    assert ours["wilcoxon_p"] == pytest.approx(stats.wilcoxon((a - b).mean(axis=0)).pvalue)


@pytest.mark.parametrize("shift, p", [(0.0, 1.0), (0.5, 0.0)])
def test_difference_without_variation(shift, p):
    ours = paired_difference(np.ones(4) + shift, np.ones(4), test_to_train=0.25)
    assert (ours["low"], ours["high"], ours["p"]) == (shift, shift, p)
    json.dumps(ours, allow_nan=False)


def test_difference_of_one_pair_has_no_interval():
    ours = paired_difference([0.7], [0.6], test_to_train=0.25)
    assert ours["mean"] == pytest.approx(0.1)
    assert ours["low"] is ours["p"] is ours["wilcoxon_p"] is None


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match="paired"):
        paired_difference([1.0, 2.0], [1.0], test_to_train=0.25)
    with pytest.raises(ValueError, match="finite"):
        interval([np.nan])
    with pytest.raises(ValueError, match="0 to 1"):
        holm([1.5])


def test_holm_by_hand():
    # sorted .005 x 4, .01 x 3, .03 x 2, .04 x 1 -> .02, .03, .06, and never below the one before
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).shape == (0,)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    # the procedure itself: reject in ascending order while p <= level / tests left
    level, m, rejected = 0.05, len(p), 0
    for step, value in enumerate(sorted(p)):
        if value * (m - step) > level:
            break
        rejected += 1
    assert (holm(p) <= level).sum() == rejected


def test_bootstrap_of_single_cells_is_that_of_scipy():
    x = np.random.default_rng(0).normal(size=80)
    ours = cluster_bootstrap(lambda v: float(v.mean()), x, groups=np.arange(80), resamples=4000)
    theirs = stats.bootstrap((x,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert ours["value"] == x.mean()
    np.testing.assert_allclose([ours["low"], ours["high"]], [theirs.low, theirs.high], atol=0.02)


def test_bootstrap_draws_whole_slides():
    # 25 slides of 20 equal cells: the deviation of the mean is that of 25 values, not of 500
    rng = np.random.default_rng(0)
    slide = rng.normal(size=25)
    groups = np.repeat(np.arange(25), 20)
    ours = cluster_bootstrap(lambda v: float(v.mean()), slide[groups], groups=groups, resamples=4000)
    half = 1.96 * slide.std() / 5
    assert (ours["high"] - ours["low"]) / 2 == pytest.approx(half, rel=0.1)


def test_bootstrap_of_labels_repeats_and_skips_the_undefined():
    true, pred = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 1, 1, 1, 0, 0])
    groups = np.array([0, 0, 1, 1, 2, 2])
    once, twice = (cluster_bootstrap(macro_f1, true, pred, groups=groups, resamples=50, seed=4) for _ in range(2))
    assert once == twice
    assert once["low"] <= once["value"] <= once["high"]
    never = cluster_bootstrap(lambda y: None, true, groups=groups, resamples=10)
    assert never == {"value": None, "low": None, "high": None, "groups": 3, "undefined": 10}
    one = cluster_bootstrap(macro_f1, true, pred, groups=np.zeros(6), resamples=10)
    assert one["low"] is None
    with pytest.raises(ValueError):
        cluster_bootstrap(macro_f1, true, pred[:3], groups=groups)
