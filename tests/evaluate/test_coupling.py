"""Sigmoids of pairs against scikit-learn's and known ones; coupling against libsvm and a general minimiser."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize
from sklearn.svm import SVC

from smrjax.evaluate.coupling import EDGE, PRIOR, couple, fit_sigmoids, sigmoid


def within_pairs(p):
    """Of distributions over classes: p_i / (p_i + p_j) of every pair."""
    i, j = np.triu_indices(p.shape[1], 1)
    return p[:, i] / (p[:, i] + p[:, j])


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_pairs_that_agree_give_back_their_distribution(n_classes, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(n_classes), size=7) + 1e-3
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(couple(within_pairs(p), n_classes), p, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_pairs_that_contradict_each_other_are_compromised_as_a_minimiser_does(n_classes):
    rng = np.random.default_rng(n_classes)
    i, j = np.triu_indices(n_classes, 1)
    chances = rng.uniform(0.02, 0.98, size=(5, len(i)))
    for r, p in zip(chances, couple(chances, n_classes), strict=True):
        found = minimize(
            lambda q, r=r: (((1 - r) * q[i] - r * q[j]) ** 2).sum(),
            np.full(n_classes, 1 / n_classes),
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            bounds=[(0, 1)] * n_classes,
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(p, found.x, atol=1e-5)


@pytest.mark.parametrize("n_classes", [3, 5])
def test_coupling_is_that_of_libsvm(n_classes):
    """libsvm's own sigmoids, its decisions, our coupling: its probabilities."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), 20)
    x = rng.normal(size=(n_classes, 4))[y] + rng.normal(size=(len(y), 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-learn wants to be rid of it
        machine = SVC(probability=True, random_state=0, decision_function_shape="ovo").fit(x, y)
        theirs, a, b = machine.predict_proba(x), machine.probA_, machine.probB_
    ours = couple(sigmoid(-a * machine.decision_function(x) - b), n_classes)
    np.testing.assert_allclose(ours, theirs, atol=5e-3)  # libsvm iterates to 0.005 / C


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_certain_pairs_have_an_end(chance):
    p = couple(np.full((1, 6), chance), 4)
    assert np.isfinite(p).all() and p.argmax() == (0 if chance else 3)
    np.testing.assert_allclose(p.sum(), 1)
    np.testing.assert_allclose(couple(np.array([[chance]]), 2), [[max(chance, EDGE), max(1 - chance, EDGE)]])
    assert couple(np.zeros((0, 3)), 3).shape == (0, 3)


def test_sigmoids_from_many_cells_are_those_they_were_drawn_from():
    """Labels drawn from known sigmoids: with thousands of cells a pair, what is known beforehand weighs nothing."""
    rng = np.random.default_rng(0)
    slope, offset = np.array([2.0, 1.0, 3.0]), np.array([0.5, -0.7, 0.0])
    truth = np.repeat([0, 1, 2], 20_000)
    values = rng.normal(size=(len(truth), 3))
    for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        # Of values drawn at will, those are kept for a class that its labels would have come from.
        drawn = rng.normal(size=400_000)
        first = rng.random(len(drawn)) < sigmoid(slope[k] * drawn + offset[k])
        # Balanced classes: dropping some of one shifts the offset by the logarithm of what is kept.
        values[truth == i, k], values[truth == j, k] = drawn[first][:20_000], drawn[~first][:20_000]
        offset[k] -= np.log(first.mean() / (1 - first.mean()))
    found = fit_sigmoids(values, truth, 3)
    np.testing.assert_allclose(found[0], slope, rtol=0.05)
    np.testing.assert_allclose(found[1], offset, atol=0.05)


def test_few_cells_stay_near_what_all_pairs_share():
    """The objective by hand: the fitted values are its stationary point."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [40, 40, 4])
    values = rng.normal(size=(84, 3)) + np.array([1, 1, 1]) * np.where(truth < 1, 1, -1)[:, None]
    slopes, offsets = fit_sigmoids(values, truth, 3)
    free = []
    for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        d, y = values[(truth == i) | (truth == j), k], truth[(truth == i) | (truth == j)] == i
        free.append((d, y))
    every, sign = (np.concatenate(part) for part in zip(*free, strict=True))
    target = np.where(sign, (sign.sum() + 1) / (sign.sum() + 2), 1 / ((~sign).sum() + 2))
    shared = minimize(lambda a: (np.logaddexp(0, a * every) - target * a * every).sum(), 1.0).x.item()
    for (d, y), slope, offset in zip(free, slopes, offsets, strict=True):

        def objective(x, d=d, y=y):
            a = shared * np.exp(x[0]) * d + x[1]
            return (np.logaddexp(0, a) - y * a).sum() + PRIOR * (x**2).sum()

        at = np.array([np.log(slope / shared), offset])
        assert check_grad(objective, lambda x: np.zeros(2), at) < 0.02
    assert 0.5 < slopes[2] / shared < 2


def test_ends_of_fitting():
    np.testing.assert_array_equal(fit_sigmoids(np.zeros((0, 3)), np.zeros(0, int), 3), [np.ones(3), np.zeros(3)])
    assert fit_sigmoids(np.zeros((4, 0)), np.zeros(4, int), 1)[0].shape == (0,)
    # A pair without a cell has the slope of the others; cells that are told apart without an error, a finite one.
    values = np.array([[5.0, 5, 5], [4, 4, 4], [-5, 5, 5], [-4, 4, 4]])
    slope, offset = fit_sigmoids(np.c_[values, values], np.array([0, 0, 1, 1]), 4)
    assert np.isfinite(slope).all() and (slope > 0).all()
    assert offset[-1] == 0
    # Labels that decisions contradict: a slope near zero, never below.
    assert 0 < fit_sigmoids(np.array([[2.0], [2], [-2], [-2]]), np.array([1, 1, 0, 0]), 2)[0][0] < 0.1
