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

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from smrjax.curves.series import (
    UNROLLED,
    Rows,
    bernstein_table,
    derivative,
    elevation,
    of_piece,
    products,
    restriction,
    squares,
)


def guess(v: jax.Array, gram: jax.Array) -> jax.Array:
    """Where f is smallest on a curve of pieces that join, as far as that can be proven cheaply.

    Args:
        v: Inner products with the control points, Float[pieces, degree + 1, N], of order 1 or larger; degree >= 2.
        gram: Inner products of the control points of each piece, Float[pieces, degree + 1, degree + 1], of order 1.

    Returns:
        t in [0, 1], Float[N]; NaN where it is not proven.
    """
    pieces, degree = len(v), v.shape[1] - 1
    square = squares(gram)
    nodes = 4 * degree
    start = _lowest_node(v, square, nodes)
    piece = jnp.floor(start)
    own, own_square = of_piece(v, piece), of_piece(square[..., None], piece)

    def newton(_: int, places: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        _, u = places
        first, second = (derivative(own, own_square, order, u) for order in (1, 2))
        # Downhill by a node where f is not convex.
        step = jnp.where(second > 0, first / jnp.where(second > 0, second, 1), jnp.sign(first) / nodes)
        return u, jnp.clip(u - jnp.clip(step, -1 / nodes, 1 / nodes), 0, 1)

    # A loop even where it could be unrolled: compilers do not copy what it computes into each of its uses.
    before, u = lax.fori_loop(0, 6 if v.dtype == jnp.float64 else 4, newton, (start, start - piece))
    f = derivative(own, own_square, 0, u)
    # Newton's step squares the error.
    found = jnp.abs(u - before) <= 0.25 * jnp.finfo(v.dtype).eps ** 0.5
    return jnp.where(found & _proven(v, square, piece, u, f), (piece + u) / pieces, jnp.nan)


def _lowest_node(v: jax.Array, square: jax.Array, nodes: int) -> jax.Array:
    """Piece + u of that node, in the middle of equal parts of each piece, at which f is smallest."""
    pieces, width, count = v.shape
    table = bernstein_table(width - 1, (np.arange(nodes) + 0.5) / nodes)
    constant = square @ jnp.asarray(bernstein_table(2 * width - 2, (np.arange(nodes) + 0.5) / nodes).T, v.dtype)

    def over(state: Any, of_one: tuple) -> Any:
        piece, rows, constants = of_one
        best, place = state
        for k, row in enumerate(products(table, rows, unrolled)):
            f = constants[k] - row
            best, place = jnp.where(f < best, f, best), jnp.where(f < best, piece + (k + 0.5) / nodes, place)
        return best, place

    unrolled = pieces * table.size <= UNROLLED
    start = jnp.full(count, jnp.inf, v.dtype), jnp.zeros(count, v.dtype)
    return _fold(over, start, (np.arange(pieces), v, constant), unrolled)[1]


def _proven(v: jax.Array, square: jax.Array, piece: jax.Array, u: jax.Array, f: jax.Array) -> jax.Array:
    """Whether no point of the curve has a smaller value than f at u, Bool[N]."""
    pieces, width, count = v.shape
    degree = 2 * width - 2
    cells = width - 2 if width < 8 else width
    restricted = np.stack([restriction(degree, k / cells, (k + 1) / cells) for k in range(cells)])
    table = restricted @ elevation(width - 1, degree)
    constant = jnp.einsum("kij,pj->pki", jnp.asarray(restricted, v.dtype), square, precision="highest")
    # Of the rounding of f, a sum of products with weights that add up to one.
    noise = 2 * jnp.finfo(v.dtype).eps * (jnp.abs(v).max((0, 1)) + jnp.abs(square).max())
    at = jnp.minimum(jnp.floor(u * cells), cells - 1)
    unrolled = pieces * table.size <= UNROLLED

    def over_pieces(state: Any, of_piece: tuple) -> Any:
        p, rows, constants = of_piece

        def over_cells(state: Any, of_cell: tuple) -> Any:
            k, table, constants = of_cell
            clear, own = state
            c = [constants[i] - row for i, row in enumerate(products(table, rows, unrolled))]
            here = (piece == p) & (at == k)
            clear &= here | (_least(c) >= f - noise)
            return clear, [jnp.where(here, new, old) for new, old in zip(c, own, strict=True)]

        return _fold(over_cells, state, (np.arange(cells), table, constants), unrolled)

    start = jnp.ones(count, bool), [jnp.zeros(count, v.dtype)] * (degree + 1)
    clear, own = _fold(over_pieces, start, (np.arange(pieces), v, constant), unrolled)
    rise = [after - before for before, after in zip(own[:-1], own[1:], strict=True)]
    # Once a difference is not surely negative, the next one must surely be positive.
    for before, after in zip(rise[:-1], rise[1:], strict=True):
        clear &= (before < -2 * noise) | (after > 2 * noise)
    return clear


def _least(rows: Rows) -> jax.Array:
    least = rows[0]
    for row in rows[1:]:
        least = jnp.minimum(least, row)
    return least


def _fold(body: Callable, state: Any, over: tuple, unrolled: bool) -> Any:
    """The state after each of the leading entries of `over`."""
    if not unrolled:
        return lax.scan(lambda state, of_one: (body(state, of_one), None), state, over)[0]
    for of_one in zip(*over, strict=True):
        state = body(state, of_one)
    return state
