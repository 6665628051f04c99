import numpy as np
import pytest

from smrjax.data import rendering
from smrjax.data.synthetic import render


def same(one, other):
    return (one.image == other.image).all() and np.array_equal(one[1:], other[1:], equal_nan=True)


def test_processes_draw_what_one_draws():
    cells = list(rendering.render_all(201, size=16, seed=2, workers=3))
    assert len(cells) == 201
    assert all(same(cells[index], render(index, size=16, seed=2)) for index in (0, 1, 2, 3, 100, 199, 200))


def test_a_reader_may_stop_early():
    cells = rendering.render_all(5000, size=16, workers=2)
    first = next(cells)
    cells.close()
    assert same(first, render(0, size=16))


def test_a_process_that_fails_is_noticed(capfd):
    with pytest.raises(RuntimeError, match="ended early"):
        list(rendering.render_all(300, size=8, workers=2))  # too small to be drawn
    assert "size must be" in capfd.readouterr().err
