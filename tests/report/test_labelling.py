import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smrjax.report.labelling import place_labels, tags

SIZE = np.array([0.35, 0.13])
BOX = np.array([4.0, 4.0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_labels_keep_off_each_other_and_inside(seed, count):
    anchors = np.random.default_rng(seed).uniform(0.2, 3.8, size=(count, 2))
    centres = place_labels(anchors, np.tile(SIZE, (count, 1)), np.zeros((0, 2)), BOX)
    assert centres.shape == (count, 2)
    assert (centres >= SIZE / 2 - 1e-9).all() and (centres <= BOX - SIZE / 2 + 1e-9).all()
    for i in range(count):
        for j in range(i):
            assert (np.abs(centres[i] - centres[j]) >= SIZE - 1e-9).any(), (i, j)


def test_labels_of_coincident_points_do_not_coincide():
    centres = place_labels(np.full((6, 2), 2.0), np.tile(SIZE, (6, 1)), np.zeros((0, 2)), BOX)
    for i in range(6):
        assert all((np.abs(centres[i] - centres[j]) >= SIZE - 1e-9).any() for j in range(i))


def test_a_label_leaves_the_obstacle_free():
    # A wall of points at the right: of the equally near places, one at the other side is taken.
    wall = np.array([[2.0 + x, 2.0 + y] for x in (0.15, 0.3, 0.45) for y in np.linspace(-0.4, 0.4, 9)])
    (centre,) = place_labels(np.array([[2.0, 2.0]]), SIZE[None], wall, BOX)
    assert (np.abs(wall - centre) >= SIZE / 2).any(axis=1).all()


def test_long_names_become_numbers_in_legend_order():
    groups = {"red": [2, 0], "other classes": [1]}
    assert tags(["erythroblast", "LY", "proerythroblast"], groups) == ["2", "3", "1"]
    assert tags([], {}) == []
