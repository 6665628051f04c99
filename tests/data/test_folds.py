import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smrjax.data.folds import check_groups, make_folds, split
from smrjax.errors import InputError


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(6, 40), min_size=1, max_size=6), st.integers(3, 6), st.integers(0, 2**32 - 1))
def test_every_class_is_spread_evenly(counts, n_folds, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    fold_of = make_folds(labels, n_folds=n_folds, seed=seed)
    for label, count in enumerate(counts):
        per_fold = np.bincount(fold_of[labels == label], minlength=n_folds)
        assert per_fold.sum() == count and per_fold.max() - per_fold.min() <= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 40), st.integers(0, 1000))
def test_no_group_is_in_two_parts(n_groups, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 600)
    groups = rng.integers(0, n_groups, 600)
    fold_of = make_folds(labels, groups=groups, seed=seed)
    seen = np.zeros(len(labels), int)
    for k in range(6):
        train, validation, test = split(fold_of, k)
        parts = [set(groups[rows]) for rows in (train, validation, test)]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
        assert sorted(np.concatenate([train, validation, test])) == list(range(600))
        seen[test] += 1
    assert (seen == 1).all()


def test_validation_is_the_next_fold():
    fold_of = make_folds(np.repeat([0, 1], 12))
    for k in range(6):
        _, validation, test = split(fold_of, k)
        assert set(fold_of[test]) == {k} and set(fold_of[validation]) == {(k + 1) % 6}


def test_same_seed_same_folds_and_another_seed_others():
    labels = np.repeat([0, 1, 2], 50)
    assert (make_folds(labels, seed=3) == make_folds(labels, seed=3)).all()
    assert (make_folds(labels, seed=3) != make_folds(labels, seed=4)).any()


def test_rare_classes_reach_every_fold_of_a_grouped_split_where_they_can():
    # As in the drawn marrow: 24 slides, a class with 15 cells of 1500.
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [985, 485, 15, 15]))
    groups = rng.integers(0, 24, 1500)
    fold_of = make_folds(labels, groups=groups)
    for label in range(4):
        assert (np.bincount(fold_of[labels == label], minlength=6) > 0).all()


def test_too_few_cells_names_class_and_count():
    with pytest.raises(InputError, match=r"fewer cells than folds \(6\) in class BAS \(5\), EOS \(1\)"):
        make_folds(np.repeat([0, 1, 2], [5, 9, 1]), classes=["BAS", "MON", "EOS"])


def test_too_few_cells_in_grouped_data_too():
    with pytest.raises(InputError, match=r"class 1 \(2\)"):
        make_folds(np.repeat([0, 1], [60, 2]), groups=np.arange(62) % 10)


@pytest.mark.parametrize("n_folds", [0, 1, 2])
def test_two_folds_are_too_few(n_folds):
    with pytest.raises(InputError, match="too few"):
        make_folds(np.repeat([0, 1], 10), n_folds=n_folds)


def test_fewer_groups_than_folds():
    with pytest.raises(InputError, match="5 slides or patients are too few for 6 folds"):
        make_folds(np.zeros(60, int), groups=np.arange(60) % 5)


def test_a_class_on_two_slides_is_told():
    labels = np.repeat([0, 1], [120, 20])
    groups = np.concatenate([np.arange(120) % 12, np.arange(20) % 2])
    with pytest.warns(UserWarning, match=r"without a cell in some folds: rare \(4 of 6\)"):
        make_folds(labels, groups=groups, classes=["common", "rare"])


def test_given_folds_are_kept_and_renumbered():
    given_folds = np.array([7, 3, 5, 7, 3, 5])
    assert make_folds(np.zeros(6, int), given=given_folds).tolist() == [2, 0, 1, 2, 0, 1]


def test_given_folds_that_tear_a_patient_apart():
    with pytest.raises(InputError, match=r"1 slides or patients are in more than one fold \(number 4 in 0, 2\)"):
        make_folds(np.zeros(6, int), given=np.array([0, 1, 2, 0, 1, 2]), groups=np.array([4, 1, 4, 4, 1, 4]))


def test_check_groups_passes_clean_folds():
    check_groups(np.array([0, 0, 1]), np.array([5, 5, 6]))


def test_no_cells():
    with pytest.raises(InputError, match="none at all"):
        make_folds(np.zeros(0, int))


def test_fold_out_of_range():
    with pytest.raises(InputError, match="folds 0 to 2"):
        split(np.array([0, 1, 2]), 3)
