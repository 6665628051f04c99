"""Where on a curve the distance to a point is smallest, from inner products alone.

For a Bézier piece B(u) = sum_i b_i(u) P_i let v_i = P_i·x and G = P Pᵀ. Half the squared distance to x is, up to a
constant,

    f(u) = q(u) - b(u)·v  with  q = ½ bᵀ G b,

so once v is known nothing depends on the dimension any more. f' and f'' are taken on a grid. A cell at whose borders
f' turns from minus to plus holds a local minimum (the ends count as cells of their own), and a cell may hold one where
the tangents of f' at both borders change its sign in between and back. One bit a cell says so. Each of these few cells
is searched by Newton's method and the lowest end point wins: no estimate decides which minima are looked at. Samples
lie along the last axis, so all steps are elementwise over them.
"""

from math import comb
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from smrjax.curves.curve import bernstein

Words = list[jax.Array]


class Cell(NamedTuple):
    """Where to look for a minimum, Float[N] and Bool[N].

    With `turn`, f' is negative at low and positive at high. Without, it is positive at both (`rising`) or negative at
    both, and may have the other sign in between.
    """

    low: jax.Array
    high: jax.Array
    start: jax.Array
    turn: jax.Array
    rising: jax.Array


class Search(NamedTuple):
    """Marks of the cells still to be searched, the best u so far and f there, and whether this was the last round."""

    turns: Words
    dips: Words
    u: jax.Array
    f: jax.Array
    done: jax.Array


