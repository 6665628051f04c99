"""Straight lines: of fixed direction and length, and along the class means' largest singular vector (SMR, III-A)."""

import jax
import jax.numpy as jnp

from smrjax.curves.curve import Curve, norm
from smrjax.curves.means import all_present, keep_if_empty, masked_mean


def fixed_line(
    class_means: jax.Array,
    present: jax.Array | None = None,
    previous: Curve | None = None,
    *,
    min_length: float | jax.Array = 0.0,
    direction: jax.Array | None = None,
    length: float | jax.Array | None = None,
) -> Curve:
    """A line of given direction and length, centred on the class means (SMR, first curve model).

    The paper centres the line on the lineage's embeddings; here every class counts alike, however many cells it has, as
    in the other fits. The paper gives neither direction nor length: a direction that is not given is that of the
    previous line, or the first axis; several lineages want one axis each. A length that is not given is that of the
    previous line; at the first fit it is the lineage's span, the largest distance between two class means, at least
    `min_length`.

    Args:
        class_means: Float[C, D], stages in maturity order.
        present: Bool[C], False for classes without a sample; these are left out.
        previous: The line of the last epoch.
        min_length: Smallest length at the first fit, (C-1) times the triplet margin, say.
        direction: Float[D] of any length but zero.
        length: Length to use instead.

    Returns:
        A curve of one piece of degree 1. With no class present it is the previous one, or a line about the origin.

    >>> line = fixed_line(jnp.array([[0.0, 1.0], [4.0, 1.0]]), direction=jnp.array([0.0, 1.0]))
    >>> print(line.control[0])
    [[ 2. -1.]
     [ 2.  3.]]
    """
    present = all_present(class_means, present)
    chord, last_length = _last_chord(previous, class_means)
    axis = jnp.eye(1, class_means.shape[1], dtype=class_means.dtype)[0]
    if direction is None:
        direction = jnp.where(last_length > 0, chord, axis)
    direction = _unit(jnp.asarray(direction, class_means.dtype), axis)
    if length is None:
        both = present[:, None] & present
        means = jnp.where(present[:, None], class_means, 0)
        span = jnp.where(both, norm(means[:, None] - means), 0).max()
        length = jnp.where(last_length > 0, last_length, jnp.maximum(span, min_length))
    half = 0.5 * length * direction
    centre = masked_mean(class_means, present)
    return keep_if_empty(Curve(jnp.stack([centre - half, centre + half])[None]), present, previous)


def svd_line(
    class_means: jax.Array,
    present: jax.Array | None = None,
    previous: Curve | None = None,
    *,
    min_length: float | jax.Array = 0.0,
) -> Curve:
    """A line through the class means along their largest singular vector (SMR, second curve model).

    It reaches from the smallest to the largest projected class mean and is widened evenly to `min_length`. The sign of
    a singular vector is arbitrary, so it is chosen: such that stage and position along the line correlate positively;
    where that correlation is under 0.5 the previous line's sign is kept.

    The gradient is that of the singular vector wherever it is unique, and finite where it is not.

    Args:
        class_means: Float[C, D], stages in maturity order.
        present: Bool[C], False for classes without a sample; these are left out.
        previous: The line of the last epoch.
        min_length: Smallest length, (C-1) times the triplet margin, say.

    Returns:
        A curve of one piece of degree 1. With no class present it is the previous one, or a line about the origin.

    >>> print(svd_line(jnp.array([[3.0, 1.0], [1.0, 1.0], [0.0, 1.0]])).control[0])
    [[3. 1.]
     [0. 1.]]
    """
    present = all_present(class_means, present)
    last_direction, _ = _last_chord(previous, class_means)
    centre = masked_mean(class_means, present)
    offsets = jnp.where(present[:, None], class_means - centre, 0)
    direction = _unit(_principal_axis(offsets), last_direction)
    position = jnp.matmul(offsets, direction, precision="highest")
    sign = _sign(position, present, direction, last_direction)
    direction, position = sign * direction, sign * position
    low = jnp.where(present, position, jnp.inf).min()
    high = jnp.where(present, position, -jnp.inf).max()
    low, high = jnp.where(present.any(), low, 0), jnp.where(present.any(), high, 0)
    middle, half = (low + high) / 2, jnp.maximum(high - low, min_length) / 2
    ends = jnp.stack([middle - half, middle + half])
    return keep_if_empty(Curve((centre + ends[:, None] * direction)[None]), present, previous)


def _last_chord(previous: Curve | None, class_means: jax.Array) -> tuple[jax.Array, jax.Array]:
    if previous is None:
        return jnp.zeros_like(class_means[0]), jnp.zeros((), class_means.dtype)
    chord = (previous.control[-1, -1] - previous.control[0, 0]).astype(class_means.dtype)
    return chord, norm(chord)


def _unit(vector: jax.Array, fallback: jax.Array) -> jax.Array:
    """The vector, else the fallback, else the first axis, with length 1."""
    axis = jnp.eye(1, vector.shape[0], dtype=vector.dtype)[0]
    for other in (fallback, axis):
        vector = jnp.where(norm(vector) > 0, vector, other)
    return vector / norm(vector)


def _principal_axis(offsets: jax.Array) -> jax.Array:
    """Largest right singular vector times its singular value, Float[D]; zeros where all offsets are."""
    u, s, _ = jnp.linalg.svd(jax.lax.stop_gradient(offsets), full_matrices=False)
    first = u[:, 0]
    gram = jnp.matmul(offsets, offsets.T, precision="highest")
    # One step of perturbation theory about the known vector: du = (s1² - K)⁺ dK u. The value adds nothing, the
    # derivative is exact, and vectors that share the largest singular value are left out instead of divided by zero.
    # Offsets so small that their squares vanish have no direction, either.
    square, least = s[0] ** 2, jnp.finfo(s.dtype).tiny
    gap = square - s**2
    distinct = gap > jnp.maximum(10 * jnp.finfo(s.dtype).eps * square, least)
    inverse = (u * jnp.where(distinct, 1 / jnp.where(distinct, gap, 1), 0)) @ u.T
    null = jnp.eye(u.shape[0], dtype=u.dtype) - u @ u.T
    inverse = inverse + jnp.where(square > least, null / jnp.where(square > least, square, 1), 0)
    first = first + inverse @ ((gram - jax.lax.stop_gradient(gram)) @ first)
    return jnp.matmul(first, offsets, precision="highest")


def _sign(position: jax.Array, present: jax.Array, direction: jax.Array, last: jax.Array) -> jax.Array:
    stage = jnp.where(present, jnp.arange(position.size) - masked_mean(jnp.arange(position.size)[:, None], present), 0)
    product = norm(stage) * norm(position)
    correlation = jnp.where(product > 0, stage @ position / jnp.where(product > 0, product, 1), 0)
    agreement = direction @ last
    largest = direction[jnp.abs(direction).argmax()]
    # Below 1e-3 the correlation's own sign may be rounding, so a coordinate decides.
    weak = jnp.where(jnp.abs(correlation) > 1e-3, correlation, largest)
    weak = jnp.where(agreement != 0, agreement, weak)
    return jax.lax.stop_gradient(jnp.where(jnp.where(jnp.abs(correlation) >= 0.5, correlation, weak) < 0, -1.0, 1.0))
