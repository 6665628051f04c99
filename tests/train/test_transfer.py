import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.encoders import ENCODERS
from smrjax.encoders.positions import resize_positions
from smrjax.errors import InputError
from smrjax.method import network
from smrjax.train.loop import train
from smrjax.train.optimizer import sgd
from smrjax.train.state import create, open_checkpoints, read_best, save
from smrjax.train.transfer import load_encoder
from tests.train import toy


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one fold, and the encoder of its best epoch."""
    folder = tmp_path_factory.mktemp("run")
    state, _ = train(toy.learner(), toy.cells(), toy.plan(epochs=2), folder / "fold_0")
    return folder, state


def keep(folder, variables) -> None:
    """Leave a state of an encoder behind, as a training does."""
    state = create(variables, network(4), sgd(0.1), {}, jax.random.key(0), 12)
    with open_checkpoints(folder / "checkpoints") as manager:
        save(manager, state, {}, {"score": 0.5, "epoch": 0})


def test_the_best_encoder_is_taken_and_the_new_head_kept(run):
    folder, state = run
    fresh = toy.Tiny().init(jax.random.key(7), jnp.zeros((1, 6, 6, 3)))
    for place in (folder, folder / "fold_0"):
        loaded = load_encoder(place, fresh)
        for name in ("stem_dense", "stem_norm"):
            chex.assert_trees_all_equal(loaded["params"][name], state.params["encoder"][name])
        chex.assert_trees_all_equal(loaded["batch_stats"], state.batch_stats)
        chex.assert_trees_all_equal(loaded["params"]["head"], fresh["params"]["head"])


def test_a_folder_without_a_training_or_with_several_is_said(run, tmp_path):
    _, state = run
    fresh = toy.Tiny().init(jax.random.key(7), jnp.zeros((1, 6, 6, 3)))
    with pytest.raises(InputError, match="no trained network"):
        load_encoder(tmp_path, fresh)
    for fold in (0, 1):
        (tmp_path / f"fold_{fold}" / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match="2 trained networks in it; name one, as in .*fold_0"):
        load_encoder(tmp_path, fresh)
    with pytest.raises(InputError, match="fold_1.*no trained state"):
        load_encoder(tmp_path / "fold_1", fresh)


def test_another_network_is_refused(run):
    other = ENCODERS["densenet_tiny"]()
    variables = other.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    with pytest.raises(InputError, match="another one than asked for.*--encoder"):
        load_encoder(run[0], variables)


def test_position_embeddings_follow_the_size_of_the_images(tmp_path):
    model = ENCODERS["vit_tiny"](embedding_dim=0)
    small, large = (model.init(jax.random.key(side), jnp.zeros((1, side, side, 3))) for side in (16, 32))
    keep(tmp_path, small)
    loaded = load_encoder(tmp_path, large)
    table = np.asarray(small["params"]["stem"]["positions"]["table"])
    expected = resize_positions(table, 1 + 8 * 8)
    np.testing.assert_array_equal(loaded["params"]["stem"]["positions"]["table"], expected)
    chex.assert_trees_all_equal(loaded["params"]["block1"], small["params"]["block1"])
    chex.assert_trees_all_equal(read_best(tmp_path / "checkpoints")["params"]["encoder"], dict(small["params"]))
