"""The search against scikit-learn's own pieces put together by hand, and against what must not leak."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from smrjax.classical.search import CLASSIFIERS, best_of, draw, spaces, try_sets


def macro(true, predicted):
    return f1_score(true, predicted, average="macro")


@pytest.fixture(scope="module")
def cells():
    """Descriptors of three classes of unequal size, in units that differ by a factor of a thousand."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], [40, 30, 14]))
    x = rng.normal(size=(len(y), 6)) + np.eye(3, 6)[y] * 1.5
    x *= np.array([1, 1000, 1, 1, 1000, 1])
    fold = np.arange(len(y)) % 3
    return x.astype(np.float32), y, [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]


def test_scores_are_those_of_the_steps_done_by_hand(cells):
    """Mean and deviation from the training part alone, then the SVM, for every inner part."""
    x, y, parts = cells
    sets = draw("rbf", 4, seed=1)
    tried = try_sets(x, y, parts, "rbf", sets, score=macro, seed=0)
    assert [one["params"] for one in tried] == sets
    for one in tried:
        for (train, held), score in zip(parts, one["scores"], strict=True):
            mean, deviation = x[train].astype(float).mean(0), x[train].astype(float).std(0)
            scaled = (x - mean) / deviation
            predicted = SVC(**one["params"]).fit(scaled[train], y[train]).predict(scaled[held])
            assert score == pytest.approx(macro(y[held], predicted), abs=1e-6)
        assert one["score"] == pytest.approx(np.mean(one["scores"]))
    assert best_of(tried)["score"] == max(one["score"] for one in tried)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_learns_and_every_set_is_json(cells, name):
    x, y, parts = cells
    few = {"rfc": {"n_estimators": 20}, "abc": {"n_estimators": 20}}.get(name, {})
    sets = [one | few for one in draw(name, 3, seed=2)]
    tried = try_sets(x, y, parts, name, sets, score=macro, seed=0)
    assert json.loads(json.dumps(tried)) == tried
    assert best_of(tried)["score"] > 0.5
    assert set(sets[0]) == set(spaces()[name])


@pytest.mark.parametrize("step", [StandardScaler, LinearSVC])
def test_neither_step_is_fitted_to_the_part_that_is_judged(cells, step, monkeypatch):
    x, y, parts = cells
    seen, fit = [], step.fit

    def noted(self, some, *rest, **how):
        seen.append(np.array(some))
        return fit(self, some, *rest, **how)

    monkeypatch.setattr(step, "fit", noted)
    try_sets(x, y, parts, "svm", [{"C": 0.1}], score=macro, seed=0)
    assert len(seen) == len(parts)
    for some, (train, _) in zip(seen, parts, strict=True):
        mean, deviation = x[train].astype(float).mean(0), x[train].astype(float).std(0)
        expected = x[train] if step is StandardScaler else (x[train] - mean) / deviation
        np.testing.assert_allclose(some, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_draws_follow_their_seed_and_stay_in_their_space(name):
    drawn = draw(name, 40, seed=3)
    assert drawn == draw(name, 40, seed=3) and drawn[:7] == draw(name, 7, seed=3) and drawn != draw(name, 40, seed=4)
    for key, space in spaces()[name].items():
        values = [one[key] for one in drawn]
        assert len({str(value) for value in values}) > 1
        if isinstance(space, list):
            assert set(values) <= set(space)
        else:
            low, high = space.support()
            assert all(low <= value <= high for value in values)


def test_no_set_at_all():
    assert try_sets(np.zeros((0, 2)), np.zeros(0), [], "svm", [], score=macro, seed=0) == []


def test_two_equal_sets_are_both_reported(cells):
    x, y, parts = cells
    tried = try_sets(x, y, parts, "svm", [{"C": 0.1}, {"C": 0.1}], score=macro, seed=0)
    assert len(tried) == 2 and tried[0]["scores"] == tried[1]["scores"]
