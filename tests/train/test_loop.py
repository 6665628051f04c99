"""The loop: resumed equals uninterrupted bit for bit, nothing compiles twice, it stops when it should."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.method import Method
from smrjax.train.loop import Interrupted, train
from tests.train import toy


def same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("pull", ["normal", "reduced_projected"])
@pytest.mark.parametrize("stop_at", [[1], [4, 9]])
def test_resumed_equals_uninterrupted(tmp_path, stop_at, pull):
    """Stopped in the middle of an epoch and at its end, gone on with by a new learner: the same bits."""
    how = toy.method(pull=pull, **({"reducer": {"steps": 3, "batch_size": 32}} if "reduced" in pull else {}))
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
    same(whole, parts)
    assert json.dumps(rows) == json.dumps(rows_of_parts)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, _ = train(toy.learner(), toy.cells(), toy.plan(), tmp_path)

    def never():
        raise AssertionError("a step was done")

    again, _ = train(toy.learner(), toy.cells(), toy.plan(), tmp_path, on_step=never)
    same(first, again)


def test_nothing_compiles_twice(tmp_path, caplog):
    learner, epochs = toy.learner(), []
    with jax.log_compiles():
        train(learner, toy.cells(), toy.plan(), tmp_path, on_epoch=lambda row: epochs.append(len(caplog.records)))
    # The first refit has no goal yet, so the second is another program; after that every program is there.
    compiled = [r.getMessage() for r in caplog.records[epochs[0] : epochs[-1]] if "Compiling" in r.getMessage()]
    assert compiled == []


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


def test_no_epoch_gives_the_initial_network(tmp_path):
    learner = toy.learner()
    state, rows = train(learner, toy.cells(), toy.plan(epochs=0), tmp_path)
    assert rows == []
    same(state.params["encoder"], learner.variables["params"])


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state_kept(tmp_path):
    how = toy.method()

    def loss(z, y, goal, head):
        value, parts = how.loss(z, y, goal, head)
        return jnp.where(goal["refits"] >= 1, jnp.nan, 1.0) * value, parts

    broken = toy.learner(Method("broken", how.init_head, how.refit, loss))
    with pytest.raises(InputError, match="epoch 2.*learning-rate"):
        train(broken, toy.cells(), toy.plan(), tmp_path)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["4"]


def test_targets_are_followed(tmp_path):
    """With the pull alone, class means come to lie at their targets: the curve's own closed form."""
    from smrjax.method import class_means

    learner = toy.learner(toy.method(alpha=1.0, curve="svd", pull="projected"), learning_rate=3e-2)
    cells = toy.cells()
    state, _ = train(learner, cells, toy.plan(epochs=3, steps=20), tmp_path)
    from smrjax.method import read_maturity
    from smrjax.train import parallel
    from smrjax.train.loop import embed_cells

    z = embed_cells(
        learner.embed, parallel.replicate(state, learner.devices), cells.images, cells.train, 16, learner.devices
    )
    t, _ = read_maturity(state.goal, jnp.asarray(z))["abc"]
    y = cells.labels[cells.train]
    means = [float(np.mean(np.asarray(t)[y == c])) for c in range(3)]
    np.testing.assert_allclose(means, [0, 0.5, 1], atol=0.2)
    assert class_means(jnp.asarray(z), jnp.asarray(y), 4)[1].tolist() == np.bincount(y, minlength=4).tolist()
