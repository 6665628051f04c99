"""One type for every curve: Bézier pieces, joined end to end."""

from dataclasses import dataclass
from functools import partial
from math import comb

import jax
import jax.numpy as jnp
import numpy as np


def bernstein(degree: int, t: jax.Array) -> list[jax.Array]:
    """Bernstein polynomials of one degree at t, each of the shape of t.

    The powers are built by multiplication: ``t ** exponents`` with an array of exponents has NaN second derivatives
    at t=0 and t=1, the places of the youngest and the oldest cells.
    """
    s = 1 - t
    t_powers, s_powers = [jnp.ones_like(t)], [jnp.ones_like(t)]
    for _ in range(degree):
        t_powers.append(t_powers[-1] * t)
        s_powers.append(s_powers[-1] * s)
    # Whole numbers beyond 32 bits do not fit into a compiled program.
    return [float(comb(degree, i)) * t_powers[i] * s_powers[degree - i] for i in range(degree + 1)]


def bernstein_derivative(degree: int, t: jax.Array, order: int = 1) -> list[jax.Array]:
    """Derivatives of the Bernstein polynomials of one degree at t; zeros where the order exceeds the degree."""
    if order == 0:
        return bernstein(degree, t)
    if degree == 0:
        return [jnp.zeros_like(t)]
    lower = bernstein_derivative(degree - 1, t, order - 1)
    zero = jnp.zeros_like(t)
    return [degree * (a - b) for a, b in zip([zero, *lower], [*lower, zero], strict=True)]


def basis(pieces: int, degree: int, t: jax.Array, order: int = 0) -> jax.Array:
    """Weight of every control point in the curve (or in a derivative by t) at t.

    Beyond [0, 1] the curve goes on along its end tangents.

    Args:
        pieces: Number of Bézier pieces; each has an equal share of [0, 1].
        degree: Their degree.
        t: Float[...].
        order: 0 for the curve, 1 and 2 for its derivatives.

    Returns:
        Float[pieces * (degree + 1), ...], to be multiplied with the control points: those come first since stacking
        along the last axis takes CPUs many times longer.
    """
    inside = _clip(t)
    scaled = inside * pieces
    index = jnp.clip(jnp.floor(scaled), 0, pieces - 1)
    weights = [weight * pieces**order for weight in bernstein_derivative(degree, scaled - index, order)]
    if order == 0 and degree > 0:
        beyond = (t - inside) * (degree * pieces)
        before, after = jnp.where(inside < 0.5, beyond, 0), jnp.where(inside < 0.5, 0, beyond)
        weights[0] -= before
        weights[1] += before
        weights[-2] -= after
        weights[-1] += after
    elif order == 2:
        weights = [jnp.where(t == inside, weight, 0) for weight in weights]
    if pieces > 1:
        weights = [jnp.where(index == piece, weight, 0) for piece in range(pieces) for weight in weights]
    return jnp.stack(weights)


def _clip(t: jax.Array) -> jax.Array:
    # Not jnp.clip, whose slope is 1/2 at 0 and 1: t itself has to count there.
    return jnp.where(t < 0, 0, jnp.where(t > 1, 1, t))


@partial(jax.tree_util.register_dataclass, data_fields=["control"], meta_fields=[])
@dataclass(frozen=True)
class Curve:
    """A curve in D dimensions, made of Bézier pieces that follow one another.

    A line is one piece of degree 1, a polynomial through C points one piece of degree C-1, a cubic spline C-1 pieces
    of degree 3. t runs from 0 to 1 over the whole curve and each piece has an equal share; beyond [0, 1] the curve goes
    on along its end tangents. Every method may be jitted, mapped and differentiated, at t=0 and t=1 too.

    Attributes:
        control: Control points, Float[pieces, degree + 1, D], degree >= 1.

    >>> line = Curve(jnp.array([[[0.0, 0.0], [3.0, 4.0]]]))
    >>> print(line(jnp.array([0.0, 0.5, 2.0])), line.chord())
    [[0.  0. ]
     [1.5 2. ]
     [6.  8. ]] 5.0
    """

    control: jax.Array

    @property
    def pieces(self) -> int:
        """Number of Bézier pieces."""
        return self.control.shape[-3]

    @property
    def degree(self) -> int:
        """Degree of the pieces."""
        return self.control.shape[-2] - 1

    def __call__(self, t: jax.typing.ArrayLike) -> jax.Array:
        """Points of the curve, Float[..., D], at t Float[...]."""
        return _weighted(self.control, self._typed(t))

    def derivative(self, t: jax.typing.ArrayLike) -> jax.Array:
        """Velocity dB/dt, Float[..., D], at t Float[...]; constant beyond the ends."""
        return _weighted(self._differences(), _clip(self._typed(t)))

    def second_derivative(self, t: jax.typing.ArrayLike) -> jax.Array:
        """Acceleration d2B/dt2, Float[..., D], at t Float[...]; zero beyond the ends."""
        t = self._typed(t)
        if self.degree == 1:
            return jnp.zeros((*t.shape, self.control.shape[-1]), t.dtype)
        inside = _clip(t)
        acceleration = _weighted(Curve(self._differences())._differences(), inside)
        return jnp.where((t == inside)[..., None], acceleration, 0)

    def _typed(self, t: jax.typing.ArrayLike) -> jax.Array:
        t = jnp.asarray(t)
        return t.astype(jnp.promote_types(t.dtype, self.control.dtype))

    def _differences(self) -> jax.Array:
        """Control points of the velocity. Taken first, they lose no digits far from the origin."""
        return self.degree * self.pieces * jnp.diff(self.control, axis=-2)

    def length(self) -> jax.Array:
        """Arc length from t=0 to t=1, a scalar.

        Gauss-Legendre quadrature with 32 nodes a piece: exact for lines, close to rounding for smooth curves, about
        1e-3 of the length where a piece has a cusp.
        """
        nodes, weights = np.polynomial.legendre.leggauss(32)
        t = (np.arange(self.pieces)[:, None] + (nodes + 1) / 2) / self.pieces
        speed = norm(self.derivative(jnp.asarray(t, self.control.dtype)))
        return (speed * jnp.asarray(weights / 2 / self.pieces, speed.dtype)).sum()

    def chord(self) -> jax.Array:
        """Straight distance between the two ends, a scalar."""
        return norm(self.control[-1, -1] - self.control[0, 0])

    def bend(self) -> jax.Array:
        """How far from straight: 1 - chord / length, 0 for a line (or a point) and 1 for a closed loop."""
        length = self.length()
        return jnp.where(length > 0, 1 - self.chord() / jnp.where(length > 0, length, 1), 0).clip(0, 1)


@jax.jit
def _weighted(control: jax.Array, t: jax.Array) -> jax.Array:
    pieces, order, dim = control.shape
    return jnp.tensordot(basis(pieces, order - 1, t), control.reshape(-1, dim), (0, 0), precision="highest")


def norm(vectors: jax.Array) -> jax.Array:
    """Euclidean norm over the last axis, with a zero gradient (not NaN) at the zero vector."""
    square = (vectors * vectors).sum(-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
