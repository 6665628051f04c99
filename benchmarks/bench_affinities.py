"""The perplexity search of t-SNE beside scikit-learn's, from the same squared distances."""

import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import peer

from smrjax.losses.affinities import conditional_affinities, squared_distances

PERPLEXITY = 30.0


@pytest.mark.parametrize("size", [60, 512, 2048])
def bench_affinities(compare, size):
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=(15, 256))[np.arange(size) % 15] + rng.normal(size=(size, 256)), jnp.float32)
    square = squared_distances(z)
    functions = {"conditional_affinities": lambda: conditional_affinities(square, PERPLEXITY)}
    if utils := peer("sklearn.manifold._utils"):
        table = np.asarray(square)
        functions["scikit-learn"] = lambda: utils._binary_search_perplexity(table, PERPLEXITY, 0)
    compare("Perplexity search, perplexity 30", f"N={size}", functions, rounds=9)
