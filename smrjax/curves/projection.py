"""The nearest point of a curve, differentiable by the implicit function theorem."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from smrjax.curves.curve import Curve, basis, norm
from smrjax.curves.guess import guess
from smrjax.curves.search import nearest
from smrjax.curves.series import derivative, of_piece, squares

#: Samples at a time in the thorough search, so that its tables of a hundred rows stay in the cache.
BATCH = 2**11
#: Up to so many samples the thorough search takes no longer than a guess and a search of what it leaves over.
FEW = 128
#: Embeddings at a time whose distance from the centre is taken before the products.
ROWS = 2**11


def project(curve: Curve, z: jax.Array, *, ends: str = "clamp") -> jax.Array:
    """Parameter of the point of a curve that is nearest to each embedding.

    The minimum of |B(t) - z| over all of [0, 1] and all pieces. With ``ends="extend"`` the curve goes on along its end
    tangents for those embeddings whose nearest point is an end and which lie beyond it:
    ``t = 1 + (z - B(1))·B'(1) / |B'(1)|²``, and likewise below 0. The curve itself comes first: an extension that
    happens to pass nearby does not capture embeddings whose nearest point is elsewhere on the curve. So clipping an
    extended t to [0, 1] always gives the clamped t. Where an end tangent vanishes there is no direction to go on in,
    and t stays at the end.

    Derivatives to any order, in both `z` and the control points, come from the implicit function theorem on
    (B(t) - z)·B'(t) = 0. They are zero where t does not move (beyond a clamped end, at a kink between two pieces) and
    where it is not defined (equally near all along an arc, as from the centre of a circle; on a curve without length).

    Args:
        curve: Control points Float[pieces, degree + 1, D].
        z: Embeddings, Float[..., D], usually [B, D]. Narrower types than float32 are widened.
        ends: "clamp" or "extend".

    Returns:
        t, Float[...]; of several equally near points any one, NaN for embeddings that are not finite.

    Raises:
        ValueError: for another `ends`, or embeddings of another dimension than the curve.

    >>> from smrjax.curves import bezier
    >>> line = bezier(jnp.array([[0.0, 0.0], [4.0, 0.0]]))
    >>> z = jnp.array([[1.0, 7.0], [6.0, -1.0]])
    >>> print(project(line, z), project(line, z, ends="extend"))
    [0.25 1.  ] [0.25 1.5 ]
    """
    if ends not in ("clamp", "extend"):
        raise ValueError(f'ends must be "clamp" or "extend", got {ends!r}')
    pieces, order, dim = curve.control.shape
    if z.shape[-1] != dim:
        raise ValueError(f"embeddings have {z.shape[-1]} dimensions, the curve has {dim}")
    dtype = jnp.promote_types(jnp.promote_types(z.dtype, curve.control.dtype), jnp.float32)
    points, flat = curve.control.reshape(-1, dim).astype(dtype), z.reshape(-1, dim).astype(dtype)
    # t depends neither on the origin nor on the unit. Taking out the centre keeps float32 sharp away from the origin.
    centre = lax.stop_gradient(points).mean(0)
    size = norm(lax.stop_gradient(points) - centre).max()
    unit = 1 / jnp.where(size > 0, size, 1)
    points = (points - centre) * unit
    v = _centred(points * unit, flat, centre, size)
    gram = jnp.matmul(points, points.T, precision="highest")
    return _nearest(v, gram, pieces, ends == "extend").reshape(z.shape[:-1])


def _inner(points: jax.Array, z: jax.Array) -> jax.Array:
    # Contracting both last axes gives [points, N] at once; z @ points.T and a transposition cost far more on CPUs.
    return lax.dot_general(points, z, (((1,), (1,)), ((), ())), precision="highest")


@jax.custom_jvp
@jax.jit
def _centred(points: jax.Array, z: jax.Array, centre: jax.Array, size: jax.Array) -> jax.Array:
    """P·(z - c), Float[points, N]."""

    def by_parts() -> jax.Array:
        # Far from the origin subtracting last costs float32 the digits that decide ties. A copy of all of z would
        # take longer than the products.
        count = min(len(z), ROWS)

        def part(k: int, v: jax.Array) -> jax.Array:
            start = jnp.minimum(k * count, len(z) - count)
            rows = lax.dynamic_slice_in_dim(z, start, count) - centre
            return lax.dynamic_update_slice_in_dim(v, _inner(points, rows), start, 1)

        v = jnp.zeros((len(points), len(z)), z.dtype)
        return lax.fori_loop(0, -(-len(z) // count) if count else 0, part, v)

    return lax.cond(size * 2 < norm(centre), by_parts, lambda: _inner(points, z) - _inner(points, centre[None]))


@_centred.defjvp
def _centred_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    points, z, centre, size = primals
    dpoints, dz, *_ = tangents
    return _centred(points, z, centre, size), _inner(points, dz) + _inner(dpoints, z) - _inner(dpoints, centre[None])


def distance(curve: Curve, z: jax.Array) -> jax.Array:
    """Distance of each embedding Float[..., D] from the curve between its ends, Float[...].

    >>> from smrjax.curves import bezier
    >>> print(distance(bezier(jnp.array([[0.0, 0.0], [4.0, 0.0]])), jnp.array([[1.0, 7.0], [7.0, 4.0]])))
    [7. 5.]
    """
    return norm(z - curve(project(curve, z)))


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
@partial(jax.jit, static_argnums=(2, 3))
def _nearest(v: jax.Array, gram: jax.Array, pieces: int, extend: bool) -> jax.Array:
    """The parameter from inner products with the control points, Float[pieces * (degree + 1), N], and among them."""
    parts = _by_piece(v, gram, pieces)
    # A straight piece has one minimum; and among a few samples there is always one that a guess leaves over.
    alone = len(v) == 2 * pieces or v.shape[1] <= FEW
    t = nearest(*parts) if alone else _search_the_rest(guess(*parts), *parts)
    if not extend:
        return t
    first, last = _end_tangents(pieces, len(gram) // pieces - 1, v.dtype)
    at_start = _beyond(v, gram, first, jnp.zeros_like(first).at[0].set(1))
    at_end = _beyond(v, gram, last, jnp.zeros_like(last).at[-1].set(1))
    t = jnp.where((t <= 0) & (at_start < 0), at_start, t)
    return jnp.where((t == 1) & (at_end > 0), 1 + at_end, t)


def _end_tangents(pieces: int, degree: int, dtype: jnp.dtype) -> jax.Array:
    """Weights of the control points in B'(0) and in B'(1), Float[2, points]."""
    return basis(pieces, degree, jnp.array([0.0, 1.0], dtype), 1).T


def _by_piece(v: jax.Array, gram: jax.Array, pieces: int) -> tuple[jax.Array, jax.Array]:
    width, index = v.shape[0] // pieces, jnp.arange(pieces)
    return v.reshape(pieces, width, -1), gram.reshape(pieces, width, pieces, width)[index, :, index]


def _search_the_rest(t: jax.Array, v: jax.Array, gram: jax.Array) -> jax.Array:
    """t, and where it is NaN what a thorough search finds, `BATCH` samples at once."""
    count, size = len(t), min(BATCH, len(t))

    def some(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        t, left = carry
        (index,) = jnp.nonzero(left, size=size, fill_value=count)  # indices beyond the last are dropped
        found = nearest(jnp.take(v, index, axis=-1, mode="clip"), gram)
        return t.at[index].set(found, mode="drop"), left.at[index].set(False, mode="drop")

    return lax.while_loop(lambda carry: carry[1].any(), some, (t, jnp.isnan(t)))[0]


def _beyond(v: jax.Array, gram: jax.Array, tangent: jax.Array, end: jax.Array) -> jax.Array:
    """(x - B)·B' / |B'|² at an end, 0 where the tangent vanishes."""
    speed = _speed(gram, tangent)
    moving = speed > jnp.finfo(v.dtype).eps ** 0.5
    return jnp.where(moving, tangent @ (v - (gram @ end)[:, None]) / jnp.where(moving, speed, 1), 0)


def _speed(gram: jax.Array, tangent: jax.Array) -> jax.Array:
    return tangent @ gram @ tangent


@_nearest.defjvp
def _nearest_jvp(pieces: int, extend: bool, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    # F(t, v, G) = b'(t)·(G b(t) - v) = 0 along the solution, so dt = b'·(dv - dG b) / F_t.
    v, gram = primals
    dv, dgram = tangents
    t = _nearest(v, gram, pieces, extend)
    b, weight = _linearized(v, gram, t, pieces, extend)
    return t, (weight * (dv - jnp.matmul(dgram, b, precision="highest"))).sum(0)


@partial(jax.jit, static_argnums=(3, 4))
def _linearized(v: jax.Array, gram: jax.Array, t: jax.Array, pieces: int, extend: bool) -> tuple[jax.Array, jax.Array]:
    """b(t), and b'(t) / F_t or zero where t does not move, Float[points, N] both."""
    degree = v.shape[0] // pieces - 1
    own, blocks = _by_piece(v, gram, pieces)
    inside = jnp.clip(t, 0, 1)
    piece = jnp.clip(jnp.floor(inside * pieces), 0, pieces - 1)
    of_one = of_piece(own, piece), of_piece(squares(blocks)[..., None], piece)
    slope, curvature = (pieces**order * derivative(*of_one, order, inside * pieces - piece) for order in (1, 2))
    tiny = jnp.finfo(v.dtype).eps ** 0.5
    if extend:
        first, last = _end_tangents(pieces, degree, v.dtype)
        speed = jnp.where(t < 0.5, _speed(gram, first), _speed(gram, last))
        curvature = jnp.where(t == inside, curvature, speed)
        live = (curvature > tiny) & ((speed > tiny) | ((t > 0) & (t < 1)))
    else:
        live = (curvature > tiny) & ~(((t <= 0) & (slope >= 0)) | ((t >= 1) & (slope <= 0)))
    if pieces > 1:
        joint = jnp.abs(t * pieces - jnp.round(t * pieces)) < 8 * pieces * jnp.finfo(v.dtype).eps
        live &= ~(joint & (t > 0) & (t < 1) & (jnp.abs(slope) > 10 * tiny))
    b, b1 = (basis(pieces, degree, t, order) for order in range(2))
    return b, b1 * jnp.where(live, 1 / jnp.where(live, curvature, 1), 0)
