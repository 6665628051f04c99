"""Where on a curve a point's distance is smallest, from inner products alone.

For a curve B(t) = sum_i b_i(t) P_i let v_i = P_i·x and G = P Pᵀ. Half the squared distance to x is, up to a constant,

    f(t) = q(t) - b(t)·v  with  q = ½ bᵀ G b,

so once v is known nothing depends on the dimension any more. f and f' are taken at the borders of equal cells; in each
cell they define a cubic whose minimum is known in closed form and differs from that of f by at most |f''''| h⁴ / 384.
The best cells are refined by Newton's method. Samples run along the last axis, everything else is unrolled, so that the
compiler makes one pass over the samples of it.
"""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.curves.curve import bernstein

Rows = list[jax.Array]


def nearest_on_piece(v: jax.Array, gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Global minimum of f over [0, 1] for one Bézier piece.

    Args:
        v: Inner products with the control points, Float[degree + 1, N], of order 1 or larger.
        gram: Inner products of the control points, Float[degree + 1, degree + 1], of order 1.

    Returns:
        u in [0, 1] and f there, Float[N] each.
    """
    degree = v.shape[0] - 1
    wide = v.dtype == jnp.float64
    cells = 1 if degree == 1 else (16 if wide else 8) * degree
    rows = list(v)
    q = _products(gram, degree)
    best = _best_cells(rows, gram, cells, keep=min(3 if wide else 2, degree))
    refined = [_refine(rows, q, start, 1 / cells, steps=8 if wide else 4) for _, start in best]
    u, f = refined[0]
    for other, value in refined[1:]:
        u, f = jnp.where(value < f, other, u), jnp.where(value < f, value, f)
    return u, f


def _products(gram: jax.Array, degree: int) -> Rows:
    """Bernstein coefficients of q, of degree 2 * degree."""
    pairs = [[(i, k - i) for i in range(degree + 1) if 0 <= k - i <= degree] for k in range(2 * degree + 1)]
    scale = [
        [comb(degree, i) * comb(degree, j) / comb(2 * degree, i + j) / 2 for i, j in row] for row in pairs
    ]
    return [
        sum((c * gram[i, j] for c, (i, j) in zip(cs, row, strict=True)), jnp.zeros((), gram.dtype))
        for cs, row in zip(scale, pairs, strict=True)
    ]


def _dot(a: Rows, b: Rows) -> jax.Array:
    total = a[0] * b[0]
    for left, right in zip(a[1:], b[1:], strict=True):
        total = total + left * right
    return total


def _differences(rows: Rows, order: int = 1) -> Rows:
    """Bernstein coefficients of the derivative."""
    for _ in range(order):
        rows = [(len(rows) - 1) * (b - a) for a, b in zip(rows[:-1], rows[1:], strict=True)]
    return rows


def _best_cells(rows: Rows, gram: jax.Array, cells: int, keep: int) -> list[tuple[jax.Array, jax.Array]]:
    """The `keep` lowest cell-wise local minima of f as (estimated value, position)."""
    degree = len(rows) - 1
    borders = np.arange(cells + 1) / cells
    value = np.array(
        [[comb(degree, i) * t**i * (1 - t) ** (degree - i) for i in range(degree + 1)] for t in borders]
    )
    lower = np.array(
        [[comb(degree - 1, i) * t**i * (1 - t) ** (degree - 1 - i) for i in range(degree)] for t in borders]
    )
    slope = degree * (np.pad(lower, ((0, 0), (1, 0))) - np.pad(lower, ((0, 0), (0, 1)))) / cells
    value_table, slope_table = jnp.asarray(value, gram.dtype), jnp.asarray(slope, gram.dtype)
    weighted = jnp.matmul(value_table, gram, precision="highest")
    q = 0.5 * (weighted * value_table).sum(1)
    dq = (weighted * slope_table).sum(1)

    def at(k: int) -> tuple[jax.Array, jax.Array]:
        return q[k] - _dot(list(value_table[k]), rows), dq[k] - _dot(list(slope_table[k]), rows)

    zero = jnp.zeros_like(rows[0])
    best = [(jnp.full_like(zero, jnp.inf), zero) for _ in range(keep)]
    left, left_slope = at(0)
    best = _insert(best, jnp.where(left_slope >= 0, left, jnp.inf), zero)
    for k in range(cells):
        right, right_slope = at(k + 1)
        place, low, found = _cubic_minimum(left, left_slope, right, right_slope)
        best = _insert(best, jnp.where(found, low, jnp.inf), (k + place) / cells)
        left, left_slope = right, right_slope
    return _insert(best, jnp.where(left_slope <= 0, left, jnp.inf), zero + 1)


def _insert(best: list[tuple[jax.Array, jax.Array]], value: jax.Array, place: jax.Array) -> list:
    result = []
    for held, at in best:
        first = value < held
        result.append((jnp.where(first, value, held), jnp.where(first, place, at)))
        value, place = jnp.where(first, held, value), jnp.where(first, at, place)
    return result


def _cubic_minimum(
    a: jax.Array, da: jax.Array, b: jax.Array, db: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Local minimum of the cubic with values a, b and slopes da, db at 0 and 1: place, value, whether there is one."""
    rise = b - a
    cubic = da + db - 2 * rise
    square = rise - da - cubic
    discriminant = square * square - 3 * cubic * da
    under = square + jnp.sqrt(jnp.maximum(discriminant, 0))
    place = -da / jnp.where(under > 0, under, 1)
    # A change of sign always counts, wherever rounding puts the root: no minimum falls between two cells.
    crossing = (da < 0) & (db > 0)
    found = crossing | ((discriminant > 0) & (under > 0) & (place >= 0) & (place < 1))
    place = jnp.clip(place, 0, 1)
    return place, a + place * (da + place * (square + place * cubic)), found


def _refine(rows: Rows, q: Rows, u: jax.Array, cell: float, steps: int) -> tuple[jax.Array, jax.Array]:
    """Newton's method on f' from u, at most a cell a step: the end point and f there."""
    degree = len(rows) - 1
    dv, dq = _differences(rows), _differences(q)
    ddv, ddq = _differences(dv), _differences(dq)
    for _ in range(steps):
        slope = _dot(dq, bernstein(2 * degree - 1, u)) - _dot(dv, bernstein(degree - 1, u))
        bend = _dot(ddq, bernstein(2 * degree - 2, u))
        if degree > 1:
            bend = bend - _dot(ddv, bernstein(degree - 2, u))
        step = jnp.where(bend > 0, -slope / jnp.where(bend > 0, bend, 1), -jnp.sign(slope) * cell)
        u = jnp.clip(u + jnp.clip(step, -cell, cell), 0, 1)
    return u, _dot(q, bernstein(2 * degree, u)) - _dot(rows, bernstein(degree, u))
