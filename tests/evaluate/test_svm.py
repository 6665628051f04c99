"""The machine against scikit-learn's own search, estimator and calibration."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import f1_score, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from smrjax.evaluate import Grid, calibrate, fit_svm, fit_svm_at
from smrjax.evaluate.svm_grid import gamma_unit, left_out, thin

GRID = Grid(C=(0.1, 1.0, 10.0), gamma=(0.1, 1.0, 10.0))


def blobs(n_classes=4, per_class=24, dimensions=6, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), per_class)
    means = rng.normal(size=(n_classes, dimensions))
    z = means[y] + noise * rng.normal(size=(len(y), dimensions))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return z.astype(np.float32), y, rng


def sklearn_search(z, y, grid, folds, class_weight):
    scorer = make_scorer(f1_score, average="macro", zero_division=0)
    unit = gamma_unit(z)
    return GridSearchCV(
        SVC(class_weight=class_weight, break_ties=True),
        {"C": list(grid.C), "gamma": [unit * factor for factor in grid.gamma]},
        scoring=scorer,
        cv=StratifiedKFold(folds, shuffle=True, random_state=3),
    ).fit(np.asarray(z, np.float64), y)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("class_weight", ["balanced", None])
def test_pair_score_and_predictions_are_those_of_grid_search(n_classes, class_weight):
    z, y, rng = blobs(n_classes)
    keep = rng.permutation(len(y))[: len(y) - 10]
    z, y, new = z[keep], y[keep], rng.normal(size=(300, 6)) * 0.5
    ours = fit_svm(z, y, grid=GRID, seed=3, class_weight=class_weight)
    theirs = sklearn_search(z, y, GRID, 5, class_weight)
    assert (ours.C, ours.gamma) == (theirs.best_params_["C"], theirs.best_params_["gamma"])
    assert ours.cv_score == pytest.approx(theirs.best_score_, abs=1e-12)
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))
    np.testing.assert_array_equal(ours.estimator.predict(new), theirs.predict(new))


def test_folds_fall_to_the_smallest_class():
    z, y, _ = blobs()
    keep = np.r_[0:24, 24:48, 48:72, 72:75]  # three cells of the last class
    ours = fit_svm(z[keep], y[keep], grid=GRID, seed=3)
    theirs = sklearn_search(z[keep], y[keep], GRID, 3, "balanced")
    assert ours.cv_score == pytest.approx(theirs.best_score_, abs=1e-12)
    assert ours.C == theirs.best_params_["C"]


def test_equal_pairs_give_the_smaller_c_and_gamma():
    y = np.repeat(np.arange(3), 8)
    z = np.eye(3)[y]  # every pair is perfect
    grid = Grid(C=(10.0, 100.0), gamma=(0.5, 1.0))
    result = fit_svm(z, y, grid=grid)
    assert result.cv_score == 1.0 == sklearn_search(z, y, grid, 5, "balanced").cv_results_["mean_test_score"].min()
    assert (result.C, result.gamma) == (10.0, 0.5 * gamma_unit(z))


def test_numbers_of_workers_and_repeats_agree():
    z, y, _ = blobs(noise=2.0)
    one, two = (fit_svm(z, y, grid=GRID, workers=workers) for workers in (1, 2))
    assert (one.C, one.gamma, one.cv_score) == (two.C, two.gamma, two.cv_score)
    np.testing.assert_array_equal(one.model.slope, two.model.slope)


def test_gamma_unit_is_scale_of_sklearn_and_ignores_a_shift():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 7))
    z -= z.mean(axis=0)
    machine = SVC(gamma="scale").fit(z, np.arange(50) % 2)
    assert gamma_unit(z) == pytest.approx(machine._gamma)
    assert gamma_unit(z + np.arange(7)) == pytest.approx(machine._gamma)
    assert gamma_unit(np.ones((4, 3))) == 1.0


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_numpy_decisions_are_those_of_the_estimator(n_classes):
    z, y, rng = blobs(n_classes, noise=2.0)
    new = rng.normal(size=(200, 6))
    result = fit_svm(z, y, grid=Grid(C=(3.0,), gamma=(1.5,)))
    theirs = result.estimator.decision_function(new)
    theirs = np.stack([-theirs, theirs], axis=1) if n_classes == 2 else theirs
    np.testing.assert_allclose(result.decision(new), theirs, atol=1e-9)
    np.testing.assert_array_equal(result.predict(new), result.estimator.predict(new))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("limit", [6000, 10])
def test_fit_at_a_pair_is_the_machine_of_sklearn(n_classes, limit, monkeypatch):
    monkeypatch.setattr("smrjax.evaluate.svm.GRID", Grid(max_cells=limit))
    z, y, rng = blobs(n_classes, noise=2.0)
    mixed = rng.permutation(len(y))
    z, y, new = z[mixed], y[mixed], rng.normal(size=(200, 6))
    ours = fit_svm_at(z, y, C=3.0, gamma=1.5)
    theirs = SVC(C=3.0, gamma=1.5, class_weight="balanced", break_ties=True).fit(np.asarray(z, np.float64), y)
    values = theirs.decision_function(new)
    values = np.stack([-values, values], axis=1) if n_classes == 2 else values
    np.testing.assert_allclose(ours.decision(new), values, atol=5e-3)  # libsvm stops at 1e-3
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_left_out_cells_are_asked_of_machines_that_have_not_seen_them(n_classes):
    z, y, rng = blobs(n_classes, noise=1.5)
    mixed = rng.permutation(len(y))
    z, y = z[mixed], y[mixed]
    z, y = np.r_[z, 9 * np.ones((1, 6))], np.r_[y, n_classes]  # a class of one cell is never left out
    found = left_out(z, y, 3.0, 1.5, 5, 3, "balanced", 2)
    assert np.isnan(found[-1]).all()
    for train, test in StratifiedKFold(5, shuffle=True, random_state=3).split(z[:-1], y[:-1]):
        rows = np.r_[train, len(y) - 1]
        theirs = SVC(C=3.0, gamma=1.5, class_weight="balanced", decision_function_shape="ovo").fit(z[rows], y[rows])
        np.testing.assert_allclose(found[test], theirs.decision_function(z[test]), atol=5e-3)  # libsvm stops at 1e-3


@pytest.mark.parametrize("n_classes", [2, 4, 9])
def test_the_predicted_class_is_the_likeliest_and_the_likelier_the_more_often_right(n_classes):
    z, y, rng = blobs(n_classes, per_class=60)
    seen = rng.random(len(y)) < 0.5
    result = fit_svm(z[seen], y[seen], grid=Grid(C=(1.0,), gamma=(1.0,)), seed=3)
    p, predicted = result.probabilities(z[~seen]), result.predict(z[~seen])
    assert p.min() >= 0
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(result.model.classes[p.argmax(axis=1)], predicted)
    if n_classes == 9:
        right, votes = predicted == y[~seen], softmax(result.decision(z[~seen]), axis=1)
        # Votes hardly know which cells are doubtful.
        assert roc_auc_score(right, p.max(axis=1)) > roc_auc_score(right, votes.max(axis=1)) + 0.1


def test_calibration_on_other_cells_changes_the_probabilities_alone():
    z, y, rng = blobs(noise=1.0)
    result = fit_svm_at(z, y, C=10.0, gamma=2.0)
    np.testing.assert_array_equal(result.model.slope, 1.0)
    other = calibrate(result, z, rng.integers(0, 6, len(z)))  # random labels, two of them unknown
    assert (other.model.slope < 0.3).all()
    np.testing.assert_array_equal(other.predict(z), result.predict(z))
    nobody = calibrate(result, z[:3], np.array([9, 9, 9]))
    assert nobody.model is result.model


def test_class_absent_from_training_has_probability_zero():
    z, y, _ = blobs()
    seen = y != 2
    result = fit_svm(z[seen], y[seen], grid=GRID)
    p = result.probabilities(z, n_classes=5)
    assert p.shape == (len(z), 5)
    assert (p[:, [2, 4]] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert set(result.predict(z)) <= {0, 1, 3}


@pytest.mark.parametrize("n", [1, 7])
def test_one_class_is_a_constant(n):
    z = np.random.default_rng(0).normal(size=(n, 3))
    result = fit_svm(z, np.full(n, 4))
    assert result.cv_score is None
    np.testing.assert_array_equal(result.predict(z + 5), 4)
    np.testing.assert_array_equal(result.estimator.predict(z + 5), 4)
    np.testing.assert_array_equal(result.probabilities(z, n_classes=6), np.eye(6)[[4] * n])


def test_one_cell_a_class_has_no_grid_but_a_machine():
    result = fit_svm(np.eye(3), np.array([0, 1, 2]), grid=GRID)
    assert result.cv_score is None
    assert result.C == 1.0
    np.testing.assert_array_equal(result.predict(np.eye(3)), [0, 1, 2])


def test_class_of_one_cell_beside_larger_ones():
    y = np.repeat(np.arange(3), [8, 8, 1])
    result = fit_svm(np.eye(3)[y], y, grid=GRID)
    assert result.cv_score == 1.0  # over the two classes that can be left out
    np.testing.assert_array_equal(result.predict(np.eye(3)), [0, 1, 2])


def test_equal_embeddings_of_two_classes():
    result = fit_svm(np.ones((12, 3)), np.arange(12) % 2, grid=GRID)
    assert np.isfinite(result.probabilities(np.ones((2, 3)))).all()


def test_thinning_keeps_shares_and_small_classes():
    y = np.r_[np.zeros(900, int), np.ones(96, int), np.full(4, 2)]
    rows = thin(y, 100, 5, seed=1)
    assert np.bincount(y[rows]).tolist() == [90, 10, 4]
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(thin(y, 1000, 5, seed=1), np.arange(1000))


def test_thinned_grid_still_fits_all_cells():
    z, y, _ = blobs(noise=2.0, per_class=40)
    result = fit_svm(z, y, grid=Grid(C=(1.0,), gamma=(1.0,), max_cells=40))
    whole = SVC(C=1.0, gamma=result.gamma, class_weight="balanced").fit(np.asarray(z, np.float64), y)
    np.testing.assert_array_equal(result.estimator.support_, whole.support_)


@pytest.mark.parametrize(
    "z, y",
    [
        (np.zeros((3, 2)), np.zeros(2, int)),
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((3, 2)), np.zeros(3)),
        (np.array([[np.nan, 0.0]]), np.zeros(1, int)),
    ],
)
def test_bad_arrays_are_refused(z, y):
    with pytest.raises(ValueError):
        fit_svm(z, y)
