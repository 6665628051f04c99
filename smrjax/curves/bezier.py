"""Bézier curves of one piece: class means as control points, and polynomials through the class means."""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.curves.curve import Curve, bernstein, norm
from smrjax.curves.means import all_present, fill_absent, keep_if_empty


def bezier(
    class_means: jax.Array,
    present: jax.Array | None = None,
    previous: Curve | None = None,
    *,
    min_length: float | jax.Array = 0.0,
) -> Curve:
    """The class means are the control points of a Bézier curve (SMR, third curve model, as printed).

    Only the first and the last mean lie on the curve, and the curve straightens as means reach their targets: watch
    `Curve.bend`. `bezier_interpolating` passes through all means.

    Args:
        class_means: Float[C, D], stages in maturity order.
        present: Bool[C], False for classes without a sample; their control points lie on the line through the nearest
            present ones.
        previous: The curve of the last epoch, kept where no class is present.
        min_length: Taken for the sake of one signature; the means alone say how long this curve is.

    Returns:
        A curve of one piece of degree C-1; for one class, of degree 1 with both ends at its mean.

    >>> print(bezier(jnp.array([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0]]))(0.5))
    [1. 1.]
    """
    del min_length
    present = all_present(class_means, present)
    return keep_if_empty(one_piece(fill_absent(class_means, present)), present, previous)


def bezier_interpolating(
    class_means: jax.Array,
    present: jax.Array | None = None,
    previous: Curve | None = None,
    *,
    min_length: float | jax.Array = 0.0,
    parameters: jax.Array | None = None,
) -> Curve:
    """The Bézier curve of degree C-1 through all class means, spaced in t as the means are in space.

    `lagrange` is the same polynomial with the means at equal steps of t. Where neighbouring means are unevenly far
    apart, steps in proportion to their distance swing less. A tenth of the mean step is added to each, so that
    coincident means stay apart in t.

    Args:
        class_means: Float[C, D], stages in maturity order.
        present: Bool[C], False for classes without a sample; the straight line between the nearest present ones
            stands in for them.
        previous: The curve of the last epoch, kept where no class is present.
        min_length: Taken for the sake of one signature; the means alone say how long this curve is.
        parameters: Float[C], the t at which each mean is met, strictly increasing from 0 to 1 (the class targets,
            say), instead.

    Returns:
        A curve of one piece of degree C-1. Polynomials of high degree are ill-conditioned: in float32 more than about
        twelve classes lose digits.

    >>> print(bezier_interpolating(jnp.array([[0.0], [1.0], [4.0]]), parameters=jnp.array([0.0, 0.5, 1.0]))(0.5))
    [1.]
    """
    del min_length
    present = all_present(class_means, present)
    means = fill_absent(class_means, present)
    count = means.shape[0]
    if count < 3:
        return keep_if_empty(one_piece(means), present, previous)
    if parameters is None:
        steps = norm(jnp.diff(means, axis=0))
        steps = steps + jnp.where(steps.sum() > 0, 0.1 * steps.mean(), 1)
        parameters = jnp.concatenate([jnp.zeros(1, steps.dtype), jnp.cumsum(steps)])
        parameters = parameters / parameters[-1]
    table = jnp.stack(bernstein(count - 1, jnp.asarray(parameters, means.dtype)), -1)
    # The centre is taken out, so that rounding is relative to the curve and not to where it lies.
    centre = means.mean(0)
    return keep_if_empty(one_piece(jnp.linalg.solve(table, means - centre) + centre), present, previous)


def one_piece(control: jax.Array) -> Curve:
    """A curve of one piece; a single control point is taken twice, so that the degree is 1 at least."""
    return Curve((control if control.shape[0] > 1 else control.repeat(2, 0))[None])


def lagrange(
    class_means: jax.Array,
    present: jax.Array | None = None,
    previous: Curve | None = None,
    *,
    min_length: float | jax.Array = 0.0,
) -> Curve:
    """The Lagrange polynomial through all class means at t = 0, 1/(C-1), …, 1, in Bézier form.

    `bezier_interpolating` is the same polynomial with the steps of t in proportion to the distances.

    Args:
        class_means: Float[C, D], stages in maturity order.
        present: Bool[C], False for classes without a sample; the straight line between the nearest present ones
            stands in for them.
        previous: The curve of the last epoch, kept where no class is present.
        min_length: Taken for the sake of one signature; the means alone say how long this curve is.

    Returns:
        A curve of one piece of degree C-1. Equal steps swing widely between the outer means from about ten classes on
        (Runge), and in float32 more than about twelve lose digits; `spline` has no such limit.

    >>> print(lagrange(jnp.array([[0.0], [1.0], [4.0]]))(jnp.array([0.5, 0.75])))
    [[1.  ]
     [2.25]]
    """
    del min_length
    present = all_present(class_means, present)
    means = fill_absent(class_means, present)
    degree = means.shape[0] - 1
    if degree < 2:
        return keep_if_empty(one_piece(means), present, previous)
    t = np.arange(degree + 1) / degree
    table = np.stack([comb(degree, i) * t**i * (1 - t) ** (degree - i) for i in range(degree + 1)], -1)
    centre = means.mean(0)
    change = jnp.asarray(np.linalg.inv(table), means.dtype)
    control = jnp.matmul(change, means - centre, precision="highest") + centre
    return keep_if_empty(one_piece(control), present, previous)
