"""Where on a curve the distance to a point is smallest: the thorough search for what `guess` leaves.

Each piece is cut into cells. Where Bernstein coefficients tell that f does not get below what it is at some border, or
that f' keeps its sign, a cell is out (see `guess`). What is left holds a local minimum if f' turns from minus to plus
between its borders (the ends of the curve and its joints count as cells of their own), and may hold one if f' has the
same sign at both. One bit a cell says so. Each of these few cells is searched by Newton's method and the lowest end
point wins: no estimate decides which minima are looked at. Samples lie along the last axis, so all steps are
elementwise over them.
"""

from collections.abc import Callable
from math import comb
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from smrjax.curves.series import bernstein_table, elevation, least, most, of_piece, products, restriction, squares

Words = list[jax.Array]
#: Order and place -> the derivative of f.
Derivative = Callable[[int, jax.Array], jax.Array]


class Cell(NamedTuple):
    """Where to look for a minimum, Float[N] and Bool[N].

    With `turn`, f' is negative at low and positive at high. Without, it has one sign at both and perhaps the other in
    between.
    """

    low: jax.Array
    high: jax.Array
    start: jax.Array
    turn: jax.Array


class Search(NamedTuple):
    """Marks of the cells still to be searched; piece, u and f of the best place so far; whether the search is over."""

    turns: Words
    dips: Words
    piece: jax.Array
    u: jax.Array
    f: jax.Array
    done: jax.Array


