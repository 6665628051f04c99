"""The nearest point against exact references in float64: no wrong minimum, and gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.curves import Curve, bezier, project
from tests.curves import hard_cases, reference

# (pieces, degree, dimensions) and how wrong a squared distance may be, relative to curve size plus the best.
SHAPES = [(1, 2, 2), (1, 5, 256), (3, 3, 2)]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def excess(control, z, dtype):
    """How much farther than the nearest the found points are, relative to curve size plus the best."""
    worst = []
    for one, points in zip(control, z, strict=True):
        t = np.asarray(project(Curve(jnp.asarray(one, dtype)), jnp.asarray(points, dtype)), np.float64)
        # The reference sees the numbers that the kernel saw.
        one, points = np.asarray(one, dtype).astype(np.float64), np.asarray(points, dtype).astype(np.float64)
        best, _ = reference.nearest(one, points)
        found = ((reference.points_at(one, t) - points) ** 2).sum(-1)
        worst.append((found - best) / (reference.squared_size(one) + best + 1e-300))
    return np.concatenate(worst)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_no_wrong_minimum(shape, dtype):
    control, z = hard_cases.batch(7, *shape, 12, 80)
    with jax.enable_x64(dtype == "float64"):
        wrong = excess(control, z, dtype) > TOLERANCE[dtype]
    assert wrong.sum() == 0


def test_the_reference_agrees_with_all_roots_of_the_derivative():
    control, z = hard_cases.batch(3, 1, 4, 3, 12, 16)
    for one, points in zip(control, z, strict=True):
        best, _ = reference.nearest(one, points)
        np.testing.assert_allclose(best, reference.nearest_by_roots(one, points), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("ends", ["clamp", "extend"])
@pytest.mark.parametrize("shape", [(1, 5), (3, 3)])
def test_gradients_against_finite_differences(shape, ends):
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        pieces, degree = shape
        steps = np.cumsum(rng.normal(size=(pieces * degree + 1, 3)) * 0.2 + [1, 0, 0], 0)
        control = np.stack([steps[i * degree : (i + 1) * degree + 1] for i in range(pieces)])
        z = reference.points_at(control, rng.uniform(0.05, 0.95, 6)) + 0.1 * rng.normal(size=(6, 3))
        weights = jnp.asarray(rng.normal(size=6))

        def total(control, z):
            return (weights * project(Curve(control), z, ends=ends)).sum()

        gradients = jax.grad(total, argnums=(0, 1))(jnp.asarray(control), jnp.asarray(z))
        for which, gradient in enumerate(gradients):
            base = [control, z]
            for index in [tuple(i) for i in rng.integers(0, base[which].shape, (8, base[which].ndim))]:
                sides = []
                for sign in (1, -1):
                    moved = [a.copy() for a in base]
                    moved[which][index] += sign * 1e-6
                    sides.append(float(total(*map(jnp.asarray, moved))))
                expected = (sides[0] - sides[1]) / 2e-6
                assert float(gradient[index]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("ends", ["clamp", "extend"])
def test_everything_is_finite_where_the_curve_is_a_point_or_the_cell_at_an_end(ends):
    for means in (jnp.zeros((1, 4)), jnp.ones((5, 4)), jnp.eye(5, 4)):
        curve = bezier(means)
        z = jnp.concatenate([curve(jnp.array([0.0, 1.0])), means[:1] + 3.0])
        value, gradients = jax.value_and_grad(lambda c, z: project(c, z, ends=ends).sum(), argnums=(0, 1))(curve, z)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_beyond_the_ends_t_goes_on_along_the_tangent():
    """Closed form on a line from (1, 0) to (3, 0): t = (x - 1) / 2."""
    line = Curve(jnp.array([[[1.0, 0.0], [3.0, 0.0]]]))
    z = jnp.array([[0.0, 5.0], [2.0, -1.0], [7.0, 2.0]])
    np.testing.assert_allclose(project(line, z, ends="extend"), [-0.5, 0.5, 3.0], atol=1e-6)
    np.testing.assert_allclose(project(line, z, ends="clamp"), [0.0, 0.5, 1.0], atol=1e-6)


def test_no_cells():
    assert project(bezier(jnp.eye(3)), jnp.zeros((0, 3))).shape == (0,)
