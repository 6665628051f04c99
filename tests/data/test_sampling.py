import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smrjax.data.sampling import balanced_batches, eval_batches, pk_batches, shuffled_batches

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=9)


def draw(counts, p, k, seed, epochs):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    batches = [pk_batches(labels, classes_per_batch=p, per_class=k, seed=seed, epoch=e) for e in range(epochs)]
    return labels, batches


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(1, 8), st.integers(1, 5), st.integers(0, 1000))
def test_shape_and_classes_of_every_batch(counts, p, k, seed):
    labels, epochs = draw(counts, p, k, seed, 3)
    for batches in epochs:
        assert batches.shape == (-(-len(labels) // (p * k)), p * k) and batches.dtype == np.int32
        for batch in batches:
            classes, cells = np.unique(labels[batch], return_counts=True)
            if len(counts) > p:
                assert len(classes) == p and (cells == k).all()
            else:
                assert len(classes) == len(counts) and cells.max() - cells.min() <= 1


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(1, 8), st.integers(1, 5), st.integers(0, 1000))
def test_cells_of_a_class_and_classes_take_turns(counts, p, k, seed):
    labels, epochs = draw(counts, p, k, seed, 4)
    used = np.zeros(len(labels), int)
    for batches in epochs:
        np.add.at(used, batches.ravel(), 1)
        for label in range(len(counts)):
            of_class = used[labels == label]
            assert of_class.max() - of_class.min() <= 1
        per_class = np.bincount(labels, weights=used)
        assert per_class.max() - per_class.min() <= (k if len(counts) > p else 1)


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(1, 8), st.integers(1, 5), st.integers(0, 1000))
def test_no_cell_twice_in_a_batch_unless_its_class_is_too_small(counts, p, k, seed):
    labels, epochs = draw(counts, p, k, seed, 3)
    for batch in np.concatenate(epochs):
        cells, times = np.unique(batch, return_counts=True)
        for label in range(len(counts)):
            of_class = times[labels[cells] == label]
            if of_class.sum() <= counts[label]:
                assert (of_class == 1).all()
            else:
                assert of_class.max() - of_class.min() <= 1


def test_a_function_of_seed_and_epoch_alone():
    labels = np.arange(200) % 7

    def batches(seed, epoch):
        return pk_batches(labels, classes_per_batch=5, per_class=4, seed=seed, epoch=epoch)

    later = batches(1, 5)
    for epoch in range(5):
        batches(1, epoch)
    assert (batches(1, 5) == later).all()
    assert (batches(1, 4) != later).any() and (batches(2, 5) != later).any()


def test_each_pair_of_classes_meets():
    labels = np.arange(400) % 20
    met = np.zeros((20, 20), int)
    for epoch in range(10):
        for batch in pk_batches(labels, classes_per_batch=10, per_class=4, seed=0, epoch=epoch):
            classes = np.unique(labels[batch])
            met[np.ix_(classes, classes)] += 1
    # 100 batches; two given classes meet in 100 * (10 * 9) / (20 * 19) = 23.7 of them on average.
    off_diagonal = met[~np.eye(20, dtype=bool)]
    assert off_diagonal.min() >= 8 and off_diagonal.max() <= 42


def test_labels_need_not_be_consecutive_and_steps_can_be_given():
    labels = np.array([3, 3, 9, 9, 9])
    batches = pk_batches(labels, classes_per_batch=2, per_class=2, seed=0, epoch=0, steps=5)
    assert batches.shape == (5, 4) and (np.sort(labels[batches]) == [3, 3, 9, 9]).all()


@pytest.mark.parametrize(("labels", "p", "k"), [([], 2, 2), ([0], 0, 2), ([0], 2, 0)])
def test_nothing_to_draw(labels, p, k):
    with pytest.raises(ValueError, match="at least 1"):
        pk_batches(np.array(labels, int), classes_per_batch=p, per_class=k, seed=0, epoch=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.integers(1, 30), st.integers(0, 100))
def test_shuffled_batches_use_all_cells_equally(n, batch, seed):
    used = np.zeros(n, int)
    for epoch in range(3):
        batches = shuffled_batches(np.zeros(n), batch=batch, seed=seed, epoch=epoch)
        assert batches.shape == (-(-n // batch), batch)
        np.add.at(used, batches.ravel(), 1)
        assert used.min() >= epoch + 1 and used.max() - used.min() <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.integers(1, 12))
def test_eval_batches_give_every_row_once_and_in_order(n, batch):
    rows = np.arange(100, 100 + n)
    given_back = [np.zeros(0, int)]
    for some, valid in eval_batches(rows, batch):
        assert some.shape == valid.shape == (batch,)
        assert np.isin(some, rows).all()
        given_back.append(some[valid])
    assert (np.concatenate(given_back) == rows).all()


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(1, 40), st.integers(0, 1000))
def test_balanced_batches_show_every_class_equally_often(counts, batch, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    epochs = [balanced_batches(labels, batch=batch, seed=seed, epoch=e) for e in range(3)]
    for batches in epochs:
        assert batches.shape == (-(-len(labels) // batch), batch)
        seen = np.array([np.bincount(labels[one], minlength=len(counts)) for one in batches])
        # In every batch and, to within one, in every epoch, however rare a class is.
        assert (seen.max(1) - seen.min(1) <= 1).all() and np.ptp(seen.sum(0)) <= 1
    used = np.bincount(np.concatenate(epochs).ravel(), minlength=len(labels))
    for c in range(len(counts)):
        assert np.ptp(used[labels == c]) <= 1
