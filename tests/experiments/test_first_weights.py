"""What a run begins with: who has trained it on which cells, and by what a resume knows it."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial

import chex
import jax
import numpy as np
import pytest

from experiments import prepare as preparing
from experiments import smr
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.crossval import write_lasting
from experiments.first_weights import check_unseen, digest_of, known_by
from experiments.prepare import prepare
from experiments.runs import check_same, identity_of, open_run
from smrjax.data import CellSet
from smrjax.errors import InputError
from smrjax.files import read_json, write_json
from smrjax.method import network, tml
from smrjax.train.optimizer import sgd
from smrjax.train.state import create, open_checkpoints, save


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Options, the folder of a run of them whose fold 1 has a trained network, and what it works with."""
    place = tmp_path_factory.mktemp("run")
    config = smr.resolved(
        smr.Config(
            data=DataOptions(count=300, image_size=16, folds=3, only_folds=(0, 1, 2), cache=place / "cache"),
            encoder=EncoderOptions(encoder="resnet_tiny", embedding_dim=16),
            train=TrainOptions(per_class=1),
            run=RunOptions(out=place / "runs"),
        )
    )
    prepared = ready(config)
    how = {"identity": identity_of(prepared), "severity": {}, "repeated": prepared.repeated}
    folder = open_run(config, "smr", "run", **how)
    state = create(prepared.variables, network(4), sgd(0.1), {}, jax.random.key(0), 16)
    with open_checkpoints(folder / "fold_1" / "checkpoints") as manager:
        save(manager, state, {}, {"score": 0.5, "epoch": 0})
    return config, folder, prepared


def ready(config, **data):
    return prepare(replace(config, data=replace(config.data, **data)), lambda taxonomy: tml())


def from_fold(config, folder):
    return replace(config, encoder=replace(config.encoder, init=str(folder / "fold_1")))


def test_folds_that_test_what_the_first_network_was_trained_on_are_said(begun):
    config, folder, prepared = begun
    check = partial(check_unseen, str(folder / "fold_1"), prepared.cells, prepared.folds)
    with pytest.warns(UserWarning, match="on cells which folds 0, 2 will test: .*; --only-folds 1 avoids it"):
        ready(from_fold(config, folder))
    with pytest.warns(UserWarning, match="on cells which fold 2 will test"):
        check((1, 2), strict=False)
    with pytest.raises(InputError, match="--strict-split: --init .*fold_1: that .*; --only-folds 1 avoids it"):
        ready(from_fold(config, folder), strict_split=True)
    # Split otherwise, the same number is another fold.
    with pytest.warns(UserWarning, match="fold 1 will test: .*; the folds of that run and --only-folds 1 avoid it"):
        check_unseen(str(folder / "fold_1"), prepared.cells, prepared.folds[::-1], (1,), strict=False)


def test_nothing_is_said_where_no_test_cell_was_seen_or_nothing_is_known(begun, tmp_path):
    config, folder, prepared = begun
    ready(from_fold(config, folder), only_folds=(1,), strict_split=True)
    others = replace(prepared.cells, digest="others")
    check_unseen(str(folder / "fold_1"), others, prepared.folds, (0, 1, 2), strict=True)
    for init in ("random", "imagenet", "weights.safetensors"):
        check_unseen(init, prepared.cells, prepared.folds, (0, 1, 2), strict=True)
    (tmp_path / "fold_1" / "checkpoints").mkdir(parents=True)
    check_unseen(str(tmp_path), prepared.cells, prepared.folds, (0, 1, 2), strict=True)


def test_random_weights_are_known_by_what_decides_them_and_read_ones_by_their_bits(begun, monkeypatch):
    """As on a processor that rounds otherwise: the last bits of all that is computed are other ones."""
    config, folder, prepared = begun
    own = from_fold(replace(config, data=replace(config.data, only_folds=(1,))), folder)
    read = identity_of(ready(own))
    assert read["weights"] != prepared.weights
    exact = preparing.with_weights
    monkeypatch.setattr(preparing, "with_weights", lambda v, *rest: exact(rounded(v), *rest))
    elsewhere = ready(config)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(elsewhere.variables, prepared.variables)
    check_same(folder, identity_of(elsewhere))
    assert identity_of(ready(own)) == read
    # Not of a file with other numbers.
    monkeypatch.setattr(preparing, "with_weights", lambda v, *rest: rounded(exact(v, *rest)))
    assert identity_of(ready(own))["weights"] != read["weights"]


