"""Plain networks through the shared loop."""

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import f1_score, log_loss

from experiments.networks import BATCHES, RATES, draw_sets
from smrjax.data.sampling import shuffled_batches
from smrjax.method import network
from smrjax.train import parallel
from smrjax.train.learner import build, embed_cells
from smrjax.train.loop import Diverged, Interrupted, train
from smrjax.train.optimizer import adam
from tests.train import toy


def learner(rate=1e-2):
    model = toy.Tiny()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
    how = {"normalize": False, "norm_weight": 0.0}
    return build(model, variables, network(4), adam(rate), toy.noise, jax.devices()[:1], **how)


PLAN = toy.plan(batches=partial(shuffled_batches, batch=16), epochs=4)


def test_loss_and_classes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(9, 5)), rng.integers(0, 4, 9)
    head = {"kernel": rng.normal(size=(5, 4)), "bias": rng.normal(size=4)}
    loss, parts = network(4).loss(z, y, {}, head)
    scores = z @ head["kernel"] + head["bias"]
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert float(loss) == pytest.approx(log_loss(y, p, labels=range(4)), rel=1e-5)
    np.testing.assert_array_equal(network(4).predict(z, head), p.argmax(1))
    assert float(parts["accuracy"]) == pytest.approx((p.argmax(1) == y).mean())


def test_the_monitor_scores_the_networks_own_classes(tmp_path):
    own, cells = learner(), toy.cells()
    state, rows = train(own, cells, PLAN, tmp_path)
    mapped = parallel.replicate(state, own.devices)
    z = embed_cells(own.embed, mapped, cells.plain, cells.validation, 16, own.devices)
    predicted = own.method.predict(jnp.asarray(z), state.params["head"])
    f1 = f1_score(cells.labels[cells.validation], predicted, average="macro")
    assert max(row["macro_f1"] for row in rows) == pytest.approx(f1)
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_rates_share_a_compiled_step_and_each_is_its_own(tmp_path):
    """Two rates through one learner's step end where learners of their own do."""
    shared, cells = learner(1.0), toy.cells()
    for rate in (1e-3, 1e-2):
        one, _ = train(replace(shared, optimizer=adam(rate)), cells, PLAN, tmp_path / f"shared{rate}")
        other, _ = train(learner(rate), cells, PLAN, tmp_path / f"own{rate}")
        for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_array_equal(a, b)


def test_adam_is_that_of_optax():
    params = {"w": jnp.arange(3.0)}
    ours, theirs = adam(0.1), optax.adam(0.1)
    a, b = ours.init(params), theirs.init(params)
    for k in range(3):
        gradient = {"w": jnp.array([1.0, -2.0, 0.5]) * (k + 1)}
        (step, a), (expected, b) = ours.update(gradient, a), theirs.update(gradient, b)
        np.testing.assert_allclose(step["w"], expected["w"], rtol=1e-6)


def test_a_rate_too_high_is_said_to_diverge(tmp_path):
    with pytest.raises(Diverged, match="learning rate"):
        train(learner(1e30), toy.cells(), PLAN, tmp_path)


def test_drawn_rates_are_even_on_a_logarithmic_scale():
    drawn = draw_sets(3000, seed=0)
    rates = np.log([one["learning_rate"] for one in drawn])
    low, high = np.log(RATES)
    assert low <= rates.min() and rates.max() <= high
    assert rates.mean() == pytest.approx((low + high) / 2, abs=0.1)
    assert rates.std() == pytest.approx((high - low) / np.sqrt(12), abs=0.1)
    counts = np.unique([one["batch"] for one in drawn], return_counts=True)
    assert counts[0].tolist() == sorted(BATCHES) and counts[1].min() > 900


@pytest.mark.parametrize("stops", [[1], [4, 9]])
def test_resumed_equals_uninterrupted(tmp_path, stops):
    """Stopped in the middle of an epoch and at its end, the rate in the optimiser's state: the same bits."""
    whole, rows = train(learner(), toy.cells(), PLAN, tmp_path / "whole")
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    for stop in stops:
        with pytest.raises(Interrupted):
            how = {"on_step": count, "should_stop": lambda stop=stop: steps >= stop}
            train(learner(), toy.cells(), PLAN, tmp_path / "parts", **how)
    parts, again = train(learner(), toy.cells(), PLAN, tmp_path / "parts")
    assert json.dumps(rows) == json.dumps(again)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)
