"""The step: N devices do what one does, and what one does is the gradient of the loss of the whole batch."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from smrjax.method import smr, softmax, tml
from smrjax.train import parallel
from smrjax.train.learner import blank_state, build
from smrjax.train.step import unit
from tests.train import toy


def after_steps(devices: int, how, steps: int):
    # Not Adam, which would turn the rounding of a gradient that is zero into a step of full size.
    learner = toy.learner(how, devices=devices, optimizer=optax.sgd(0.1, momentum=0.9))
    cells = toy.cells()
    key = jax.random.key(5)
    state = blank_state(learner, cells, key)
    z = jax.random.normal(jax.random.key(9), (len(cells.train), 8))
    state = state.replace(goal=learner.refit(unit(z), jnp.asarray(cells.labels[cells.train]), None, key))
    mapped = parallel.replicate(state, learner.devices)
    for i in range(steps):
        rows = np.arange(16 * i, 16 * i + 16)
        mapped = learner.step(
            mapped,
            parallel.share(cells.read(rows), learner.devices),
            parallel.share(cells.labels[rows], learner.devices),
            key,
        )
    return parallel.first(mapped), mapped


METHODS = {
    "tml": tml(),
    "softmax": softmax(4),
    "smr normal": toy.method(),
    "smr projected": toy.method(pull="projected"),
}


@pytest.mark.parametrize("name", METHODS)
def test_four_devices_do_what_one_does(name):
    # After one step the momentum is the gradient. Softmax multiplies embeddings by 16 and the rounding of its gradients
    # likewise: a bias before BatchNorm, whose gradient is zero, comes to 2e-5.
    tolerance = 1e-4 if name == "softmax" else 1e-5
    for steps in (1, 3):
        one, _ = after_steps(1, METHODS[name], steps)
        four, mapped = after_steps(4, METHODS[name], steps)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    # Every device holds the same state afterwards.
    for leaf in jax.tree.leaves(mapped):
        assert np.array_equal(np.asarray(leaf), np.broadcast_to(np.asarray(leaf)[:1], leaf.shape))


def test_a_step_is_sgd_on_the_loss_of_the_whole_batch():
    """Against jax.grad of the formula written out for one device, without dropout, axis or augmentation."""
    how, cells = toy.method(), toy.cells()
    rate = 0.1

    class Still(toy.Tiny):
        @nn.compact
        def __call__(self, images, train=False):
            x = nn.Dense(12, name="stem_dense")(images / 255)
            x = nn.BatchNorm(use_running_average=not train, axis_name=self.axis_name, name="stem_norm")(x)
            return nn.Dense(8, name="head")(nn.relu(x).mean((1, 2))), {}

    variables = Still(axis_name=None).init(jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
    learner = build(
        Still(),
        variables,
        how,
        optax.sgd(rate),
        lambda images, keys: images.astype(jnp.float32),
        jax.devices()[:2],
        norm_weight=0.01,
    )
    key = jax.random.key(0)
    state = blank_state(learner, cells, key)
    z = unit(jax.random.normal(jax.random.key(9), (len(cells.train), 8)))
    goal = learner.refit(z, jnp.asarray(cells.labels[cells.train]), None, key)
    mapped = parallel.replicate(state.replace(goal=goal), learner.devices)
    images, labels = cells.read(np.arange(16)), cells.labels[:16]
    after = parallel.first(
        learner.step(mapped, parallel.share(images, learner.devices), parallel.share(labels, learner.devices), key)
    )

    def objective(params):
        (raw, _), _ = Still(axis_name=None).apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            images.astype(np.float32),
            train=True,
            mutable=["batch_stats"],
        )
        loss, _ = how.loss(raw / jnp.linalg.norm(raw, axis=1, keepdims=True), jnp.asarray(labels), goal, {})
        return loss + 0.01 * (raw**2).sum(1).mean()

    expected = jax.tree.map(lambda p, g: p - rate * g, variables["params"], jax.grad(objective)(variables["params"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after.params["encoder"], expected)
    assert after.totals["loss"] == pytest.approx(float(objective(variables["params"])), rel=1e-5)


def test_unit_is_finite_at_zero():
    value, gradient = jax.value_and_grad(lambda x: unit(x).sum())(jnp.zeros((2, 3)))
    assert value == 0 and np.isfinite(gradient).all()


def test_an_uneven_batch_is_refused():
    with pytest.raises(ValueError, match="6 cells cannot be split evenly over 4 devices"):
        parallel.share(np.zeros((6, 2)), jax.devices()[:4])


def test_smr_needs_a_lineage():
    with pytest.raises(ValueError, match="lineage"):
        smr(replace(toy.TAXONOMY, lineages=()))
