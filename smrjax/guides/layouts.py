"""Graphs of classes drawn in the plane: places for the classes that a training can be guided by.

Every layout is ``(adjacency, key, lineages) -> Float[C, 2]``: the same key gives the same layout. Layouts are centred
and scaled to a root mean square radius of one, so that guides differ in shape alone. Those that search from a random
start take the best of eight, by how well distances fit path lengths (`stress`; the choice is ours).
"""

import random as python_random
from collections.abc import Callable, Sequence

import jax
import numpy as np

from smrjax.errors import InputError

Lineages = Sequence[Sequence[int]]


def circular(adjacency: np.ndarray, key: jax.Array, lineages: Lineages = ()) -> np.ndarray:
    """Classes on a circle, those of a lineage side by side in maturity order (the manual guide of GUIDES).

    Args:
        adjacency: Int[C, C], for its size alone.
        key: Without effect.
        lineages: Labels of the classes of each lineage, youngest first.

    Returns:
        Float[C, 2].
    """
    order = [c for members in lineages for c in members]
    groups = [*map(list, lineages), *([c] for c in range(len(adjacency)) if c not in order)]
    # Half a step of air between a lineage and what follows.
    steps = [step for group in groups for step in [1.0] * (len(group) - 1) + [1.5 if len(group) > 1 else 1.0]]
    angle = np.concatenate([[0], np.cumsum(steps)[:-1]]) * 2 * np.pi / max(sum(steps), 1)
    places = np.empty((len(adjacency), 2))
    places[[c for group in groups for c in group]] = np.stack([np.cos(angle), np.sin(angle)], -1)
    return normalized(places)


def random(adjacency: np.ndarray, key: jax.Array, lineages: Lineages = ()) -> np.ndarray:
    """Classes anywhere in a square: what a guide without knowledge does (a baseline of GUIDES).

    Args:
        adjacency: Int[C, C], for its size alone.
        key: Of the places.
        lineages: Without effect.

    Returns:
        Float[C, 2].
    """
    return normalized(_start(len(adjacency), key))


def kamada_kawai(adjacency: np.ndarray, key: jax.Array, lineages: Lineages = ()) -> np.ndarray:
    """Springs as long as the shortest path between two classes (Kamada and Kawai 1989; networkx).

    Between two parts of a graph that are not connected, the springs are one step longer than the longest path within
    one.

    Args:
        adjacency: Int[C, C], symmetric.
        key: Of the starts.
        lineages: Without effect.

    Returns:
        Float[C, 2].
    """
    import networkx as nx

    graph, steps = nx.from_numpy_array(adjacency), path_lengths(adjacency)
    lengths = {i: dict(enumerate(row)) for i, row in enumerate(steps.tolist())}

    def draw(key: jax.Array) -> np.ndarray:
        start = dict(enumerate(_start(len(adjacency), key)))
        return _in_order(nx.kamada_kawai_layout(graph, dist=lengths, pos=start))

    return _best(draw, adjacency, key)


def fruchterman_reingold(adjacency: np.ndarray, key: jax.Array, lineages: Lineages = ()) -> np.ndarray:
    """Neighbours attract and all classes repel one another (Fruchterman and Reingold 1991; networkx).

    Parts of a graph that are not connected would be driven apart without end, so weak edges hold them.

    Args:
        adjacency: Int[C, C], symmetric.
        key: Of the start.
        lineages: Without effect.

    Returns:
        Float[C, 2].
    """
    import networkx as nx

    graph = nx.from_numpy_array(_held_together(adjacency))

    def draw(key: jax.Array) -> np.ndarray:
        start = dict(enumerate(_start(len(adjacency), key)))
        return _in_order(nx.spring_layout(graph, pos=start, iterations=500, seed=0))

    return _best(draw, adjacency, key)


def drl(adjacency: np.ndarray, key: jax.Array, lineages: Lineages = ()) -> np.ndarray:
    """Distributed recursive layout: forces by simulated annealing over several resolutions (Martin et al.; igraph).

    Weak edges hold the parts of a graph that are not connected, as in `fruchterman_reingold`: without them they end so
    far apart that each becomes a point.

    Args:
        adjacency: Int[C, C], symmetric.
        key: Of the start and of the annealing.
        lineages: Without effect.

    Returns:
        Float[C, 2].

    Raises:
        InputError: where igraph, whose licence is the GPL, is not installed.
    """
    try:
        import igraph
    except ImportError:
        raise InputError("the drl layout needs igraph: pip install 'smrjax[drl]', or choose kk or fr") from None

    graph = igraph.Graph.Weighted_Adjacency(_held_together(adjacency).tolist(), mode="max")

    def draw(key: jax.Array) -> np.ndarray:
        # igraph draws from one generator for all of a process, which is given back afterwards.
        igraph.set_random_number_generator(python_random.Random(_seed(key)))
        try:
            places = graph.layout_drl(seed=_start(len(adjacency), key).tolist(), weights="weight")
        finally:
            igraph.set_random_number_generator(python_random)
        return np.array(places.coords)

    return _best(draw, adjacency, key)


def _best(draw: Callable[[jax.Array], np.ndarray], adjacency: np.ndarray, key: jax.Array) -> np.ndarray:
    """Of layouts from several random starts the one whose distances fit the path lengths best."""
    if len(adjacency) < 2:
        return np.zeros((len(adjacency), 2))
    steps = path_lengths(adjacency)
    found = [normalized(draw(one)) for one in jax.random.split(key, 8)]
    return min(found, key=lambda places: stress(places, steps))


def _in_order(places: dict[int, np.ndarray]) -> np.ndarray:
    return np.array([places[c] for c in range(len(places))])


def path_lengths(adjacency: np.ndarray, *, joined: bool = True) -> np.ndarray:
    """Edges on the shortest path between any two classes, Float[C, C].

    Args:
        adjacency: Int[C, C].
        joined: Whether classes without a path count as one step beyond the longest path, or as infinitely far.
    """
    from scipy.sparse.csgraph import shortest_path

    steps = shortest_path(adjacency, unweighted=True, directed=False)
    if joined:
        steps[np.isinf(steps)] = steps[np.isfinite(steps)].max(initial=0) + 1
    return steps


def stress(places: np.ndarray, steps: np.ndarray) -> float:
    """How badly distances fit path lengths, at the best scale: sum over pairs of ((s d - l) / l)², d the distance.

    Args:
        places: Float[C, 2].
        steps: Float[C, C] of `path_lengths`.
    """
    rows, columns = np.triu_indices(len(places), 1)
    share = np.linalg.norm(places[rows] - places[columns], axis=1) / steps[rows, columns]
    scale = share.sum() / max((share**2).sum(), 1e-300)
    return float(((scale * share - 1) ** 2).sum())


def _held_together(adjacency: np.ndarray) -> np.ndarray:
    """Weights of edges, Float[C, C]: one, and a twentieth between classes that no path connects."""
    return np.where(np.isinf(path_lengths(adjacency, joined=False)), 0.05, adjacency.astype(float))


def normalized(places: np.ndarray) -> np.ndarray:
    """Centred, with a root mean square radius of one; a single place, or all in one, becomes the origin."""
    places = np.asarray(places, np.float64) - np.mean(places, 0)
    radius = np.sqrt((places**2).sum(1).mean()) if len(places) else 0.0
    return places / radius if radius > 1e-12 else np.zeros_like(places)


def _start(count: int, key: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.uniform(key, (count, 2), minval=-1.0), np.float64)


def _seed(key: jax.Array) -> int:
    return int(jax.random.bits(key, dtype="uint32"))
