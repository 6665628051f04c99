"""A smooth curve of cubic pieces through the class means."""

import jax
import jax.numpy as jnp

from smrjax.curves.curve import Curve, norm
from smrjax.curves.means import all_present, fill_absent, keep_if_empty


def spline(
    class_means: jax.Array,
    present: jax.Array | None = None,
    previous: Curve | None = None,
    *,
    min_length: float | jax.Array = 0.0,
) -> Curve:
    """C1 cubic pieces through all class means at t = 0, 1/(C-1), …, 1.

    The tangent at an inner mean is the average of the two chords that meet there, each weighted with the length of the
    other: ``(|b| a + |a| b) / (|a| + |b|)``. For chords of equal length this is the Catmull-Rom tangent; on a line it
    is the harmonic mean of Fritsch and Butland, which keeps monotone data monotone. In any dimension each piece
    advances along its own chord throughout, so no piece has a loop or a cusp, however unevenly the means are spaced
    (plain Catmull-Rom has both), and coincident means cause no overshoot. End tangents leave no curvature at the end,
    so the curve runs straight into its extension.

    Args:
        class_means: Float[C, D], stages in maturity order.
        present: Bool[C], False for classes without a sample; the straight line between the nearest present ones
            stands in for them.
        previous: The curve of the last epoch, kept where no class is present.
        min_length: Taken for the sake of one signature; the means alone say how long this curve is.

    Returns:
        A curve of max(C-1, 1) pieces of degree 3.

    >>> print(spline(jnp.array([[0.0], [1.0], [4.0]]))(jnp.array([0.0, 0.5, 1.0])))
    [[0.]
     [1.]
     [4.]]
    """
    del min_length
    present = all_present(class_means, present)
    means = fill_absent(class_means, present)
    if means.shape[0] == 1:
        means = means.repeat(2, 0)
    chords = jnp.diff(means, axis=0)
    size = norm(chords)[:, None]
    total = size[:-1] + size[1:]
    inner = (size[1:] * chords[:-1] + size[:-1] * chords[1:]) / jnp.where(total > 0, total, 1)
    if inner.shape[0]:
        first, last = 1.5 * chords[:1] - 0.5 * inner[:1], 1.5 * chords[-1:] - 0.5 * inner[-1:]
    else:
        first = last = chords
    tangents = jnp.concatenate([first, inner, last])
    left, right = means[:-1], means[1:]
    control = jnp.stack([left, left + tangents[:-1] / 3, right - tangents[1:] / 3, right], 1)
    return keep_if_empty(Curve(control), present, previous)
