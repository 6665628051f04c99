"""Trainings that go wrong, each by a planted cause, say so within an epoch and go on."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.method import tml
from smrjax.train.loop import train
from smrjax.train.transfer import load_encoder
from tests.train import toy


def warnings_of(method, folder, **changes) -> list[str]:
    """Of the first epoch."""
    _, rows = train(toy.learner(method, **changes), toy.cells(), toy.plan(epochs=1, steps=12), folder)
    return rows[0]["warnings"]


def test_a_healthy_training_has_none_of_these(tmp_path):
    said = " ".join(warnings_of(tml(), tmp_path))
    for words in ("collapsed", "Hardly any triplet", "beyond the ends"):
        assert words not in said


def test_collapse_onto_a_point(tmp_path):
    """A pull of all cells toward one point, and nothing against it."""

    def loss(z, y, goal, head):
        return ((z - jnp.eye(z.shape[1])[0]) ** 2).sum(1).mean(), {"active_triplets": jnp.float32(0.5)}

    said = warnings_of(replace(tml(), loss=loss), tmp_path / "0.1", learning_rate=0.1)
    assert any("the network has collapsed; lower the learning rate or alpha" in words for words in said)
    # The method's own margin is the limit.
    said = warnings_of(replace(tml(margin=1e-9), loss=loss), tmp_path / "1e-9", learning_rate=0.1)
    assert said and not any("collapsed" in words for words in said)


def test_no_active_triplets(tmp_path):
    """A margin that nothing can violate."""
    said = warnings_of(tml(margin=-3.0), tmp_path)
    assert any("Hardly any triplet violates the margin" in words and "raise the margin" in words for words in said)


def test_all_cells_beyond_the_ends_of_a_curve(tmp_path):
    """A curve that is cut to a thousandth, away from where its cells are."""
    how = toy.method()

    def refit(z, y, goal, key):
        goal = how.refit(z, y, goal, key)
        curve = goal["curves"]["abc"]
        short = curve.control[..., :1, :] + (curve.control - curve.control[..., :1, :]) * 1e-3
        return goal | {"curves": {"abc": replace(curve, control=short)}}

    said = warnings_of(replace(how, refit=refit), tmp_path)
    assert any("of the abc cells lie beyond the ends of their curve" in words for words in said)


@pytest.fixture
def exploding():
    """In the second epoch a step breaks the network, and its loss is finite still."""
    how = toy.method()

    def loss(z, y, goal, head):
        value, parts = how.loss(z, y, goal, head)
        # Always zero; its gradient is that of a root at one, and then at zero, where it is not finite.
        away = jnp.where(goal["refits"] >= 1, 0.0, 1.0)
        return value + jnp.sqrt(jnp.sum((z - jax.lax.stop_gradient(z)) ** 2) + away) - away, parts

    return toy.learner(replace(how, loss=loss))


def test_a_network_that_breaks_in_one_step_is_not_saved(exploding, tmp_path):
    """Stopped right after that step: the loss is finite, the parameters are not."""
    asked = iter(range(9))
    with pytest.raises(InputError, match="infinite or NaN in epoch 2.*--resume would come to the same") as said:
        train(exploding, toy.cells(), toy.plan(), tmp_path, should_stop=lambda: next(asked) == 5)
    assert "\n" not in str(said.value)
    # Trained on cells that the other folds test, it is no start for them.
    assert f"of this fold alone (--only-folds), it may begin with that state by --init {tmp_path}" in str(said.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["4"]
    # As said, resuming comes to the same point, and the state kept is a start for this fold of another run.
    with pytest.raises(InputError, match="epoch 2"):
        train(exploding, toy.cells(), toy.plan(), tmp_path)
    variables = load_encoder(tmp_path, exploding.variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    assert not np.array_equal(
        variables["params"]["stem_dense"]["kernel"], exploding.variables["params"]["stem_dense"]["kernel"]
    )