def nearest_on_piece(v: jax.Array, gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Global minimum of f over [0, 1] for one Bézier piece.

    Args:
        v: Inner products with the control points, Float[degree + 1, N], of order 1 or larger.
        gram: Inner products of the control points, Float[degree + 1, degree + 1], of order 1.

    Returns:
        u in [0, 1] and f there, Float[N] each; f is inf where v is not finite.
    """
    degree = v.shape[0] - 1
    q = _products(gram)
    if degree == 1:
        slope, bend = _derivative(q) - _derivative(v).T, _derivative(q, 2)
        u = jnp.clip(-slope[:, 0] / jnp.where(bend > 0, bend, 1), 0, 1)
        f = _evaluate(q, u) - _evaluate(v, u)
        return u, jnp.where(jnp.isnan(f), jnp.inf, f)
    # 8 to 14 cells a degree, as many as fill whole words of 32 bits: see `_marks`.
    cells = 32 * (1 + degree // 4) - 3
    grid = _on_grid(v, q, cells)

    def marked(turns: Words, dips: Words, u: jax.Array) -> tuple[Words, Words, Cell]:
        turns, cell, turn = _pop(turns)
        dips, other, _ = _pop(dips, ~turn)
        cell = jnp.where(turn, cell, other)
        low, high = (jnp.clip(jnp.asarray(k, v.dtype) / cells, 0, 1) for k in (cell, cell + 1))
        # From where the chord of f' is zero, or that of f'': the bottom of the dip.
        inner = jnp.clip(cell, 0, cells - 1)
        left, right = (_row(grid, inner + jnp.where(turn, 0, cells + 1) + k) for k in (0, 1))
        share = jnp.clip(left / jnp.where(left == right, 1, left - right), 1 / 16, 15 / 16)
        return turns, dips, Cell(low, high, low + share * (high - low), turn, _row(grid, inner) >= 0)

    def twins(turns: Words, dips: Words, u: jax.Array) -> tuple[Words, Words, Cell]:
        return turns, dips, _twin(v, q, u)

    def visit(carry: Search) -> Search:
        last = ~_any(carry.turns, carry.dips)
        turns, dips, cell = lax.cond(last, twins, marked, carry.turns, carry.dips, carry.u)
        u, f = _refine(v, q, cell, steps=12 if v.dtype == jnp.float64 else 5)
        better = f < carry.f
        return Search(turns, dips, jnp.where(better, u, carry.u), jnp.where(better, f, carry.f), last)

    # As many rounds as the sample with the most marks has, and one for twins; the others idle meanwhile.
    start = Search(*_marks(grid[: cells + 1], grid[cells + 1 :]), 0 * v[0], 0 * v[0] + jnp.inf, jnp.array(False))
    end = lax.while_loop(lambda carry: ~carry.done, visit, start)
    return end.u, end.f


def _row(table: jax.Array, row: jax.Array) -> jax.Array:
    return jnp.take_along_axis(table, row[None], 0)[0]


def _any(*marks: Words) -> jax.Array:
    return jnp.stack([(word != 0).any() for words in marks for word in words]).any()


def _products(gram: jax.Array) -> jax.Array:
    """Bernstein coefficients of q, Float[2 * degree + 1]."""
    degree = gram.shape[0] - 1
    table = np.zeros((2 * degree + 1, degree + 1, degree + 1))
    for i in range(degree + 1):
        for j in range(degree + 1):
            table[i + j, i, j] = comb(degree, i) * comb(degree, j) / comb(2 * degree, i + j) / 2
    return (jnp.asarray(table, gram.dtype) * gram).sum((1, 2))


def _derivative(coefficients: jax.Array, order: int = 1) -> jax.Array:
    """Bernstein coefficients of a derivative, along the first axis; one zero where the order exceeds the degree."""
    for _ in range(order):
        if coefficients.shape[0] == 1:
            return 0 * coefficients
        coefficients = (coefficients.shape[0] - 1) * (coefficients[1:] - coefficients[:-1])
    return coefficients


def _evaluate(coefficients: jax.Array, u: jax.Array) -> jax.Array:
    terms = [c * b for c, b in zip(coefficients, bernstein(coefficients.shape[0] - 1, u), strict=True)]
    return sum(terms[1:], terms[0])


def _on_grid(v: jax.Array, q: jax.Array, cells: int) -> jax.Array:
    """First f', then f'' at the borders of equal cells, Float[2 (cells + 1), N]."""
    border = np.arange(cells + 1)[:, None] / cells

    def table(order: int, degree: int) -> jax.Array:
        i = np.arange(degree - order + 1)
        low = np.array([comb(degree - order, k) for k in i]) * border**i * (1 - border) ** (degree - order - i)
        for lost in range(order):
            low = -np.diff(low, axis=1, prepend=0, append=0) * (degree - order + 1 + lost)
        return jnp.asarray(low, v.dtype)

    degree = v.shape[0] - 1
    weights = jnp.concatenate([-table(order, degree) for order in (1, 2)])
    constant = jnp.concatenate([jnp.matmul(table(order, 2 * degree), q, precision="highest") for order in (1, 2)])
    # A row of ones takes the constant into the product: a sum of its own would cost more than the product.
    rows = jnp.concatenate([v, jnp.ones_like(v[:1])])
    return jnp.matmul(jnp.concatenate([weights, constant[:, None]], 1), rows, precision="highest")


def _marks(slope: jax.Array, bend: jax.Array) -> tuple[Words, Words]:
    """Cells to search, as bits k+1 (of word after word) for cell k; cells -1 and K are the ends.

    First those in which f' turns from minus to plus. Then those at whose borders f' has one sign and might have the
    other in between: there f' dips below zero and comes back, or the other way round.

    Args:
        slope: f' at the borders, Float[K + 1, N].
        bend: f'' there.
    """
    cells = slope.shape[0] - 1
    rising = slope >= 0
    left, right = rising[:-1], rising[1:]
    ahead, back = slope[:-1] + bend[:-1] / cells >= 0, slope[1:] - bend[1:] / cells >= 0
    dips = (left == right) & (ahead != left) & (back != left)
    # A curve that starts or stops without speed: f' is zero there to several orders, and its sign rounding.
    slow_start = jnp.abs(slope[0]) < 1e-3 * jnp.abs(slope[1])
    slow_stop = jnp.abs(slope[-1]) < 1e-3 * jnp.abs(slope[-2])
    none = jnp.zeros_like(slow_start)
    return (
        _words([rising[0], *(~left & right), ~rising[-1]]),
        _words([none, dips[0] | slow_start, *dips[1:-1], dips[-1] | slow_stop]),
    )


def _words(bits: list[jax.Array]) -> Words:
    words = []
    for start in range(0, len(bits), 32):
        word = jnp.zeros(bits[0].shape, jnp.uint32)
        for k, bit in enumerate(bits[start : start + 32]):
            word |= bit.astype(jnp.uint32) << k
        words.append(word)
    return words


def _pop(words: Words, where: jax.Array | bool = True) -> tuple[Words, jax.Array, jax.Array]:
    """Clears the lowest bit that is set: the words left, the bit's cell, and whether there was one."""
    cell, seen, rest = jnp.full(words[0].shape, -1, jnp.int32), jnp.zeros(words[0].shape, bool), []
    for k, word in enumerate(words):
        here = (word != 0) & ~seen & where
        below = (word & -word) - 1
        cell = jnp.where(here, lax.population_count(below).astype(jnp.int32) + (32 * k - 1), cell)
        rest.append(jnp.where(here, word & (word - 1), word))
        seen |= here
    return rest, cell, seen


def _refine(v: jax.Array, q: jax.Array, cell: Cell, steps: int) -> tuple[jax.Array, jax.Array]:
    """Newton's method on f' within the cell, by halves where it would leave it: the end point and f there."""
    dv, dq, ddv, ddq = (_derivative(c, order) for order in (1, 2) for c in (v, q))

    def newton(u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        slope = _evaluate(dq, u) - _evaluate(dv, u)
        bend = _evaluate(ddq, u) - _evaluate(ddv, u)
        # Clipping keeps infinities out, on which CPUs are an order of magnitude slower.
        return slope, bend > 0, u - jnp.clip(slope / jnp.where(bend > 0, bend, 1), -1, 1)

    def step(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        u, low, high, turn = carry
        slope, convex, next_u = newton(u)
        falling = slope < 0
        # Until the other sign has been met, f'' says on which side of u to look for it.
        right = jnp.where(turn, falling, jnp.where(cell.rising, falling | ~convex, falling & convex))
        low, high = jnp.where(right, u, low), jnp.where(right, high, u)
        inside = convex & (next_u >= low) & (next_u <= high)
        return jnp.where(inside, next_u, 0.5 * (low + high)), low, high, turn | (falling == cell.rising)

    u, _, _, _ = lax.fori_loop(0, steps - 1, step, (cell.start, cell.low, cell.high, cell.turn))
    # The last step is free of the cell, whose border rounding may have put on the wrong side of the minimum.
    _, convex, last_u = newton(u)
    last_u = jnp.clip(last_u, 0, 1)
    term, last_term = _evaluate(q, u), _evaluate(q, last_u)
    f, last_f = term - _evaluate(v, u), last_term - _evaluate(v, last_u)
    noise = 8 * jnp.finfo(u.dtype).eps * (jnp.abs(term) + jnp.abs(last_f))
    better = convex & (last_f <= f + noise)
    return jnp.where(better, last_u, u), jnp.where(better, last_f, f)


def _twin(v: jax.Array, q: jax.Array, u: jax.Array) -> Cell:
    """Where a second minimum may hide near the minimum u, from f's expansion to fourth order.

    Near a cusp of the curve's evolute three critical points come closer together than any grid. With f' = δ (h + c/2
    δ + d/6 δ²) the nearer root of the bracket is a maximum and the farther one the other minimum. Without such roots
    the result is u itself.
    """
    h, c, d = (_evaluate(_derivative(q, k), u) - _evaluate(_derivative(v, k), u) for k in (2, 3, 4))
    square = c * c / 4 - h * d * (2 / 3)
    real = (square > 0) & (d > 0)
    far = -jnp.sign(c) * (jnp.abs(c) / 2 + jnp.sqrt(jnp.maximum(square, 0))) * 3 / jnp.where(real, d, 1)
    far = jnp.where(real, jnp.clip(far, -1, 1), 0)
    near = jnp.clip(-1.5 * c / jnp.where(real, d, 1) * 2 - far, -1, 1) * real
    beyond = near + 3 * (far - near)
    low, high = jnp.minimum(near, beyond), jnp.maximum(near, beyond)
    low, high, start = (jnp.clip(u + offset, 0, 1) for offset in (low, high, far))
    return Cell(low, high, start, jnp.ones_like(real), jnp.zeros_like(real))
