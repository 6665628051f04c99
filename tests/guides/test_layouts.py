"""Layouts against closed forms and igraph, and on graphs as they come: empty, full, in parts."""

import sys

import jax
import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.guides import GUIDES, adjacency, find_matrix
from smrjax.guides.layouts import _held_together, normalized, path_lengths, stress
from smrjax.taxonomy import load_taxonomy

KEY = jax.random.key(3)
RING = np.roll(np.eye(8, dtype=int), 1, 0) + np.roll(np.eye(8, dtype=int), -1, 0)
PARTS = np.kron(np.eye(3, dtype=int), np.ones((3, 3), int)) - np.eye(9, dtype=int)
GRAPHS = {
    "empty": np.zeros((6, 6), int),
    "full": 1 - np.eye(6, dtype=int),
    "in parts": PARTS,
    "ring": RING,
    "two": np.array([[0, 1], [1, 0]]),
    "one": np.zeros((1, 1), int),
}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", GUIDES)
def test_finite_centred_scaled_and_the_same_from_the_same_key(name, graph):
    edges = GRAPHS[graph]
    places = GUIDES[name](edges, KEY)
    assert places.shape == (len(edges), 2) and np.isfinite(places).all()
    np.testing.assert_allclose(places.mean(0), 0, atol=1e-9)
    if len(edges) > 1:
        np.testing.assert_allclose((places**2).sum(1).mean(), 1)
        apart = np.linalg.norm(places[:, None] - places, axis=-1)[~np.eye(len(edges), dtype=bool)]
        assert apart.min() > 1e-3
    np.testing.assert_array_equal(places, GUIDES[name](edges, KEY))


@pytest.mark.parametrize("name", ["random", "kk", "fr", "drl"])
def test_another_key_gives_another_layout(name):
    assert np.abs(GUIDES[name](RING, KEY) - GUIDES[name](RING, jax.random.key(4))).max() > 1e-3


def test_circular_is_a_circle_with_lineages_side_by_side():
    places = GUIDES["circular"](np.zeros((6, 6), int), KEY, [[4, 1, 3]])
    # |p - c|² = r² for one centre and radius: linear in c and r² - |c|².
    unknowns = np.column_stack([2 * places, np.ones(6)])
    solution, *_ = np.linalg.lstsq(unknowns, (places**2).sum(1))
    np.testing.assert_allclose(unknowns @ solution, (places**2).sum(1), atol=1e-12)
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    assert apart[4, 1] < apart[4, 3] and apart[1, 3] < apart[4, 3]
    np.testing.assert_allclose(apart[4, 1], apart[1, 3])


def test_path_lengths_of_a_ring_and_of_parts():
    steps = path_lengths(RING)
    expected = np.minimum((np.arange(8)[:, None] - np.arange(8)) % 8, (np.arange(8) - np.arange(8)[:, None]) % 8)
    np.testing.assert_array_equal(steps, expected)
    assert set(path_lengths(PARTS)[0, 3:]) == {2} and np.isinf(path_lengths(PARTS, joined=False)[0, 3:]).all()


def test_kamada_kawai_draws_a_ring_as_a_ring():
    places = GUIDES["kk"](RING, KEY)
    radius = np.linalg.norm(places, axis=1)
    np.testing.assert_allclose(radius, 1, atol=0.02)
    angle = np.unwrap(np.arctan2(places[:, 1], places[:, 0]))
    np.testing.assert_allclose(np.abs(np.diff(angle)), np.pi / 4, atol=0.02)


@pytest.mark.parametrize("graph", ["ring", "full", "marrow"])
@pytest.mark.parametrize("name", ["kk", "fr"])
def test_fits_path_lengths_as_well_as_igraph_does(name, graph):
    """By stress, which knows neither rotation nor scale; igraph starts as often as we do."""
    igraph = pytest.importorskip("igraph")
    if graph == "marrow":
        taxonomy = load_taxonomy("marrow15")
        lineages = [[taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages]
        edges = adjacency(find_matrix("similarity", taxonomy.classes), lineages=lineages, maturity=True)
    else:
        edges = GRAPHS[graph]
    steps = path_lengths(edges)
    # The same weak edges between parts, which each program would otherwise place as it pleases.
    drawn = igraph.Graph.Weighted_Adjacency(_held_together(edges).tolist(), mode="max")
    plain = igraph.Graph.Adjacency(edges.tolist(), mode="max")
    rng = np.random.default_rng(0)
    found = []
    for _ in range(8):
        start = rng.uniform(-1, 1, (len(edges), 2)).tolist()
        if name == "kk":
            layout = plain.layout_kamada_kawai(maxiter=5000, seed=start)
        else:
            layout = drawn.layout_fruchterman_reingold(niter=5000, seed=start, weights="weight")
        found.append(stress(np.array(layout.coords), steps))
    assert stress(GUIDES[name](edges, KEY), steps) <= 1.05 * min(found) + 1e-9


def test_drl_without_igraph_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(InputError, match="smrjax\\[drl\\]"):
        GUIDES["drl"](RING, KEY)


@pytest.mark.parametrize("name", ["kk", "fr", "drl"])
def test_neighbours_lie_closer_than_others(name):
    places = GUIDES[name](PARTS, KEY)
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    pairs = ~np.eye(9, dtype=bool)
    assert apart[(PARTS == 1)].mean() < 0.6 * apart[(PARTS == 0) & pairs].mean()


def test_normalized_keeps_a_point_a_point():
    np.testing.assert_array_equal(normalized(np.ones((3, 2))), np.zeros((3, 2)))
