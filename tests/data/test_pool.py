"""Several sets as one, against arrays that are joined in memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smrjax.data.cellset import CellSet
from smrjax.data.pool import Stacked, pool_of


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 25), st.integers(0, 25))
def test_rows_are_those_of_the_joined_arrays(sizes, start, end):
    joined = np.random.default_rng(0).integers(0, 256, (sum(sizes), 2, 2, 3), np.uint8)
    stacked = Stacked(np.split(joined, np.cumsum(sizes)[:-1]))
    assert len(stacked) == len(joined)
    np.testing.assert_array_equal(stacked[start:end], joined[start:end])
    for row in range(len(joined)):
        np.testing.assert_array_equal(stacked[row], joined[row])
        np.testing.assert_array_equal(stacked[np.int64(row)], joined[row])


def cells(name: str, count: int, groups: np.ndarray | None) -> CellSet:
    labels = np.arange(count, dtype=np.int32) % 2
    codes = (f"{name}0", f"{name}1")
    names = tuple(f"{i}.png" for i in range(count))
    return CellSet(np.zeros((count, 2, 2, 3), np.uint8), labels, names, codes, groups, None, None, name * 64, name)


def test_every_cell_keeps_its_own_words():
    own, other = cells("a", 2, None), cells("b", 2, np.array([7, 7], np.int32))
    pool = pool_of(own, {"set": other})
    assert pool.names == ["0.png", "1.png", "set: 0.png", "set: 1.png"]
    assert pool.classes == ["a0", "a1", "b0", "b1"] and pool.slides == ["", "", "set: 7", "set: 7"]
    alone = pool_of(own, {})
    assert alone.images is own.images and alone.digest == own.digest and len(alone) == 2
    assert len({alone.digest, pool.digest, pool_of(own, {"another": other}).digest}) == 3
