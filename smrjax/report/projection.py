"""Two-dimensional views of an embedding: its principal axes, the plane of a curve, and UMAP."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np


def principal_axes(points: np.ndarray, count: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean, the first principal axes and their shares of the variance.

    Args:
        points: [N, D].
        count: how many axes; those that the data do not have are zero vectors.

    Returns:
        centre [D], orthonormal axes [count, D] each with its largest entry positive, shares [count].

    >>> centre, axes, shares = principal_axes(np.array([[0.0, 1.0], [4.0, 1.0], [8.0, 1.0]]))
    >>> centre.tolist(), axes[0].tolist(), shares.tolist()
    ([4.0, 1.0], [1.0, 0.0], [1.0, 0.0])
    """
    width = points.shape[1]
    axes, shares = np.zeros((count, width)), np.zeros(count)
    if len(points) == 0:
        return np.zeros(width), axes, shares
    centre = points.mean(axis=0)
    moved = points - centre
    # Of tall data the small triangle R of a QR has the same singular values and right vectors.
    _, sizes, rows = np.linalg.svd(np.linalg.qr(moved, mode="r") if len(moved) > width else moved)
    total = float((sizes**2).sum())
    if total > 0:
        kept = min(count, int((sizes > 1e-12 * sizes[0]).sum()))
        axes[:kept] = rows[:kept] * _signs(rows[:kept])[:, None]
        shares[:kept] = sizes[:kept] ** 2 / total
    return centre, axes, shares


def _signs(rows: np.ndarray) -> np.ndarray:
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return np.where(largest < 0, -1.0, 1.0)


def oriented(axes: np.ndarray, curves: Sequence[np.ndarray]) -> np.ndarray:
    """Turns each axis so that the curves, taken together, run towards its positive end."""
    travel = sum((axes @ (curve[-1] - curve[0]) for curve in curves if len(curve)), np.zeros(len(axes)))
    return axes * np.where(travel < 0, -1.0, 1.0)[:, None]


def plane_of(points: np.ndarray, curves: Sequence[np.ndarray] = ()) -> Callable[[np.ndarray], np.ndarray]:
    """The plane of the first two principal axes, along which the curves run towards the positive end.

    Args:
        points: [N, D].
        curves: [T, D] polylines.

    Returns:
        [n, D] -> [n, 2].

    >>> plane_of(np.array([[0.0, 1.0], [4.0, 1.0], [8.0, 1.0]]))(np.array([[5.0, 1.0]])).tolist()
    [[1.0, 0.0]]
    """
    centre, axes, _ = principal_axes(points)
    axes = oriented(axes, curves)
    return lambda others: (np.asarray(others, np.float64) - centre) @ axes.T


def turned_like(points: np.ndarray, labels: np.ndarray, like: np.ndarray, like_labels: np.ndarray) -> np.ndarray:
    """The rotation or reflection after which the classes lie, one to another, as they do in another picture.

    Orthogonal Procrustes (Schoenemann 1966) of the means of the classes that both have, each set about its own centre;
    nothing is scaled, so distances stay what they are.

    Args:
        points: [N, D].
        labels: Int [N].
        like: [M, D], the other picture.
        like_labels: Int [M].

    Returns:
        [D, D], to be multiplied from the right: ``points @ turned_like(...)``; the identity without common classes.

    >>> points, labels = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]), np.arange(3)
    >>> turned_like(points, labels, points[:, ::-1], labels).round().astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    from scipy.linalg import orthogonal_procrustes

    shared = np.intersect1d(labels, like_labels)
    if not len(shared):
        return np.eye(points.shape[1])
    own, other = (
        np.stack([places[of == c].mean(axis=0) for c in shared])
        for places, of in ((points, labels), (like, like_labels))
    )
    return orthogonal_procrustes(own - own.mean(axis=0), other - other.mean(axis=0))[0]


def umap_plane(points: np.ndarray, *, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """The plane of UMAP (McInnes et al. 2018), and the way of other points into it.

    Args:
        points: [N, D]; of fewer than four it is `plane_of`.
        seed: of its random start.

    Returns:
        [n, D] -> [n, 2]; the points themselves come out where UMAP laid them.
    """
    if len(points) < 4:
        return plane_of(points)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, and of the one thread that a fixed seed allows
        import umap

        reducer = umap.UMAP(n_neighbors=min(15, len(points) - 1), random_state=seed, n_jobs=1).fit(points)

    def place(others: np.ndarray) -> np.ndarray:
        if others is points or (others.shape == points.shape and np.array_equal(others, points)):
            return np.asarray(reducer.embedding_, np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(reducer.transform(np.asarray(others, points.dtype)), np.float64)

    return place


def lineage_plane(points: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The plane in which a curve is seen best: along its chord, and along what of it leaves the chord most.

    A straight curve leaves its chord nowhere; there the second axis is where the cells spread most. A curve
    without a chord (none given, one point, or closed) falls back on the principal axes of the cells.

    Args:
        points: [N, D] embeddings of the lineage's cells.
        curve: [T, D] polyline, T may be 0.

    Returns:
        centre [D] and orthonormal axes [2, D] (zero vectors where the data have no second direction).
    """
    centre, axes, _ = principal_axes(points)
    if len(curve) < 2:
        return centre, axes
    chord = curve[-1] - curve[0]
    length = float(np.linalg.norm(chord))
    path = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())
    if length <= 1e-6 * path or length == 0:
        return centre, axes
    first = chord / length
    bend = curve - curve[0]
    bend = bend - np.outer(bend @ first, first)
    # Not centred: what counts is the departure from the chord, not the scatter of the departure.
    if np.abs(bend).max() > 1e-3 * length:
        second = np.linalg.svd(bend, full_matrices=False)[2][0]
        second = second if (bend @ second).sum() >= 0 else -second
    else:
        moved = points - centre
        second = principal_axes(moved - np.outer(moved @ first, first), 1)[1][0]
    second = second - (second @ first) * first
    size = float(np.linalg.norm(second))
    return curve[0], np.stack([first, second / size if size > 0 else second])


def limits(points: np.ndarray, width: float, height: float, *, margin: float = 0.06) -> np.ndarray:
    """Axis limits [[x0, y0], [x1, y1]] that hold points [M, 2] in a panel of that many inches, at one scale.

    >>> limits(np.array([[0.0, 0.0], [2.0, 1.0]]), 4.0, 4.0, margin=0.0).tolist()
    [[0.0, -0.5], [2.0, 1.5]]
    """
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(2), np.ones(2))
    box = np.array([width, height])
    scale = float(((high - low) / box).max())
    half = box * (scale if scale > 0 else 1.0) * (0.5 + margin)
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half])
