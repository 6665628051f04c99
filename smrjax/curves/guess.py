"""A guess at the nearest point of a curve, with a proof that no other point is nearer.

Most samples are easy: from the lowest of some nodes a few of Newton's steps lead to the nearest point u*. What takes
care is to know that they did. On a cell of a piece, half the squared distance f is a polynomial with Bernstein
coefficients c, and

- f is nowhere below min c: a cell with min c >= f(u*) holds nothing better;
- f' has no more roots than the differences of c have changes of sign: where they change once, from minus to plus, the
  cell has one minimum, and Newton's method has found it.

If the first holds in all cells but that of u*, and the second in that one, u* is the nearest point. Samples without
such a proof are left to `search.nearest`. All of f depends linearly on v = P·z (see there), so that nothing here
depends on the dimension. Samples lie along the last axis, and a table's rows are kept as a list of arrays: compilers
fuse sums of those, but nothing with a matrix product.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from smrjax.curves.curve import bernstein
from smrjax.curves.series import (
    Rows,
    bernstein_table,
    derivative,
    dot,
    elevation,
    least,
    of_piece,
    products,
    restriction,
    squares,
)

#: Cells of a piece. More prove more samples, at a cost to all.
CELLS = 4
#: With more multiplications by constants than this to prove a sample, matrix products and loops over `CHUNK` samples
#: that stay in the cache take over: one long expression is faster, but compiles slowly.
UNROLLED = 1000
CHUNK = 2**13


def guess(v: jax.Array, gram: jax.Array) -> jax.Array:
    """Where f is smallest on a curve of pieces that join, as far as that can be proven cheaply.

    Args:
        v: Inner products with the control points, Float[pieces, degree + 1, N], of order 1 or larger; degree >= 2.
        gram: Inner products of the control points of each piece, Float[pieces, degree + 1, degree + 1], of order 1.

    Returns:
        t in [0, 1], Float[N]; NaN where it is not proven.
    """
    pieces, width, count = v.shape
    square = squares(gram)
    if pieces * CELLS * (2 * width - 1) * width <= UNROLLED:
        return _guess(v, square, unrolled=True)
    size = min(count, CHUNK)

    def chunk(k: jax.Array, t: jax.Array) -> jax.Array:
        start = jnp.minimum(k * size, count - size)  # the last one overlaps the one before
        part = lax.dynamic_slice_in_dim(v, start, size, 2)
        return lax.dynamic_update_slice_in_dim(t, _guess(part, square, unrolled=False), start, 0)

    return lax.fori_loop(0, -(-count // max(size, 1)), chunk, jnp.zeros(count, v.dtype))


def _guess(v: jax.Array, square: jax.Array, *, unrolled: bool) -> jax.Array:
    pieces, degree = len(v), v.shape[1] - 1
    nodes = 3 * degree
    start = _lowest_node(v, square, nodes, unrolled)
    piece = jnp.floor(start)
    own, own_square = of_piece(v, piece), of_piece(square[..., None], piece)

    def newton(_: int, places: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        u = places[1]
        first, second = (derivative(own, own_square, order, u, unrolled=unrolled) for order in (1, 2))
        # Downhill by a node where f is not convex.
        step = jnp.where(second > 0, first / jnp.where(second > 0, second, 1), jnp.sign(first) / nodes)
        return u, jnp.clip(u - jnp.clip(step, -1 / nodes, 1 / nodes), 0, 1)

    # A loop even where it could be unrolled: compilers do not copy what it computes into each of its uses.
    before, u = lax.fori_loop(0, 6 if v.dtype == jnp.float64 else 4, newton, (start, start - piece))
    # Newton's step squares the error.
    found = jnp.abs(u - before) <= 0.25 * jnp.finfo(v.dtype).eps ** 0.5
    return jnp.where(found & _proven(v, square, piece, u, unrolled), (piece + u) / pieces, jnp.nan)


def _lowest_node(v: jax.Array, square: jax.Array, nodes: int, unrolled: bool) -> jax.Array:
    """Piece + u of that node, in the middle of equal parts of each piece, at which f is smallest."""
    pieces, width, count = v.shape
    places = (np.arange(nodes) + 0.5) / nodes
    table = bernstein_table(width - 1, places)
    constant = square @ jnp.asarray(bernstein_table(2 * width - 2, places).T, v.dtype)

    def over(state: tuple[jax.Array, jax.Array], of_one: tuple) -> tuple[jax.Array, jax.Array]:
        piece, rows, constants = of_one
        best, place = state
        for k, row in enumerate(products(table, rows, unrolled=unrolled)):
            f = constants[k] - row
            best, place = jnp.where(f < best, f, best), jnp.where(f < best, piece + places[k], place)
        return best, place

    start = jnp.full(count, jnp.inf, v.dtype), jnp.zeros(count, v.dtype)
    return _fold(over, start, (np.arange(pieces), v, constant), unrolled)[1]


def _proven(v: jax.Array, square: jax.Array, piece: jax.Array, u: jax.Array, unrolled: bool) -> jax.Array:
    """Whether f is nowhere smaller than at u on this piece, Bool[N]."""
    pieces, width, count = v.shape
    degree = 2 * width - 2
    f = dot(bernstein(degree, u), of_piece(square[..., None], piece)) - dot(bernstein(width - 1, u), of_piece(v, piece))
    restricted = np.stack([restriction(degree, k / CELLS, (k + 1) / CELLS) for k in range(CELLS)])
    table = restricted @ elevation(width - 1, degree)
    constant = jnp.einsum("kij,pj->pki", jnp.asarray(restricted, v.dtype), square, precision="highest")
    # Of the rounding of f, a sum of products with weights that add up to one.
    noise = 2 * jnp.finfo(v.dtype).eps * (jnp.abs(v).max((0, 1)) + jnp.abs(square).max())
    at = jnp.minimum(jnp.floor(u * CELLS), CELLS - 1)

    def over_pieces(clear: jax.Array, of_one: tuple) -> jax.Array:
        p, rows, constants = of_one

        def over_cells(clear: jax.Array, of_cell: tuple) -> jax.Array:
            k, table, constants = of_cell
            c = [constants[i] - row for i, row in enumerate(products(table, rows, unrolled=unrolled))]
            here = (piece == p) & (at == k)
            return clear & jnp.where(here, _turns_once(c, 2 * noise), least(c) >= f - noise)

        return _fold(over_cells, clear, (np.arange(CELLS), table, constants), unrolled)

    return _fold(over_pieces, jnp.ones(count, bool), (np.arange(pieces), v, constant), unrolled)


def _turns_once(c: Rows, noise: jax.Array) -> jax.Array:
    """Whether differences of the rows change their sign once at most, from minus to plus."""
    rise = [after - before for before, after in zip(c[:-1], c[1:], strict=True)]
    # Once a difference is not surely negative, the next one must surely be positive.
    pairs = zip(rise[:-1], rise[1:], strict=True)
    return functools.reduce(jnp.logical_and, ((a < -noise) | (b > noise) for a, b in pairs))


def _fold(body: Callable, state: Any, over: tuple, unrolled: bool) -> Any:
    """The state after each of the leading entries of `over`."""
    if not unrolled:
        return lax.scan(lambda state, of_one: (body(state, of_one), None), state, over)[0]
    for of_one in zip(*over, strict=True):
        state = body(state, of_one)
    return state
