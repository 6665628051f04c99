"""The squared distance to a Bézier piece as a polynomial: its coefficients, and tables that change their basis.

For a piece B(u) = sum_i b_i(u) P_i let v_i = P_i·z and G = P Pᵀ. Half the squared distance to z is, up to a constant,

    f(u) = ½ b(u)ᵀ G b(u) - b(u)·v,

a polynomial of twice the piece's degree. Once v is known nothing depends on the dimension any more. Samples lie along
the last axis, so that all steps are elementwise over them; a table's rows are kept as a list of arrays, since compilers
fuse sums of those, but nothing with a matrix product.
"""

import functools
from collections.abc import Sequence
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: Rows of a table, or the table itself.
Rows = Sequence[jax.Array] | jax.Array


def squares(gram: jax.Array) -> jax.Array:
    """Bernstein coefficients of ½ |B|² of every piece, Float[pieces, 2 degree + 1]."""
    degree = gram.shape[1] - 1
    products = np.zeros((2 * degree + 1, degree + 1, degree + 1))
    for i in range(degree + 1):
        for j in range(degree + 1):
            products[i + j, i, j] = comb(degree, i) * comb(degree, j) / comb(2 * degree, i + j) / 2
    return (jnp.asarray(products, gram.dtype) * gram[:, None]).sum((2, 3))


def of_piece(table: jax.Array, piece: jax.Array) -> jax.Array:
    """Rows of the piece that each sample looks at, from Float[pieces, rows, N]."""
    rows = table[0]
    for k in range(1, len(table)):
        rows = jnp.where(piece == k, table[k], rows)
    return rows


def derivative(v: jax.Array, square: jax.Array, order: int, u: jax.Array, *, unrolled: bool = False) -> jax.Array:
    """The polynomial f or one of its derivatives.

    Args:
        v: Inner products with the control points of one piece, Float[degree + 1, N].
        square: Bernstein coefficients of ½ |B|², Float[2 degree + 1, N or 1].
        order: Of the derivative, at most twice the degree.
        u: Where on the piece, Float[N].
        unrolled: As in `products`.
    """
    degree = len(v) - 1
    table = chebyshev(2 * degree, order)
    c = list(products(table, square, unrolled=unrolled))
    if degree >= order:
        linear = products(chebyshev(degree, order), v, unrolled=unrolled)
        c[: len(linear)] = [a - b for a, b in zip(c, linear, strict=False)]
    return clenshaw(c, u)


def clenshaw(c: Rows, u: jax.Array) -> jax.Array:
    """The sum of a Chebyshev series on [0, 1] at u: half the work of a Bernstein polynomial."""
    double = 4 * u - 2
    last, later = jnp.broadcast_to(c[-1], u.shape), jnp.zeros_like(u)
    for row in c[-2:0:-1]:
        last, later = double * last - later + row, last
    return 0.5 * double * last - later + c[0] if len(c) > 1 else last


def products(table: Any, rows: Any, *, unrolled: bool) -> Rows:
    """The matrix product of a constant table and the rows, as such or (`unrolled`) as sums that can be fused."""
    if not unrolled:
        return list(jnp.matmul(jnp.asarray(table, rows.dtype), rows, precision="highest"))
    return [dot([float(weight) for weight in weights], rows) for weights in table]


def dot(weights: Sequence[Any], rows: Rows) -> jax.Array:
    """The sum of weights times rows."""
    total = weights[0] * rows[0]
    for weight, row in zip(weights[1:], rows[1:], strict=True):
        total = total + weight * row
    return total


def least(rows: Rows) -> jax.Array:
    """The smallest of the rows, elementwise."""
    return functools.reduce(jnp.minimum, rows)


def most(rows: Rows) -> jax.Array:
    """The largest of the rows, elementwise."""
    return functools.reduce(jnp.maximum, rows)


def bernstein_table(degree: int, t: np.ndarray) -> np.ndarray:
    """Bernstein polynomials at t, Float[len(t), degree + 1]."""
    i, t = np.arange(degree + 1), t[:, None]
    return np.array([float(comb(degree, k)) for k in i]) * t**i * (1 - t) ** (degree - i)


def elevation(degree: int, higher: int) -> np.ndarray:
    """Bernstein coefficients of a higher degree from those of a lower one, Float[higher + 1, degree + 1]."""
    more = higher - degree
    rows = [
        [comb(degree, j) * comb(more, k - j) if 0 <= k - j <= more else 0 for j in range(degree + 1)]
        for k in range(higher + 1)
    ]
    return np.array([[entry / comb(higher, k) for entry in row] for k, row in enumerate(rows)])


def restriction(degree: int, low: float, high: float) -> np.ndarray:
    """Bernstein coefficients on [low, high] from those on [0, 1], Float[degree + 1, degree + 1].

    Coefficient k is the blossom with k arguments at high and the others at low.
    """
    at = np.array([low, high])
    halves = [bernstein_table(k, at) for k in range(degree + 1)]
    return np.stack([np.convolve(halves[degree - k][0], halves[k][1]) for k in range(degree + 1)])


def chebyshev(degree: int, order: int = 0) -> np.ndarray:
    """Chebyshev coefficients on [0, 1] of a derivative, from the Bernstein coefficients of the polynomial.

    Float[degree + 1 - order, degree + 1].
    """
    table = np.eye(degree + 1)
    for lower in range(degree, degree - order, -1):
        table = lower * np.diff(table, axis=0)
    k = np.arange(degree - order + 1)
    angle = np.pi * (k + 0.5) / len(k)
    cosine = np.cos(np.outer(k, angle)) * (2 - (k == 0))[:, None] / len(k)
    return cosine @ bernstein_table(degree - order, (np.cos(angle) + 1) / 2) @ table
