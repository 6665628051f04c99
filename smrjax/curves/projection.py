"""The nearest point of a curve, differentiable by the implicit function theorem."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from smrjax.curves.curve import Curve, basis, norm
from smrjax.curves.search import nearest

CHUNK = 2**14


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
    # Subtracting c·P afterwards spares a copy of z. Far from the origin it costs float32 the digits that decide ties.
    far = size * 2 < norm(centre)
    v = lax.cond(far, _centred_first, _centred_after, points, flat, centre) * unit
    gram = jnp.matmul(points, points.T, precision="highest")
    return _nearest(v, gram, pieces, ends == "extend").reshape(z.shape[:-1])


def _inner(points: jax.Array, z: jax.Array) -> jax.Array:
    # Contracting both last axes gives [points, N] at once; z @ points.T and a transposition cost far more on CPUs.
    return lax.dot_general(points, z, (((1,), (1,)), ((), ())), precision="highest")


def _centred_first(points: jax.Array, z: jax.Array, centre: jax.Array) -> jax.Array:
    return _inner(points, z - centre)


def _centred_after(points: jax.Array, z: jax.Array, centre: jax.Array) -> jax.Array:
    return _inner(points, z) - _inner(points, centre[None])


def distance(curve: Curve, z: jax.Array) -> jax.Array:
    """Distance of each embedding Float[..., D] from the curve between its ends, Float[...].

    >>> from smrjax.curves import bezier
    >>> print(distance(bezier(jnp.array([[0.0, 0.0], [4.0, 0.0]])), jnp.array([[1.0, 7.0], [7.0, 4.0]])))
    [7. 5.]
    """
    return norm(z - curve(project(curve, z)))


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _nearest(v: jax.Array, gram: jax.Array, pieces: int, extend: bool) -> jax.Array:
    """The parameter from inner products with the control points, Float[pieces * (degree + 1), N], and among them."""
    t = _in_chunks(partial(_nearest_of_pieces, gram, pieces), v)
    if not extend:
        return t
    first, last = basis(pieces, len(gram) // pieces - 1, jnp.array([0.0, 1.0], v.dtype), 1)
    at_start = _beyond(v, gram, first, jnp.zeros_like(first).at[0].set(1))
    at_end = _beyond(v, gram, last, jnp.zeros_like(last).at[-1].set(1))
    t = jnp.where((t <= 0) & (at_start < 0), at_start, t)
    return jnp.where((t == 1) & (at_end > 0), 1 + at_end, t)


def _in_chunks(search: Callable[[jax.Array], jax.Array], v: jax.Array) -> jax.Array:
    """The search over at most `CHUNK` samples at once, so that its tables of a hundred rows stay in the cache."""
    count = v.shape[1]
    if count <= CHUNK:
        return search(v)
    chunks = -(-count // CHUNK)
    size = -(-count // chunks)
    padded = jnp.pad(v, ((0, 0), (0, chunks * size - count)))
    return lax.map(search, padded.reshape(-1, chunks, size).swapaxes(0, 1)).reshape(-1)[:count]


def _nearest_of_pieces(gram: jax.Array, pieces: int, v: jax.Array) -> jax.Array:
    width, index = v.shape[0] // pieces, jnp.arange(pieces)
    blocks = gram.reshape(pieces, width, pieces, width)[index, :, index]
    return nearest(v.reshape(pieces, width, -1), blocks)


def _beyond(v: jax.Array, gram: jax.Array, tangent: jax.Array, end: jax.Array) -> jax.Array:
    """(x - B)·B' / |B'|² at an end, 0 where the tangent vanishes."""
    speed = tangent @ gram @ tangent
    moving = speed > jnp.finfo(v.dtype).eps ** 0.5
    return jnp.where(moving, tangent @ (v - (gram @ end)[:, None]) / jnp.where(moving, speed, 1), 0)


@_nearest.defjvp
def _nearest_jvp(pieces: int, extend: bool, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    # F(t, v, G) = b'(t)·(G b(t) - v) = 0 along the solution, so dt = b'·(dv - dG b) / F_t.
    v, gram = primals
    dv, dgram = tangents
    t = _nearest(v, gram, pieces, extend)
    degree = v.shape[0] // pieces - 1
    b, b1, b2 = (basis(pieces, degree, t, order).T for order in range(3))
    residual = jnp.matmul(gram, b, precision="highest") - v
    slope = (b1 * residual).sum(0)
    speed = (b1 * jnp.matmul(gram, b1, precision="highest")).sum(0)
    curvature = speed + (b2 * residual).sum(0)
    tiny = jnp.finfo(v.dtype).eps ** 0.5
    live = curvature > tiny
    if extend:
        live &= (speed > tiny) | ((t > 0) & (t < 1))
    else:
        live &= ~(((t <= 0) & (slope >= 0)) | ((t >= 1) & (slope <= 0)))
    if pieces > 1:
        joint = jnp.abs(t * pieces - jnp.round(t * pieces)) < 8 * pieces * jnp.finfo(v.dtype).eps
        live &= ~(joint & (t > 0) & (t < 1) & (jnp.abs(slope) > 10 * tiny))
    weight = b1 * jnp.where(live, 1 / jnp.where(live, curvature, 1), 0)
    return t, (weight * (dv - jnp.matmul(dgram, b, precision="highest"))).sum(0)
