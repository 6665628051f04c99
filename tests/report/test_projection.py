import numpy as np
import pytest
from sklearn.decomposition import PCA

from smrjax.report.projection import limits, lineage_plane, oriented, principal_axes, turned_like


def test_principal_axes_match_sklearn():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(80, 7)) @ np.diag([5.0, 3, 2, 1, 1, 1, 1]) + 4
    for data in (points, points[:5]):
        centre, axes, shares = principal_axes(data)
        pca = PCA(2, svd_solver="full").fit(data)
        np.testing.assert_allclose(centre, pca.mean_)
        np.testing.assert_allclose(np.abs(axes @ pca.components_.T), np.eye(2), atol=1e-10)
        np.testing.assert_allclose(shares, pca.explained_variance_ratio_)
        assert (axes[[0, 1], np.abs(axes).argmax(axis=1)] > 0).all()


def test_principal_axes_of_too_little_are_zero_not_nan():
    for data in (np.zeros((0, 3)), np.ones((1, 3)), np.ones((4, 3)), np.arange(4.0)[:, None]):
        centre, axes, shares = principal_axes(data)
        assert np.isfinite(centre).all() and np.isfinite(axes).all()
        np.testing.assert_array_equal(axes[1], 0)
        assert shares[1] == 0


def test_plane_of_a_flat_curve_holds_the_whole_curve():
    rng = np.random.default_rng(1)
    u, v = np.linalg.qr(rng.normal(size=(20, 2)))[0].T
    t = np.linspace(0, 1, 60)[:, None]
    curve = rng.normal(size=20) + 3 * t * u + 4 * t * (1 - t) * v
    centre, plane = lineage_plane(rng.normal(size=(30, 20)), curve)
    np.testing.assert_allclose(plane @ plane.T, np.eye(2), atol=1e-12)
    flat = (curve - centre) @ plane.T
    # Closed form: a parabola over its chord of length 3, one unit high.
    np.testing.assert_allclose(flat, np.hstack([3 * t, 4 * t * (1 - t)]), atol=1e-9)


def test_plane_of_a_straight_curve_shows_where_the_cells_spread():
    rng = np.random.default_rng(2)
    curve = np.linspace(0, 1, 10)[:, None] * np.eye(5)[0]
    points = rng.normal(size=(500, 5)) * np.array([4.0, 0.1, 3.0, 0.1, 0.1])
    _, plane = lineage_plane(points, curve)
    np.testing.assert_allclose(plane[0], np.eye(5)[0], atol=1e-12)
    assert abs(plane[1, 2]) > 0.99 and plane[1, 0] == 0


def test_plane_without_a_chord_falls_back_on_the_cells():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(40, 4))
    angle = np.linspace(0, 2 * np.pi, 50)
    loop = np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], axis=1)
    for curve in (np.zeros((0, 4)), np.ones((1, 4)), np.ones((6, 4)), loop):
        np.testing.assert_array_equal(lineage_plane(points, curve)[1], principal_axes(points)[1])


def test_axes_turn_so_that_maturity_runs_to_the_right():
    axes = np.array([[-1.0, 0.0], [0.0, 1.0]])
    curve = np.array([[0.0, 0.0], [2.0, 1.0]])
    np.testing.assert_array_equal(oriented(axes, [curve]), np.eye(2))
    np.testing.assert_array_equal(oriented(axes, []), axes)


def test_limits_hold_every_point_at_one_scale():
    rng = np.random.default_rng(4)
    points = rng.normal(size=(50, 2)) * [1, 30] + 5
    low, high = limits(points, 3.0, 2.0)
    assert (points > low).all() and (points < high).all()
    np.testing.assert_allclose((high - low) / [3.0, 2.0], ((high - low) / [3.0, 2.0])[0])
    for few in (np.zeros((0, 2)), np.ones((1, 2))):
        low, high = limits(few, 3.0, 2.0)
        assert (high > low).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_picture_is_turned_back(mirrored):
    rng = np.random.default_rng(4)
    points, labels = rng.normal(size=(60, 2)), rng.integers(0, 5, 60)
    turn = np.array([[np.cos(2.1), np.sin(2.1)], [-np.sin(2.1), np.cos(2.1)]])
    turn = turn @ np.diag([1.0, -1.0 if mirrored else 1.0])
    # Shifted, shrunk and in another order: neither changes what it has to be turned by.
    order = rng.permutation(60)
    other, named = (0.3 * points @ turn + [5, -7])[order], labels[order]
    np.testing.assert_allclose(turned_like(other, named, points, labels), turn.T, atol=1e-12)


def test_no_other_turn_brings_the_classes_closer():
    rng = np.random.default_rng(5)
    sides = [(rng.normal(size=(80, 2)) * [3, 1], rng.integers(0, 6, 80)) for _ in range(2)]
    (points, labels), (like, like_labels) = sides[0], sides[1]
    points, labels = points[labels != 2], labels[labels != 2]  # a class of one side alone says nothing
    means = [np.stack([p[y == c].mean(axis=0) for c in (0, 1, 3, 4, 5)]) for p, y in ((points, labels), sides[1])]
    own, other = (mean - mean.mean(axis=0) for mean in means)
    angles = np.linspace(0, 2 * np.pi, 3601)
    turns = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    turns = np.concatenate([turns, turns * [[1.0], [-1.0]]])
    apart = ((own @ turns - other) ** 2).sum(axis=(1, 2))
    best = turned_like(points, labels, like, like_labels)
    np.testing.assert_allclose(best @ best.T, np.eye(2), atol=1e-12)
    assert ((own @ best - other) ** 2).sum() <= apart.min()
    np.testing.assert_allclose(best, turns[apart.argmin()], atol=2e-3)


@pytest.mark.parametrize("classes", [0, 1, 2])
def test_a_turn_of_few_classes_is_a_turn(classes):
    rng = np.random.default_rng(6)
    labels = np.arange(classes).repeat(3)
    places = rng.normal(size=(2, 3 * classes, 2))
    turn = turned_like(places[0], labels, places[1], labels)
    np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-12)
    if classes < 2:
        np.testing.assert_array_equal(np.abs(turn), np.eye(2))
