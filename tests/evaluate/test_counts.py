"""Differential counts against scipy, closed forms, brute force and simulations with known shares."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import optimize, stats

from smrjax.evaluate import cells_needed, corrected_draws, corrected_shares, differential_count, ratio, wilson

# Rows true: a model that calls every fifth band a segment and every tenth segment a band; lymphocytes are easy.
CONFUSION = np.array([[80, 20, 0], [10, 88, 2], [0, 1, 99]])
RATES = CONFUSION / 100


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 17, 500])
def test_wilson_is_that_of_scipy(n, confidence):
    k = np.unique([0, 1, n // 3, n])
    low, high = wilson(k, n, confidence=confidence)
    for one, a, b in zip(k, low, high, strict=True):
        theirs = stats.binomtest(int(one), n).proportion_ci(confidence, method="wilson")
        assert (a, b) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_at_its_ends():
    assert [end.tolist() for end in wilson([0, 0, 7], [0, 9, 7])] == [
        [0.0, 0.0, pytest.approx(7 / (7 + 1.959964**2))],
        [1.0, pytest.approx(1.959964**2 / (9 + 1.959964**2)), 1.0],
    ]
    for k, n in ((-1, 4), (5, 4), (np.nan, 4)):
        with pytest.raises(ValueError, match="at most n"):
            wilson(k, n)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence=95)


@pytest.mark.parametrize(("n", "low", "high"), [(100, 1.6, 11.3), (200, 2.4, 9.0), (500, 3.3, 7.3), (5000, 4.4, 5.6)])
def test_five_per_cent_is_known_about_as_well_as_clopper_and_pearson_say(n, low, high):
    exact = stats.binomtest(n // 20, n).proportion_ci(0.95, method="exact")
    assert (100 * exact.low, 100 * exact.high) == pytest.approx((low, high), abs=0.05)
    ours = np.array(wilson(0.05 * n, n))
    assert ours[1] - ours[0] < exact.high - exact.low  # theirs is never below its confidence, so it is the wider
    assert ours == pytest.approx([exact.low, exact.high], abs=0.06 / np.sqrt(n))


@pytest.mark.parametrize("share", [0.0, 0.003, 0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("half_width", [0.007, 0.02, 0.1, 0.49])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_cells_needed_by_trying_every_number(share, half_width, confidence):
    n = np.arange(20_000)
    low, high = wilson(share * n, n, confidence=confidence)
    enough = (high - low) / 2 <= half_width
    first = int(enough.argmax())
    assert enough[first:].all() and not enough[:first].any()
    assert cells_needed(share, half_width=half_width, confidence=confidence) == first


def test_cells_needed_refuses_and_ends():
    assert cells_needed(0.3, half_width=0.5) == 0  # that much is known of every share
    for share, half in ((-0.1, 0.1), (1.1, 0.1), (0.5, 0.0)):
        with pytest.raises(ValueError, match="half width"):
            cells_needed(share, half_width=half)


def test_bias_of_raw_counts_is_undone():
    true = np.array([0.1, 0.6, 0.3])
    counts = 10_000 * true @ RATES
    raw = counts / counts.sum()
    assert raw[0] / true[0] == pytest.approx(1.4)  # a class counted recall / precision times too often
    np.testing.assert_allclose(corrected_shares(counts, CONFUSION, prior=1e-9), true, atol=1e-5)
    # One cell of prior to a hundred test cells moves little.
    np.testing.assert_allclose(corrected_shares(counts, CONFUSION), true, atol=0.01)


def test_two_classes_are_rogan_and_gladens():
    sensitivity, specificity, positive = 0.83, 0.95, 0.2
    confusion = 1e6 * np.array([[specificity, 1 - specificity], [1 - sensitivity, sensitivity]])
    expected = (positive + specificity - 1) / (sensitivity + specificity - 1)
    ours = corrected_shares(np.array([1 - positive, positive]), confusion, prior=1e-9)
    assert ours[1] == pytest.approx(expected, abs=1e-5)
    # Fewer positives than there are false ones: none are left, not a negative share.
    assert corrected_shares(np.array([96, 4]), confusion)[1] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_likelihood_is_the_greatest_there_is(seed):
    rng = np.random.default_rng(seed)
    confusion = rng.integers(1, 30, (5, 5)) + 25 * np.eye(5)
    counts = rng.integers(0, 60, 5)
    rates = confusion / confusion.sum(axis=1, keepdims=True)

    def cost(shares):
        return -counts @ np.log(np.maximum(shares @ rates, 1e-12)) / counts.sum()

    whole = {"type": "eq", "fun": lambda shares: shares.sum() - 1}
    theirs = optimize.minimize(
        cost, np.full(5, 0.2), bounds=[(0, 1)] * 5, constraints=whole, method="SLSQP", options={"ftol": 1e-13}
    )
    ours = corrected_shares(counts, confusion, prior=1e-9)
    assert ours.min() >= 0 and ours.sum() == pytest.approx(1)
    assert cost(ours) <= theirs.fun + 1e-7
    np.testing.assert_allclose(ours, theirs.x, atol=5e-3)


def test_several_slides_at_once_are_each_by_itself():
    slides = np.array([[5, 9, 3], [0, 0, 0], [0, 100, 0]])
    found = corrected_shares(slides, CONFUSION)
    assert np.isnan(found[1]).all()
    for row in (0, 2):
        np.testing.assert_allclose(found[row], corrected_shares(slides[row], CONFUSION), atol=1e-12)


def test_a_class_without_test_cells_is_taken_for_an_average_one():
    # Accuracy 0.9 over the two other classes: so an average row says 0.9 on its own class, 0.05 on each other.
    confusion = np.array([[90, 10, 0], [10, 90, 0], [0, 0, 0]])
    filled = np.array([[90, 10, 0], [10, 90, 0], [50, 50, 900]])
    counts = np.array([50, 40, 30])
    ours = corrected_shares(counts, confusion, prior=1e-6)
    np.testing.assert_allclose(ours, corrected_shares(counts, filled, prior=1e-9), atol=1e-5)
    # And nothing is known of it to within a hair.
    spread = corrected_draws(counts, confusion).std(axis=0)
    assert spread[2] > 2 * corrected_draws(counts, filled).std(axis=0)[2]


def test_one_class():
    assert corrected_shares(np.array([3]), np.array([[0.5]])).tolist() == [1.0]
    found = differential_count(np.array([3]), np.array([[2]]), draws=10)
    assert (found.share[0], found.low[0], found.high[0]) == (1, pytest.approx(3 / (3 + 1.959964**2)), 1)
    assert (found.corrected_low[0], found.corrected_high[0]) == (1, 1)


@pytest.mark.parametrize(
    ("counts", "confusion"),
    [
        ([1, 2], np.eye(3)),
        ([1, -2], np.eye(2)),
        ([1, 2], np.zeros((2, 2))),
        ([1, 2], [[1, -1], [0, 1]]),
        (3, [[1]]),
        ([], np.zeros((0, 0))),
    ],
)
def test_counts_that_make_no_sense(counts, confusion):
    with pytest.raises(ValueError, match="confusion"):
        corrected_shares(np.array(counts), np.array(confusion))


def test_draws_repeat_and_spread_as_the_delta_method_says():
    counts = np.array([300, 700])
    confusion = np.array([[400, 100], [60, 540]])
    draws = corrected_draws(counts, confusion, draws=4000, seed=3)
    np.testing.assert_array_equal(draws, corrected_draws(counts, confusion, draws=4000, seed=3))
    np.testing.assert_allclose(draws.sum(axis=1), 1)
    # Rogan & Gladen 1978: the variance of (p - f) / (s - f) for p of n, s and f of the test cells.
    p, s, f = 0.3, 0.8, 0.1
    share = (p - f) / (s - f)
    parts = [p * (1 - p) / 1000, share**2 * s * (1 - s) / 500, (1 - share) ** 2 * f * (1 - f) / 600]
    assert draws[:, 0].std() == pytest.approx(np.sqrt(sum(parts)) / (s - f), rel=0.05)
    with pytest.raises(ValueError, match="one list"):
        corrected_draws(np.ones((2, 2)), np.eye(2))


def test_intervals_hold_the_true_shares_about_as_often_as_they_say():
    true = np.array([0.01, 0.09, 0.3, 0.6])
    rates = np.array([[0.8, 0.15, 0.05, 0], [0.1, 0.8, 0.1, 0], [0, 0.05, 0.85, 0.1], [0, 0, 0.1, 0.9]])
    rng = np.random.default_rng(0)
    corrected, raw = [], []
    for seed in range(150):
        confusion = np.array([rng.multinomial(120, row) for row in rates])
        found = differential_count(rng.multinomial(400, true @ rates), confusion, draws=200, seed=seed)
        corrected.append((found.corrected_low <= true) & (true <= found.corrected_high))
        raw.append((found.low <= true) & (true <= found.high))
        assert (found.corrected_low <= found.corrected).all() and (found.corrected <= found.corrected_high).all()
    # 150 times 4 intervals of 95 %: the deviation of their share is about one per cent.
    assert 0.92 < np.mean(corrected) < 0.98
    assert (np.mean(corrected, axis=0) > 0.88).all()
    assert np.mean(raw, axis=0)[0] < 0.75  # of the rare class 0.017 are counted, half of them other cells


def test_artefacts_are_no_part_of_the_whole():
    counts = np.array([30, 50, 20])
    found = differential_count(counts, CONFUSION, left_out=[2])
    assert found.total == 80 and found.counts.tolist() == [30, 50, 20]
    np.testing.assert_allclose(found.share, [0.375, 0.625, np.nan])
    assert found.low[0] == wilson(30, 80)[0] and np.isnan(found.high[2])
    # Corrected among all classes first: some of those called artefacts were cells.
    whole = corrected_shares(counts, CONFUSION)
    np.testing.assert_allclose(found.corrected[:2], whole[:2] / whole[:2].sum())
    np.testing.assert_allclose(found.draws[:, :2].sum(axis=1), 1)
    assert np.isnan([found.corrected[2], found.corrected_low[2], found.corrected_high[2]]).all()
    with pytest.raises(ValueError, match="left out"):
        differential_count(counts, CONFUSION, left_out=[3])


@pytest.mark.parametrize("counts", [[0, 0, 0], [0, 0, 9]])
def test_a_slide_without_cells_says_nothing(counts):
    found = differential_count(np.array(counts), CONFUSION, left_out=[2], draws=20)
    assert found.total == 0
    for ends in ((found.low, found.high), (found.corrected_low, found.corrected_high)):
        assert [end[:2].tolist() for end in ends] == [[0, 0], [1, 1]]
    assert np.isnan([found.share, found.corrected]).all()
    said = ratio(found, [0], [1])
    assert said["value"] is said["corrected"] is said["high"] is said["corrected_high"] is None
    assert said["low"] == said["corrected_low"] == 0


def test_a_ratio_is_the_odds_of_a_share():
    found = differential_count(np.array([60, 240, 100]), CONFUSION, seed=1)
    said = ratio(found, [0, 1], [2])
    json.dumps(said, allow_nan=False)
    assert said["value"] == 3 and (said["over"], said["under"]) == (300, 100)
    interval = stats.binomtest(300, 400).proportion_ci(0.95, method="wilson")
    assert said["low"] == pytest.approx(interval.low / (1 - interval.low))
    assert said["high"] == pytest.approx(interval.high / (1 - interval.high))
    assert said["corrected"] == pytest.approx(found.corrected[:2].sum() / found.corrected[2])
    # The same draws: quantiles of the ratio are the ratio of the quantiles of its share.
    drawn = found.draws[:, :2].sum(axis=1) / found.draws[:, 2]
    theirs = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose([said["corrected_low"], said["corrected_high"]], theirs, rtol=1e-3)


def test_a_ratio_to_nothing_has_no_value_but_a_low_end():
    found = differential_count(np.array([60, 40, 0]), 1000 * np.eye(3))
    said = ratio(found, [0], [2])
    assert said["value"] is None and said["high"] is None
    assert said["low"] == pytest.approx(60 / 1.959964**2)  # Wilson's n / (n + z^2), as odds
    assert said["corrected_low"] > 10
    # Every cell named so is taken back by the correction: its share is zero but for what iterations leave.
    taken = ratio(differential_count(np.array([900, 0, 1]), np.array([[90, 0, 10], [0, 50, 0], [0, 0, 50]])), [0], [2])
    assert taken["value"] == 900 and taken["corrected"] is None and taken["corrected_high"] is None
    json.dumps(said, allow_nan=False)
    upside_down = ratio(found, [2], [0])
    assert upside_down["value"] == upside_down["low"] == 0 < upside_down["high"] < 0.1


def test_a_ratio_of_the_same_or_uncounted_classes():
    found = differential_count(np.array([6, 4, 1]), CONFUSION, left_out=[2], draws=5)
    for over, under in (([0], [0, 1]), ([], [1]), ([0], []), ([0], [2])):
        with pytest.raises(ValueError, match="common class"):
            ratio(found, over, under)


def test_nothing_but_arrays_and_numbers():
    found = asdict(differential_count(np.array([6, 4, 1]), CONFUSION, draws=5))
    assert {type(value) for value in found.values()} <= {np.ndarray, int, float}