def nearest(v: jax.Array, gram: jax.Array) -> jax.Array:
    """Where f is smallest on a curve of pieces that join.

    Args:
        v: Inner products with the control points, Float[pieces, degree + 1, N], of order 1 or larger.
        gram: Inner products of the control points of each piece, Float[pieces, degree + 1, degree + 1], of order 1.

    Returns:
        t in [0, 1], Float[N]; NaN where v is not finite.
    """
    pieces, width, _ = v.shape
    value, slope = _coefficients(v, gram)
    if width == 2:
        return _nearest_on_lines(value, slope)
    # 8 to 14 cells a degree, as many as fill whole words of 32 bits with the two ends.
    words = 1 + (width - 1) // 4
    cells = 32 * words - 2
    rising, level, hidden, low, edge = lax.map(lambda of_one: _look(*of_one, cells=cells), (v, squares(gram), slope))
    best = edge.min((0, 1))
    noise = 8 * jnp.finfo(v.dtype).eps * jnp.abs(value).max((0, 1))
    # Cells in which f is nowhere below the lowest border are left out, but for those at that border.
    open_ = (low < best - noise) | (edge <= best + noise)
    turns = _turns(rising, level)
    turns = turns.at[:, 1:-1].set(turns[:, 1:-1] & open_)
    dips = hidden & open_ & (rising[:, :-1] == rising[:, 1:])

    series = [value, slope]
    for _ in range(3):
        series.append((series[-1].shape[1] - 1) * jnp.diff(series[-1], axis=1))

    def at_piece(piece: jax.Array) -> Derivative:
        return lambda order, u: _evaluate(of_piece(series[order], piece), u)

    def marked(search: Search) -> tuple[Search, Cell]:
        turns, at, turn = _pop(search.turns)
        dips, other, _ = _pop(search.dips, ~turn)
        place = jnp.where(turn, at, other)
        cell = (place % (32 * words) - 1).astype(v.dtype)
        low, high = jnp.clip(cell / cells, 0, 1), jnp.clip((cell + 1) / cells, 0, 1)
        search = search._replace(turns=turns, dips=dips, piece=place // (32 * words))
        return search, Cell(low, high, 0.5 * (low + high), turn)

    def twins(search: Search) -> tuple[Search, Cell]:
        return search, _twin(at_piece(search.piece), search.u)

    def visit(best: Search) -> Search:
        last = ~jnp.stack([(word != 0).any() for word in best.turns + best.dips]).any()
        search, cell = lax.cond(last, twins, marked, best)
        # Where three roots of f' nearly meet, each step only takes a third off the distance.
        steps = 20 if v.dtype == jnp.float64 else 8
        u, f = _refine(at_piece(search.piece), noise, cell, steps)
        better = f < best.f
        piece, u, f = (jnp.where(better, new, old) for new, old in zip((search.piece, u, f), best[2:5], strict=True))
        return Search(search.turns, search.dips, piece, u, f, last)

    # As many rounds as the sample with the most marks has, and one for twins; the others idle meanwhile.
    none = jnp.zeros_like(v[0, 0])
    marks = _words(turns, words), _words(jnp.pad(dips, ((0, 0), (1, 1), (0, 0))), words)
    start = Search(*marks, none.astype(jnp.int32), none, none + jnp.inf, jnp.array(False))
    end = lax.while_loop(lambda search: ~search.done, visit, start)
    return jnp.where(end.f < jnp.inf, (end.piece + end.u) / pieces, jnp.nan)


def _coefficients(v: jax.Array, gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Bernstein coefficients of f and f' of every piece, Float[pieces, 2 degree + 1, N] and [pieces, 2 degree, N]."""
    degree, q = v.shape[1] - 1, squares(gram)

    def raised(low: jax.Array, degree: int) -> jax.Array:
        table = jnp.asarray(elevation(low.shape[1] - 1, degree), v.dtype)
        return jnp.einsum("kj,pjn->pkn", table, low, precision="highest")

    # The derivatives are taken before raising: differences of the raised coefficients would lose digits.
    dq, dv = 2 * degree * jnp.diff(q), degree * jnp.diff(v, axis=1)
    return q[..., None] - raised(v, 2 * degree), dq[..., None] - raised(dv, 2 * degree - 1)


def _evaluate(coefficients: jax.Array, u: jax.Array) -> jax.Array:
    """The sum of Bernstein coefficients Float[rows, N] at u: a loop over rows, which compiles once for any degree."""
    degree = len(coefficients) - 1
    rows = coefficients * np.array([[comb(degree, k)] for k in range(degree + 1)], np.float64).astype(u.dtype)

    def add(sums: tuple[jax.Array, jax.Array], row: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        total, power = sums
        return (total * (1 - u) + row * power, power * u), None

    return lax.scan(add, (jnp.zeros_like(u), jnp.ones_like(u)), rows)[0][0]


def _nearest_on_lines(value: jax.Array, slope: jax.Array) -> jax.Array:
    bend = slope[:, 1] - slope[:, 0]
    u = jnp.clip(-slope[:, 0] / jnp.where(bend > 0, bend, 1), 0, 1)
    t, best = jnp.full_like(u[0], jnp.nan), jnp.full_like(u[0], jnp.inf)
    for k, coefficients in enumerate(value):
        f = _evaluate(coefficients, u[k])
        t, best = jnp.where(f < best, (k + u[k]) / len(value), t), jnp.minimum(f, best)
    return t


def _look(v: jax.Array, square: jax.Array, slope: jax.Array, *, cells: int) -> tuple[jax.Array, ...]:
    """What is known of the cells of one piece.

    Returns:
        Whether f' >= 0 at the borders, Bool[K + 1, N]; whether at the piece's ends this is rounding, Bool[2, N], as
        where the curve stands still; of every cell whether f' may change its sign in it, Bool[K, N],
        a bound from below on f, Float[K, N], and the smaller f of its two borders, Float[K, N].
    """
    degree = len(square) - 1
    border = jnp.asarray(bernstein_table(degree - 1, np.arange(cells + 1) / cells), v.dtype)
    restricted = np.stack([restriction(degree, k / cells, (k + 1) / cells) for k in range(cells)])
    table = jnp.asarray(restricted @ elevation(len(v) - 1, degree), v.dtype)
    constant = jnp.asarray(restricted, v.dtype) @ square
    noise = 4 * jnp.finfo(v.dtype).eps * (jnp.abs(v).max(0) + jnp.abs(square).max())

    at = jnp.matmul(border, slope, precision="highest")

    def cell(of_one: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        table, constant = of_one
        # Bernstein coefficients on the cell bound f, and the signs of their differences those of f'.
        c = [constant[i] - row for i, row in enumerate(products(table, v, unrolled=False))]
        rise = [after - before for before, after in zip(c[:-1], c[1:], strict=True)]
        return (least(rise) <= noise) & (most(rise) >= -noise), least(c), jnp.minimum(c[0], c[-1])

    return at >= 0, jnp.abs(at[jnp.array([0, -1])]) <= degree * noise, *lax.map(cell, (table, constant))


def _turns(rising: jax.Array, level: jax.Array) -> jax.Array:
    """Where f' turns from minus to plus, Bool[pieces, K + 2, N]: at a piece's start, in its cells, at its end.

    Beyond the curve's ends f counts as rising away from them. At a joint the two pieces' own slopes count, and the
    place belongs to the piece that ends there.
    """
    first, last = rising[:, :1], rising[:, -1:]
    start = (first | level[:, :1]) & (np.arange(len(rising)) == 0)[:, None, None]
    following = jnp.concatenate([first[1:] | level[1:, :1], jnp.ones_like(first[:1])])
    return jnp.concatenate([start, ~rising[:, :-1] & rising[:, 1:], (~last | level[:, 1:]) & following], 1)


def _words(bits: jax.Array, words: int) -> Words:
    """Bits [pieces, 32 * words, N] packed along the middle axis."""
    bits = bits.reshape(len(bits) * words, 32, bits.shape[-1])
    return list((bits.astype(jnp.uint32) << np.arange(32, dtype=np.uint32)[:, None]).sum(1, dtype=jnp.uint32))


def _pop(words: Words, where: jax.Array | bool = True) -> tuple[Words, jax.Array, jax.Array]:
    """Clears the lowest bit that is set: the words left, the bit's place or 0, and whether there was one."""
    place, seen, rest = jnp.zeros(words[0].shape, jnp.int32), jnp.zeros(words[0].shape, bool), []
    for k, word in enumerate(words):
        here = (word != 0) & ~seen & where
        below = (word & -word) - 1
        place = jnp.where(here, lax.population_count(below).astype(jnp.int32) + 32 * k, place)
        rest.append(jnp.where(here, word & (word - 1), word))
        seen |= here
    return rest, place, seen


def _refine(derivative: Derivative, noise: jax.Array, cell: Cell, steps: int) -> tuple[jax.Array, jax.Array]:
    """Newton's method on f' within the cell, by halves where it would leave it: the end point and f there."""
    rising = derivative(1, cell.low) >= 0

    def newton(u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        first, second = derivative(1, u), derivative(2, u)
        # Clipping keeps infinities out, on which CPUs are an order of magnitude slower.
        return first < 0, second > 0, u - jnp.clip(first / jnp.where(second > 0, second, 1), -1, 1)

    def step(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        u, low, high, turn = carry
        falling, convex, new = newton(u)
        # Until the other sign has been met, f'' says on which side of u to look for it.
        right = jnp.where(turn, falling, jnp.where(rising, falling | ~convex, falling & convex))
        low, high = jnp.where(right, u, low), jnp.where(right, high, u)
        inside = convex & (new >= low) & (new <= high)
        return jnp.where(inside, new, 0.5 * (low + high)), low, high, turn | (falling == rising)

    u, _, _, _ = lax.fori_loop(0, steps - 1, step, (cell.start, cell.low, cell.high, cell.turn))
    # The last step is free of the cell, whose border rounding may have put on the wrong side of the minimum.
    _, convex, last = newton(u)
    last = jnp.clip(last, 0, 1)
    f, last_f = derivative(0, u), derivative(0, last)
    better = convex & (last_f <= f + noise)
    return jnp.where(better, last, u), jnp.where(better, last_f, f)


def _twin(derivative: Derivative, u: jax.Array) -> Cell:
    """Where a second minimum may hide near the minimum u, from f's expansion to fourth order.

    Near a cusp of the curve's evolute three critical points come closer together than any grid. With f' = δ (h + c/2
    δ + d/6 δ²) the nearer root of the bracket is a maximum and the farther one the other minimum. Without such roots
    the result is u itself.
    """
    h, c, d = (derivative(order, u) for order in (2, 3, 4))
    square = c * c / 4 - h * d * (2 / 3)
    real = (square > 0) & (d > 0)
    safe = jnp.where(real, d, 1)
    far = -jnp.sign(c) * (jnp.abs(c) / 2 + jnp.sqrt(jnp.maximum(square, 0))) * 3 / safe
    far = jnp.where(real, jnp.clip(far, -1, 1), 0)
    near = jnp.where(real, jnp.clip(-3 * c / safe - far, -1, 1), 0)
    beyond = near + 3 * (far - near)
    low, high, start = (jnp.clip(u + d, 0, 1) for d in (jnp.minimum(near, beyond), jnp.maximum(near, beyond), far))
    return Cell(low, high, start, jnp.ones_like(real))
