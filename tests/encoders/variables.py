"""Variables of an encoder, and whether two are the same."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.encoders import ENCODERS


@cache
def fresh(name, size=64):
    """Variables of zeros: only the file's numbers can give the file's answers."""
    image = jnp.zeros((1, size, size, 3))
    shapes = jax.eval_shape(ENCODERS[name]().init, jax.random.key(0), image)
    return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)


def assert_same(a, b):
    """To the last bit."""
    jax.tree.map(np.testing.assert_array_equal, a, b)
