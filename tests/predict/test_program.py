"""Networks as programs of their own: those of other kinds than the runs of other tests have."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from smrjax.encoders import ENCODERS
from smrjax.predict.members import make_parts
from smrjax.predict.program import read_programs, write_programs
from smrjax.predict.run import FinishedRun
from tests.predict.conftest import TAXONOMY

SIZE = 16


def a_run(encoder: str, *, bfloat16: bool) -> FinishedRun:
    options = {"encoder": encoder, "embedding_dim": 8, "frozen_stages": 0, "precompute": False, "bfloat16": bfloat16}
    config = {"encoder": options, "train": {"normalize": True}, "run": {"tta": False}, "data": {"image_size": SIZE}}
    return FinishedRun(Path(), "", config, TAXONOMY, (0,), None)


@pytest.mark.parametrize(("encoder", "bfloat16", "apart"), [("vit_tiny", False, 1e-5), ("resnet_tiny", True, 0.03)])
def test_a_program_is_the_network(encoder, bfloat16, apart, tmp_path):
    """In single precision, by the Flax module itself; one in bfloat16 differs by its rounding, and does differ."""
    module, rng = ENCODERS[encoder](embedding_dim=8, dtype=jnp.float32), np.random.default_rng(0)
    images = rng.integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)
    shapes = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), images.astype(np.float32))
    # Of any values: what initialises them would take longer to compile. Variances are above zero.
    values = jax.tree.map(lambda x: rng.normal(0.5, 0.1, x.shape).astype(np.float32), shapes)
    values["params"] = jax.tree.map(lambda x: 3 * (x - 0.5), values["params"])
    z = np.asarray(jax.jit(partial(module.apply, train=False))(values, images.astype(np.float32))[0], np.float64)
    expected = z / np.linalg.norm(z, axis=1, keepdims=True)
    variables = flatten_dict(values, sep="/")
    write_programs(tmp_path, *make_parts(a_run(encoder, bfloat16=bfloat16)), variables, size=SIZE)
    shared, own = read_programs(tmp_path, [variables], size=SIZE, dimensions=8)
    found = np.asarray(own(variables, shared(variables, images)))
    assert found.dtype == np.float32 and np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=apart)
    assert (np.abs(found - expected).max() > 1e-4) == bfloat16
