"""A DenseNet on two devices does what it does on one: in float64 to the last digits, so that float32 only rounds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.data.sampling import pk_batches
from smrjax.encoders import ENCODERS
from smrjax.train.learner import build
from smrjax.train.loop import train
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.step import AXIS
from tests.train import toy

EPOCHS = 5


def trained(folder, devices: int, dtype):
    """State and losses after 20 steps of 60 cells of 32 pixels, of the classes of the toy."""
    model = ENCODERS["densenet_tiny"](embedding_dim=64, axis_name=AXIS, dtype=dtype)
    first = jax.jit(lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)), train=False))(jax.random.key(0))
    first, how = jax.tree.map(lambda x: x.astype(dtype), first), toy.method()
    heads = {"encoder": first["params"], "head": how.init_head(jax.random.key(1), 64)}
    # Far from its end: a rate of nothing would hide what steps do.
    optimizer = adamw_cosine(heads, learning_rate=1e-3, weight_decay=1e-4, steps=8 * EPOCHS)
    learner = build(model, first, how, optimizer, toy.noise, jax.devices()[:devices])
    batches = partial(pk_batches, classes_per_batch=4, per_class=15)
    plan = toy.plan(epochs=EPOCHS, score="epoch", batches=batches)
    state, rows = train(learner, toy.cells(n=360, side=32), plan, folder)
    assert int(state.step) == 20
    return state, np.array([row["loss"] for row in rows])


def differences(one, other) -> list[float]:
    """Of all arrays, each as a share of its norm, ascending."""

    def share(a, b) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-12))

    return sorted(jax.tree.leaves(jax.tree.map(share, one, other)))


@pytest.mark.soak
@pytest.mark.timeout(1200)
# In float32, AdamW lifts the rounding of gradients that are hardly there, as that of the first BatchNorm's scale.
@pytest.mark.parametrize(("bits", "parameters", "losses"), [(32, 1e-4, 1e-5), (64, 1e-11, 1e-12)])
def test_a_densenet_on_two_devices(tmp_path, bits, parameters, losses):
    with jax.enable_x64(bits == 64):
        dtype = jnp.float64 if bits == 64 else jnp.float32
        (one, first), (two, second) = (trained(tmp_path / str(n), n, dtype) for n in (1, 2))
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(two.params))
    np.testing.assert_allclose(second, first, rtol=losses)
    found = differences(two.params, one.params)
    half, largest = found[len(found) // 2], found[-1]
    print(f"float{bits}: parameters {half:.1e} to {largest:.1e}, losses {np.abs(second / first - 1).max():.1e}")
    # All but one array are ten times closer.
    assert 0 < largest < parameters and found[-2] < parameters / 10