@pytest.mark.parametrize(
    ("encoder", "seed", "width"), [("resnet_tiny", 1, 16), ("densenet_tiny", 0, 16), ("resnet_tiny", 0, 8)]
)
def test_other_random_weights_are_known_as_others(encoder, seed, width):
    variables = {"params": {"head": {"kernel": np.zeros((4, 16))}, "stem": {"kernel": np.zeros(3)}}}
    other = {"params": {**variables["params"], "head": {"kernel": np.zeros((4, width))}}}
    assert known_by(variables, "resnet_tiny", "random", seed=0) != known_by(other, encoder, "random", seed=seed)


def rounded(variables):
    return jax.tree.map(lambda x: x * (1 + 1e-6), variables)


def test_a_run_begun_while_random_weights_were_known_by_their_bits_is_gone_on_with(begun, tmp_path):
    _, folder, prepared = begun
    old = read_json(folder / "run.json")
    del old["weights"]
    write_json(tmp_path / "run.json", old | {"initial weights": "their bits"})
    with pytest.warns(UserWarning, match="begun by an earlier version, .* is not looked at"):
        check_same(tmp_path, identity_of(prepared))
    write_json(tmp_path / "run.json", old)
    with pytest.raises(InputError, match="the weights are no longer"):
        check_same(tmp_path, identity_of(prepared))


def test_weights_that_no_training_changes_are_written_once(begun, tmp_path):
    prepared = replace(begun[-1], untrained=begun[-1].variables)
    write_lasting(tmp_path, prepared, (0,))
    first = (tmp_path / "untrained.npz").read_bytes()
    write_lasting(tmp_path, replace(prepared, untrained=rounded(prepared.untrained)), (0,))
    assert (tmp_path / "untrained.npz").read_bytes() == first
    others = replace(prepared, untrained=jax.tree.map(lambda x: x * 1.01, prepared.untrained))
    with pytest.raises(InputError, match="untrained.npz: its weights are not those that this run has here"):
        write_lasting(tmp_path, others, (0,))


@pytest.mark.soak
def test_a_run_moves_to_a_processor_that_rounds_otherwise(tmp_path):
    """One without fused multiply-add; random weights of it are other ones, up to rounding."""
    small = ["--count", "300", "--image-size", "16", "--folds", "3", "--encoder", "densenet_tiny", "--epochs", "1"]
    small += ["--only-folds", "0", "--no-pictures", "--no-compile-cache", "--out", str(tmp_path), "--name", "run"]
    for words, flags in ((small, ""), (["--resume", str(tmp_path / "smr" / "run")], "--xla_cpu_max_isa=AVX")):
        command, env = [sys.executable, "-m", "experiments.smr", *words], os.environ | {"XLA_FLAGS": flags}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (tmp_path / "smr" / "run" / "fold_0" / "result.json").unlink()


@pytest.mark.parametrize(
    ("place", "tested", "said"),
    [
        ("smr_line/fold_0", (0,), ""),  # of a set of runs
        ("resnet_tiny/imagenet/fold_0", (0,), ""),
        ("resnet_tiny/imagenet/fold_0", (1,), "--only-folds 0"),
        ("resnet_tiny/imagenet+mine/fold_0", (0,), "another network"),
        ("resnet_tiny/pretraining/imagenet+mine", (0,), "another network"),
        ("resnet_tiny/pretraining/imagenet+other", (0,), ""),
    ],
)
def test_sets_to_pre_train_on_count_as_well(place, tested, said, tmp_path):
    cells, folds = CellSet(*[None] * 7, digest="d1", name="toy"), np.array([[-1, 0, 1], [1, -1, 0]], np.int32)
    known = {"cells": "d1", "folds": digest_of(folds), "cells of mine": "d1", "cells of other": "d2"}
    (tmp_path / place / "checkpoints").mkdir(parents=True)
    write_json(tmp_path / "run.json", known)
    with warnings.catch_warnings() if not said else pytest.warns(UserWarning, match=said):
        check_unseen(str(tmp_path / place), cells, folds, tested, strict=False)
