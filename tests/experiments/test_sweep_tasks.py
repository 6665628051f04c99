"""What workers do of the guides and of the training strategies is what their experiments do by hand."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import guides, strategies, strategies_options, sweep_guides, sweep_strategies
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.prepare import prepare
from experiments.runtime import leave
from experiments.strategies_options import Config, RecipeOptions, StrategyOptions
from experiments.sweep_rows import SWEEPS
from experiments.sweep_tasks import left_of
from smrjax.errors import InputError
from smrjax.files import read_flat, read_json
from tests.experiments.test_strategies import cell_folder

# A few hundred cells leave the rarest class out of a fold.
pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")


def never() -> bool:
    return False


@pytest.mark.soak
def test_a_row_of_the_guides(tmp_path):
    config = guides.Config(
        data=DataOptions(count=360, folds=3, only_folds=(0,), image_size=16),
        encoder=EncoderOptions(encoder="densenet_tiny"),
        train=TrainOptions(epochs=1, per_class=1, devices=1),
        run=RunOptions(pictures=False, compile_cache=False),
    )
    rows = {name: SWEEPS["guides-figure5"].rows[name] for name in ("tml", "circular-distance")}
    tasks = sweep_guides.begin(config, rows, tmp_path, "the command")
    assert [one.name for one in left_of(tasks)] == [
        "tml, fold 0",
        "tml, summary",
        "circular-distance, fold 0",
        "circular-distance, summary",
    ]
    folder = tmp_path / "guides" / "all"
    assert read_json(folder / "run.json")["command"] == "the command"
    for one in tasks[2:]:
        sweep_guides.do(one, never)
    assert left_of(tasks) == tasks[:2]
    # By hand, in another folder.
    prepared = prepare(config, lambda taxonomy: guides.baseline(config, taxonomy))
    places = guides.lay_out(replace(config, guides=guides.GuideOptions(guide=("circular",))), prepared.taxonomy)
    other = tmp_path / "by-hand"
    other.mkdir()
    for file in ("config.json", "run.json"):
        (other / file).write_bytes((folder / file).read_bytes())
    guides.run_one(config, prepared, other, "circular-distance", ("circular", "distance"), places)
    ours, theirs = (one / "circular-distance" for one in (folder, other))
    assert read_json(ours / "fold_0" / "result.json") == read_json(theirs / "fold_0" / "result.json")
    found, wanted = (read_flat(one / "fold_0" / "embeddings.npz") for one in (ours, theirs))
    np.testing.assert_array_equal(found["embeddings"], wanted["embeddings"])
    assert read_json(ours / "summary.json")["title"] == "circular, distance loss"
    # Another matrix draws other guides: what is there no longer fits.
    run = read_json(folder / "run.json")
    (folder / "run.json").write_text((folder / "run.json").read_text().replace(run["guides"], "0" * 64))
    with pytest.raises(InputError, match="the guides are no longer those the run began with"):
        sweep_guides.do(tasks[2], never)


@pytest.mark.soak
def test_rows_of_table_4(tmp_path, monkeypatch):
    cells, other = cell_folder(tmp_path / "cells", ("A", "B", "C"), 0), cell_folder(tmp_path / "other", ("X", "Y"), 1)
    monkeypatch.setattr(strategies_options, "TABLE4_ENCODERS", ("resnet_tiny",))
    monkeypatch.setattr(strategies_options, "TABLE4_INITS", ("random", "cd", "nowhere"))
    words = ["--table4", "--data", str(cells), "--pretrain", f"cd={other}", "--image-size", "16", "--epochs", "1"]
    words += ["--batch", "8", "--lr-steps", "10", "--folds", "3", "--only-folds", "1", "--no-pictures"]
    words += ["--no-compile-cache", "--devices", "1", "--out", str(tmp_path), "--name", "by-hand"]
    monkeypatch.setattr(sys, "argv", ["strategies", *words])
    leave(strategies.main)
    config = Config(
        strategy=StrategyOptions(pretrain=(f"cd={other}",)),
        data=DataOptions(data=str(cells), image_size=16, folds=3, only_folds=(1,)),
        recipe=RecipeOptions(epochs=1, batch=8, lr_steps=10, devices=1),
        run=RunOptions(pictures=False, compile_cache=False),
    )
    names = [f"resnet_tiny/{init}" for init in ("random", "cd", "nowhere")]
    tasks = sweep_strategies.begin(config, dict.fromkeys(names, {}), tmp_path / "sweep", "the command")
    after = {one.name: one.after for one in tasks}
    assert after == {
        "resnet_tiny/random, learning rate": (),
        "resnet_tiny/random, fold 1": ("resnet_tiny/random, learning rate",),
        "resnet_tiny/pretraining/cd": (),
        "resnet_tiny/cd, learning rate": ("resnet_tiny/pretraining/cd",),
        "resnet_tiny/cd, fold 1": ("resnet_tiny/cd, learning rate",),
        "tables": tuple(one.name for one in tasks[:-1]),
    }
    for one in tasks:
        sweep_strategies.do(one, never)
    assert not left_of(tasks)
    found, wanted = (
        read_json(one / "strategies" / name / "summary.json")
        for one, name in ((tmp_path / "sweep", "table4"), (tmp_path, "by-hand"))
    )
    assert found["rows"] == wanted["rows"] and len(found["rows"]) == 2
    # The row without data is left out, and said.
    assert list(found["left_out"]) == ["resnet_tiny, nowhere"]


def test_pre_trainings_are_done_once_and_in_order(tmp_path):
    rows = strategies_options.rows_of(
        StrategyOptions(encoder=("vgg19_bn",), init=("imagenet+cd", "imagenet+cd+pcam", "random"))
    )
    tasks = sweep_strategies.tasks_of(Path(tmp_path), rows, (0, 1, 2))
    before = {one.name: one.after for one in tasks}
    assert [name for name in before if "pretraining" in name] == [
        "vgg19_bn/pretraining/imagenet+cd",
        "vgg19_bn/pretraining/imagenet+cd+pcam",
    ]
    assert before["vgg19_bn/pretraining/imagenet+cd+pcam"] == ("vgg19_bn/pretraining/imagenet+cd",)
    assert before["vgg19_bn/random, learning rate"] == ()
    assert len(tasks) == 2 + 3 * (1 + 3) + 1 and tasks[-1].anyway
