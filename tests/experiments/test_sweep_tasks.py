"""What workers do of the guides and of the training strategies is what their experiments do by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import strategies, strategies_options, sweep_strategies
from experiments.runtime import leave
from experiments.strategies_options import StrategyOptions
from experiments.sweep_rows import SWEEPS, Sweep
from smrjax.files import read_json
from tests.experiments.test_strategies import cell_folder
from tests.experiments.test_sweep import assert_same_bits, call, events

# A few hundred cells leave the rarest class out of a fold.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.soak
def test_a_row_of_the_guides(tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="needs the extra [dask]")
    few = ["--count", "360", "--folds", "3", "--only-folds", "0", "--image-size", "16", "--encoder", "densenet_tiny"]
    few += ["--per-class", "1", "--epochs", "1", "--devices", "1", "--no-pictures", "--out", str(tmp_path)]
    home = tmp_path / "sweeps" / "s"
    words = ["guides-figure5", "--rows", "tml", "circular-distance", *few, "--jobs", "2", "--name", "s"]
    assert call(monkeypatch, words) == 0
    table = capsys.readouterr().out.partition("| method")[2]
    assert "TML" in table and "circular, distance loss" in table
    assert [one["task"] for one in sorted(events(home), key=lambda one: one["task"]) if one["event"] == "done"] == [
        "circular-distance, fold 0",
        "circular-distance, summary",
        "tml, fold 0",
        "tml, summary",
    ]
    by_hand = [sys.executable, "-m", "experiments.guides", "--guide", "circular", "--loss", "distance", *few]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([*by_hand, "--name", "by-hand"], check=True, env=environment, capture_output=True)
    folder = home / "guides" / "all"
    for row in ("tml", "circular-distance"):
        assert_same_bits(folder / row / "fold_0", tmp_path / "guides" / "by-hand" / row / "fold_0")
    # Another matrix draws other guides: what is there no longer fits.
    run = read_json(folder / "run.json")
    assert run["command"].startswith("python -m experiments.sweep guides-figure5 --rows")
    (folder / "run.json").write_text((folder / "run.json").read_text().replace(run["guides"], "0" * 64))
    (folder / "circular-distance" / "fold_0" / "result.json").unlink()
    assert call(monkeypatch, ["guides-figure5", "--resume", str(home), "--jobs", "1"]) == 2
    assert "the guides are no longer those the run began with" in capsys.readouterr().err


@pytest.mark.soak
def test_rows_of_table_4(tmp_path, monkeypatch, capsys):
    dask = pytest.importorskip("dask", reason="needs the extra [dask]")
    cells, other = cell_folder(tmp_path / "cells", ("A", "B", "C"), 0), cell_folder(tmp_path / "other", ("X", "Y"), 1)
    # The table's own networks take hours.
    small = {"TABLE4_ENCODERS": ("resnet_tiny",), "TABLE4_INITS": ("random", "cd", "nowhere")}
    rows = {f"resnet_tiny/{init}": {"encoder": ("resnet_tiny",), "init": (init,)} for init in small["TABLE4_INITS"]}
    for name, value in small.items():
        monkeypatch.setattr(strategies_options, name, value)
    monkeypatch.setitem(SWEEPS, "bm-table4", Sweep("strategies", rows))
    in_workers = ["from experiments import strategies_options"]
    in_workers += [f"strategies_options.{name} = {value!r}" for name, value in small.items()]
    words = ["--data", str(cells), "--pretrain", f"cd={other}", "--image-size", "16", "--epochs", "1"]
    words += ["--batch", "8", "--lr-steps", "10", "--folds", "3", "--only-folds", "1", "--no-pictures"]
    words += ["--no-compile-cache", "--devices", "1", "--out", str(tmp_path)]
    with dask.config.set({"distributed.worker.preload": ["\n".join(in_workers)]}):
        assert call(monkeypatch, ["bm-table4", *words, "--jobs", "2", "--name", "s"]) == 0
    said = capsys.readouterr().err
    # The row without data is left out, and said.
    assert "warning: left out: resnet_tiny, nowhere" in said
    home = tmp_path / "sweeps" / "s"
    after = {one["name"]: tuple(one["after"]) for one in read_json(home / "sweep.json")["tasks"]}
    assert after == {
        "resnet_tiny/random, learning rate": (),
        "resnet_tiny/random, fold 1": ("resnet_tiny/random, learning rate",),
        "resnet_tiny/pretraining/cd": (),
        "resnet_tiny/cd, learning rate": ("resnet_tiny/pretraining/cd",),
        "resnet_tiny/cd, fold 1": ("resnet_tiny/cd, learning rate",),
        "tables": tuple(name for name in after if name != "tables"),
    }
    done = [one["task"] for one in events(home) if one["event"] == "done"]
    assert sorted(done) == sorted(after) and all(
        done.index(name) > done.index(one) for name in after for one in after[name]
    )
    monkeypatch.setattr(sys, "argv", ["strategies", "--table4", *words, "--name", "by-hand"])
    leave(strategies.main)
    found, wanted = (
        read_json(one / "strategies" / name / "summary.json") for one, name in ((home, "table4"), (tmp_path, "by-hand"))
    )
    assert found["rows"] == wanted["rows"] and len(found["rows"]) == 2
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
