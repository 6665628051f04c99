"""Scores over folds against scikit-learn and pandas' rule for deviations, and against the published Table 5 of BM."""

import statistics
import warnings

import numpy as np
import pytest
from sklearn import metrics

from smrjax.evaluate import class_scores, confusion, fold_scores, mean_shares

# Class rows of BM, Table 5 (RegNetY-32GF, ImageNet + CD): mean and deviation of precision, recall, F1, in thousandths.
TABLE5 = """
717 12 790 8 752 8
938 3 897 10 917 4
922 4 909 8 915 5
731 15 790 24 759 13
958 7 974 7 966 6
763 67 618 41 682 44
551 13 579 36 564 15
703 13 757 12 729 8
873 12 814 10 842 9
843 10 872 8 857 8
918 15 936 8 927 6
893 106 875 125 874 44
946 17 827 30 882 23
902 6 897 7 900 3
628 19 662 19 644 14
707 25 825 40 761 10
957 4 936 4 946 1
804 34 783 81 790 33
400 548 400 548 400 548
710 228 292 167 383 185
655 112 422 93 503 61
"""
ROWS = np.array([line.split() for line in TABLE5.strip().splitlines()], float) / 1000


def test_the_mean_row_of_the_paper_is_the_mean_of_its_class_rows():
    """Deviations included: the paper's ± of a macro score is the mean of the class deviations (`class_deviation`)."""
    np.testing.assert_allclose(ROWS[:, 0::2].mean(axis=0), [0.787, 0.755, 0.762], atol=6e-4)
    np.testing.assert_allclose(ROWS[:, 1::2].mean(axis=0), [0.060, 0.061, 0.050], atol=6e-4)


def test_a_class_right_in_two_folds_of_five_has_the_deviation_of_the_paper():
    """Abnormal eosinophils, 0.400 ± 0.548 thrice: the sample's deviation, and zero where never predicted."""
    right, wrong = np.array([[1, 0], [0, 9]]), np.array([[0, 1], [0, 9]])
    found = fold_scores(np.array([right, right, wrong, wrong, wrong]))
    np.testing.assert_allclose(found.mean[:, 0], 0.4)
    np.testing.assert_allclose(found.deviation[:, 0], 0.548, atol=5e-4)


def folds(seed=0, n=5, classes=6, cells=60):
    """Labels and predictions; the last class is rare, so that some folds lack it, and some never predict it."""
    rng = np.random.default_rng(seed)
    p = np.array([8, 6, 4, 2, 1, 0.2][:classes])
    for _ in range(n):
        true = rng.choice(classes, cells, p=p / p.sum())
        yield true, np.where(rng.random(cells) < 0.6, true, rng.choice(classes, cells, p=p / p.sum()))


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_scikit_learn_over_the_classes_with_cells(seed):
    pairs = list(folds(seed))
    counts = np.stack([confusion(true, predicted, n_classes=6) for true, predicted in pairs])
    theirs, macro = np.full((3, 5, 6), np.nan), np.zeros((3, 5))
    for fold, (true, predicted) in enumerate(pairs):
        some = {"labels": np.unique(true), "zero_division": 0}
        theirs[:, fold, np.unique(true)] = metrics.precision_recall_fscore_support(true, predicted, **some)[:3]
        scores = metrics.precision_recall_fscore_support(true, predicted, average="macro", **some)
        macro[:, fold] = scores[:3]
    np.testing.assert_allclose(class_scores(counts), theirs)
    found = fold_scores(counts)
    for score in range(3):
        for c in range(6):
            known = theirs[score, :, c][np.isfinite(theirs[score, :, c])].tolist()
            assert found.mean[score, c] == pytest.approx(statistics.fmean(known) if known else np.nan, nan_ok=True)
            spread = statistics.stdev(known) if len(known) > 1 else np.nan
            assert found.deviation[score, c] == pytest.approx(spread, nan_ok=True, abs=1e-12)
        assert found.macro_deviation[score] == pytest.approx(statistics.stdev(macro[score]))
        assert found.macro_mean[score] == pytest.approx(np.nanmean(found.mean[score]))
        assert found.class_deviation[score] == pytest.approx(np.nanmean(found.deviation[score]))
        if np.isfinite(theirs[score]).all():
            assert found.macro_mean[score] == pytest.approx(macro[score].mean())


def test_rare_classes_are_there_to_be_tested():
    """Among the folds above are some without the last class, and some that have it and never predict it."""
    counts = np.stack([confusion(*pair, n_classes=6) for seed in range(6) for pair in folds(seed)])
    support, predicted = counts.sum(axis=2)[:, -1], counts.sum(axis=1)[:, -1]
    assert (support == 0).any() and ((support == 0) & (predicted > 0)).any()
    assert ((support > 0) & (predicted == 0)).any() and ((support > 0) & (predicted > 0)).any()


def test_shares_are_means_of_scikit_learns_normalised_matrices():
    pairs = list(folds(3))
    counts = np.stack([confusion(true, predicted, n_classes=6) for true, predicted in pairs])
    shares = []
    for true, predicted in pairs:
        share = metrics.confusion_matrix(true, predicted, labels=range(6), normalize="true")
        share[np.setdiff1d(np.arange(6), true)] = np.nan
        shares.append(share)
    assert np.isnan(shares).any()
    found = mean_shares(counts)
    np.testing.assert_allclose(found, np.nanmean(shares, axis=0))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    # Its diagonal is the mean recall of each class.
    np.testing.assert_allclose(np.diag(found), fold_scores(counts).mean[1])


def test_one_fold_one_class_and_a_class_without_any_cell():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fold_scores(np.array([[[3, 1], [0, 0]]]))
        empty = mean_shares(np.array([[[3, 1], [0, 0]]]))
        alone = fold_scores(np.array([[[3]], [[4]]]))
    np.testing.assert_allclose(found.mean[:, 0], [1, 0.75, 6 / 7])
    assert np.isnan(found.mean[:, 1]).all() and np.isnan(found.deviation).all()
    np.testing.assert_allclose(found.macro_mean, found.mean[:, 0])
    assert np.isnan(found.macro_deviation).all() and np.isnan(found.class_deviation).all()
    np.testing.assert_array_equal(empty, [[0.75, 0.25], [np.nan, np.nan]])
    np.testing.assert_array_equal(alone.mean, 1)
    np.testing.assert_array_equal(alone.macro_deviation, 0)


@pytest.mark.parametrize("counts", [np.zeros((2, 2)), np.zeros((0, 2, 2)), np.zeros((1, 2, 3)), -np.ones((1, 2, 2))])
def test_counts_that_cannot_be_are_refused(counts):
    for of in (fold_scores, class_scores, mean_shares):
        with pytest.raises(ValueError, match="confusion counts"):
            of(counts)
