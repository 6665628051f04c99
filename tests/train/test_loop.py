"""The loop: resumed equals uninterrupted bit for bit, nothing compiles twice, it stops when it should."""

import json
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp

from smrjax.errors import InputError
from smrjax.method import Method, guided, network
from smrjax.train import parallel
from smrjax.train.learner import embed_cells
from smrjax.train.loop import Interrupted, train
from smrjax.train.optimizer import sgd
from smrjax.train.state import open_checkpoints, restore
from tests.train import toy

METHODS = {
    "smr": lambda: toy.method(pull="normal"),
    "smr, reduced": lambda: toy.method(pull="reduced_projected", reducer={"steps": 3, "batch_size": 32}),
    "inverse UMAP": lambda: guided(np.eye(4, 2), samples=40, every=2, grow=3),
}


@pytest.mark.parametrize(("method", "stop_at"), [("smr", [1]), *((method, [4, 9]) for method in METHODS)])
def test_resumed_equals_uninterrupted(tmp_path, stop_at, method):
    """Stopped in the middle of an epoch and at its end, gone on with by a new learner: the same bits."""
    how = METHODS[method]()
    whole, rows = train(toy.learner(how), toy.cells(), toy.plan(), tmp_path / "whole")
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    for stop in stop_at:
        with pytest.raises(Interrupted):
            train(
                toy.learner(how),
                toy.cells(),
                toy.plan(),
                tmp_path / "parts",
                on_step=count,
                should_stop=lambda stop=stop: steps >= stop,
            )
        assert steps == stop
    parts, rows_of_parts = train(toy.learner(how), toy.cells(), toy.plan(), tmp_path / "parts", on_step=count)
    assert steps == 12
    chex.assert_trees_all_equal(whole, parts)
    assert json.dumps(rows) == json.dumps(rows_of_parts)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, _ = train(toy.learner(), toy.cells(), toy.plan(), tmp_path)

    def never():
        raise AssertionError("a step was done")

    again, _ = train(toy.learner(), toy.cells(), toy.plan(), tmp_path, on_step=never)
    chex.assert_trees_all_equal(first, again)


def test_nothing_compiles_twice(tmp_path, caplog):
    learner, epochs = toy.learner(), []
    with jax.log_compiles():
        train(learner, toy.cells(), toy.plan(), tmp_path, on_epoch=lambda row: epochs.append(len(caplog.records)))
    # The first refit has no goal yet, so the second is another program; after that every program is there.
    compiling = ["Compiling" in record.getMessage() for record in caplog.records]
    assert sum(compiling[: epochs[0]]) > 2
    assert sum(compiling[epochs[0] : epochs[-1]]) == 0


