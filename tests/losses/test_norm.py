"""Norm penalty against numpy, and its gradient at the origin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.losses import norm_penalty


def test_matches_numpy_in_both_readings():
    z = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    norm = np.linalg.norm(z.astype(np.float64), axis=1)
    np.testing.assert_allclose(jax.jit(norm_penalty)(z), norm**2, rtol=1e-6)
    np.testing.assert_allclose(norm_penalty(jnp.asarray(z), squared=False), norm, rtol=1e-6)
    unit = jax.grad(lambda z: norm_penalty(z, squared=False).sum())(jnp.asarray(z))
    np.testing.assert_allclose(unit, z / norm[:, None], rtol=1e-5)


@pytest.mark.parametrize("squared", [True, False])
def test_gradient_at_the_origin_is_zero(squared):
    grad = jax.grad(lambda z: norm_penalty(z, squared=squared).sum())(jnp.zeros((2, 3)))
    assert not grad.any()


def test_empty_batch():
    assert norm_penalty(jnp.ones((0, 4))).shape == (0,)