def test_the_network_learns(tmp_path):
    _, rows = train(toy.learner(), toy.cells(), toy.plan(), tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["macro_f1"] > 0.9


def test_patience_ends_a_training_and_the_best_epoch_is_returned(tmp_path):
    scores = iter([0.5, 0.9, 0.9, 0.2, 0.1, 0.1])
    from smrjax.train import loop

    original = loop.macro_f1
    loop.macro_f1 = lambda *args: next(scores)
    try:
        state, rows = train(toy.learner(), toy.cells(), toy.plan(epochs=6, patience=2), tmp_path)
    finally:
        loop.macro_f1 = original
    assert [row["macro_f1"] for row in rows] == [0.5, 0.9, 0.9, 0.2]
    assert int(state.step) == 2 * 4


def test_a_networks_best_epoch_is_by_the_score_asked_for_and_its_rate_by_the_epochs_before(tmp_path):
    learner, cells, devices = toy.learner(network(4), optimizer=sgd(0.5)), toy.cells(), jax.devices()[:1]
    plan = toy.plan(epochs=5, score="validation_accuracy", rate=lambda rows: 0.5 / 2 ** len(rows))
    state, rows = train(learner, cells, plan, tmp_path)
    best = int(np.argmax([row["validation_accuracy"] for row in rows]))
    assert int(state.step) == 4 * (best + 1)
    with open_checkpoints(tmp_path / "checkpoints") as manager:
        last, _ = restore(manager, state, manager.latest_step())
    assert float(last.opt_state.hyperparams["learning_rate"]) == pytest.approx(0.5 / 2**5)
    # Loss and accuracy by hand, from the embeddings of the last epoch.
    y, mapped = cells.labels[cells.validation], parallel.replicate(last, devices)
    z = embed_cells(learner.embed, mapped, cells.plain, cells.validation, 16, devices).astype(float)
    logits = z @ np.asarray(last.params["head"]["kernel"]) + np.asarray(last.params["head"]["bias"])
    loss = (logsumexp(logits, axis=1) - logits[range(len(y)), y]).mean()
    assert rows[-1]["validation_accuracy"] == pytest.approx((logits.argmax(1) == y).mean())
    assert rows[-1]["validation_loss"] == pytest.approx(loss, rel=1e-4)


def test_no_epoch_gives_the_initial_network(tmp_path):
    learner = toy.learner()
    state, rows = train(learner, toy.cells(), toy.plan(epochs=0), tmp_path)
    assert rows == []
    chex.assert_trees_all_equal(state.params["encoder"], learner.variables["params"])


@pytest.mark.parametrize("broken_from", [0, 1])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_state_kept(tmp_path, broken_from):
    how = toy.method()

    def loss(z, y, goal, head):
        value, parts = how.loss(z, y, goal, head)
        return jnp.where(goal["refits"] >= broken_from, jnp.nan, 1.0) * value, parts

    broken = toy.learner(Method("broken", how.init_head, how.refit, loss))
    with pytest.raises(InputError, match=f"epoch {broken_from + 1}.*learning rate"):
        train(broken, toy.cells(), toy.plan(), tmp_path)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["4"] * broken_from
    # Nor does a stop in the middle of an epoch put a broken state in its place.
    steps = iter(range(100))
    with pytest.raises(InputError, match="learning rate"):
        train(broken, toy.cells(), toy.plan(), tmp_path, should_stop=lambda: next(steps) == 2)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["4"] * broken_from


def test_an_initial_network_that_is_not_finite_is_said(tmp_path):
    learner = toy.learner()
    broken = replace(learner, variables=jax.tree.map(lambda x: x * jnp.nan, learner.variables))
    with pytest.raises(InputError, match="--init"):
        train(broken, toy.cells(), toy.plan(), tmp_path)


@pytest.mark.parametrize("pull", ["normal", "projected"])
def test_targets_are_followed(tmp_path, pull):
    """Under the pull alone, cells come closer and closer to their targets; under triplets alone they do not."""

    def misses(alpha: float) -> list[float]:
        learner = toy.learner(toy.method(alpha=alpha, curve="fixed", pull=pull), optimizer=optax.adam(1e-2))
        _, rows = train(learner, toy.cells(), toy.plan(epochs=3, steps=25), tmp_path / str(alpha))
        return [row["loss/pull abc"] for row in rows]

    followed, ignored = misses(1.0), misses(0.0)
    assert followed[0] > followed[1] > followed[2]
    assert followed[2] < 0.4 * followed[0] and followed[2] < 0.4 * ignored[2]


def test_the_monitor_sees_a_share_of_many_cells(tmp_path, monkeypatch):
    """In proportion to the classes, the same in every epoch; the last SVM of a run is another one and sees all."""
    from smrjax.train import loop

    seen = []
    for name in ("fit_svm", "fit_svm_at"):
        real = getattr(loop, name)
        monkeypatch.setattr(loop, name, lambda z, y, real=real, **how: seen.append(y) or real(z, y, **how))
    monkeypatch.setattr(loop, "MONITORED", 32)
    train(toy.learner(), toy.cells(), toy.plan(), tmp_path)
    assert [np.bincount(y).tolist() for y in seen] == [[8] * 4] * 3
