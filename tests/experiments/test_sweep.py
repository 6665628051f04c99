"""Sweeps: the papers' rows; folds on workers that are killed end as if nothing had happened, and none is done twice."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments import guides, guides_options, smr, strategies_options, sweep
from experiments.config import parse
from experiments.guides import variants
from experiments.runtime import leave
from experiments.strategies_options import StrategyOptions, rows_of
from experiments.sweep_rows import SWEEPS
from smrjax.errors import InputError
from smrjax.files import read_flat, read_json

# A few hundred cells leave the rarest class out of a fold; workers that are killed leave a semaphore behind.
pytestmark = pytest.mark.filterwarnings("default")

FEW = ["--count", "360", "--folds", "3", "--only-folds", "0", "1", "--image-size", "16", "--encoder", "densenet_tiny"]
FEW += ["--per-class", "1", "--epochs", "2", "--no-pictures"]
ROWS = ("tml", "fixed-uniform-normal")


def test_the_rows_are_those_of_the_papers():
    # SMR, Figure 3: 3 curves x 2 targets x 4 losses, and TML; GUIDES, Figure 5: 11 guides x 2 losses, and TML.
    assert {name: len(one.rows) for name, one in SWEEPS.items()} == {
        "smr-figure3": 25,
        "guides-figure5": 23,
        "bm-table4": 25,
    }
    differing = [tuple(changes.items()) for changes in SWEEPS["smr-figure3"].rows.values()]
    assert len(set(differing)) == 25


def test_every_row_of_figure_3_is_a_command_of_smr():
    for row, changes in SWEEPS["smr-figure3"].rows.items():
        words = [word for name, value in changes.items() for word in (f"--{name}", value)]
        config = smr.resolved(parse(smr.Config, smr.PRESETS, words, prog="smr", text=""))
        assert {name: getattr(config.smr, name) for name in changes} == changes, row
        # The paper's weights: 0.2, and 0.6 in the reduced space.
        assert config.smr.alpha == (0.6 if "reduced" in changes.get("loss", "") else 0.2)


def test_rows_of_the_guides_and_of_table_4_are_what_their_experiments_run():
    names = [guides.name_of(one) for one in guides.guides_of(guides_options.GuideOptions(all=True))]
    every = variants(guides_options.Config(guides=guides_options.GuideOptions(all=True)), names)
    assert set(every) == set(SWEEPS["guides-figure5"].rows)
    table = strategies_options.resolved(strategies_options.Config(strategy=StrategyOptions(table4=True)))
    assert {row.folder for row in rows_of(table.strategy)} == set(SWEEPS["bm-table4"].rows)
    for row, changes in SWEEPS["bm-table4"].rows.items():
        assert [one.folder for one in rows_of(StrategyOptions(**changes))] == [row]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["figure9"], "figure9: there is no such sweep; choose from smr-figure3"),
        (["smr-figure3", "--rows", "tml", "nothing"], "--rows nothing: there is no such row; there are tml, fixed-"),
        (["smr-figure3", "--curve", "svd"], "--curve is what the rows of smr-figure3 differ in; choose by --rows"),
        (["smr-figure3", "--resume", "x", "--epochs", "3"], "--resume takes all options"),
        (["smr-figure3", "--coordinator", "a:1"], "--coordinator is for one training"),
        (["smr-figure3", "--jobs", "-1"], "--jobs -1"),
    ],
)
def test_options_that_no_sweep_can_work_with(words, said, capsys, monkeypatch):
    assert call(monkeypatch, words) == 2
    assert said in capsys.readouterr().err


def test_a_name_that_is_taken(tmp_path):
    home = sweep.new_home(tmp_path, "s")
    assert home == tmp_path / "sweeps" / "s" and not home.exists()
    home.mkdir(parents=True)
    with pytest.raises(InputError, match=r"s: a sweep of this name was ended while its runs were made.*delete it"):
        sweep.new_home(tmp_path, "s")
    (home / "sweep.json").touch()
    with pytest.raises(InputError, match=r"s: there is a sweep of this name; .* go on with it by --resume"):
        sweep.new_home(tmp_path, "s")
    for name in ("../s", "a/b", "."):
        with pytest.raises(InputError, match="give a plain name"):
            sweep.new_home(tmp_path, name)


def call(monkeypatch, words) -> int:
    """Exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["sweep", *words])
    try:
        leave(sweep.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def events(home: Path) -> list[dict]:
    return [json.loads(line) for line in (home / "log.jsonl").read_text().splitlines()]


def steps_kept(fold: Path) -> list[int]:
    """Steps of the states that are on the disk."""
    place = fold / "checkpoints"
    return [int(path.name) for path in place.iterdir() if path.name.isdigit()] if place.is_dir() else []


def worker_of(fold: Path) -> int:
    """The process that works on a fold."""
    return int((fold / ".lock").read_text().rsplit(" ", 1)[1])


class Killer(threading.Thread):
    """Kills a process that works on one of the folds, as often as it is told.

    Attributes:
        kept: Step of the last state of each fold whose process was killed, in turn; 0 where there was none.
    """

    def __init__(self, folds: list[Path], *, times: int, patience: Callable[[], float] | None = None) -> None:
        """Kill after so many seconds of work; without ``patience`` once there is a state to go on from."""
        super().__init__(daemon=True)
        self.folds, self.times, self.patience, self.kept = folds, times, patience, list[int]()

    def run(self) -> None:
        while len(self.kept) < self.times:
            at_work = [fold for fold in self.folds if is_at_work(fold) and (self.patience or steps_kept(fold))]
            if at_work and self.patience:
                time.sleep(self.patience())
            # What ended or died meanwhile is no longer killed.
            for fold in [fold for fold in at_work if is_at_work(fold)][:1]:
                self.kept.append(max(steps_kept(fold), default=0))
                os.kill(worker_of(fold), signal.SIGKILL)
                random.Random(len(self.kept)).shuffle(self.folds)
            time.sleep(0.01)


def is_at_work(fold: Path) -> bool:
    """Whether the process that took a fold last is alive and has not ended it."""
    # It comes with Dask.
    import psutil

    try:
        return not (fold / "result.json").exists() and psutil.Process(worker_of(fold)).status() != psutil.STATUS_ZOMBIE
    except (OSError, IndexError, psutil.NoSuchProcess):
        return False


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory) -> Path:
    """A fold of the baseline in a process of its own, with as many threads as a worker has."""
    out = tmp_path_factory.mktemp("by-hand")
    run_by_hand(out, "tml", "--only-folds", "0")
    return out / "smr" / "tml" / "fold_0"


def run_by_hand(out: Path, row: str, *more: str) -> None:
    changes = SWEEPS["smr-figure3"].rows[row]
    words = [*FEW, *(word for name, value in changes.items() for word in (f"--{name}", value)), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "experiments.smr", *words, "--out", str(out), "--name", row]
    subprocess.run(command, check=True, env=environment, capture_output=True)


def assert_same_bits(fold: Path, other: Path) -> None:
    """All arrays, metrics of all epochs and scores of a fold."""
    found, wanted = (read_flat(one / "embeddings.npz") for one in (fold, other))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert read_json(fold / "result.json") == read_json(other / "result.json")
    assert (fold / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()


def test_a_sweep_whose_worker_is_killed_ends_like_a_run_by_hand(tmp_path, by_hand, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="needs the extra [dask]")
    home = tmp_path / "sweeps" / "s"
    fold = home / "smr" / "tml" / "fold_0"
    killer = Killer([fold], times=1)
    killer.start()
    words = ["smr-figure3", "--rows", *ROWS, *FEW, "--jobs", "2", "--out", str(tmp_path), "--name", "s"]
    assert call(monkeypatch, words) == 0
    out, said = capsys.readouterr()
    # First of all, where to watch it; then one line that is written anew.
    assert re.match(r"scheduler tcp://127\.0\.0\.1:\d+, dashboard http://127\.0\.0\.1:\d+/status\n", out)
    lines = [line for line in said.split("\r") if line.startswith("smr-figure3: ")]
    counts = [re.match(r"smr-figure3: (\d) done of 6(.*) \[\d\d:\d\d, .* left\]", line).groups() for line in lines]
    assert counts[0][0] == "0" and counts[-1] == ("6", ", 0 failed")
    assert counts == sorted(counts, key=lambda one: one[0]) and "2 running, 0 failed" in {one[1][2:] for one in counts}
    table = out.partition("| method")[2]
    assert "TML" in table and "fixed curve" in table
    done = [one for one in events(home) if one["event"] == "done"]
    steps = {one["task"]: one["from_step"] for one in done}
    # Two folds and a summary of each row, none of them twice.
    assert len(done) == len(steps) == 6
    assert [one["reason"] for one in events(home) if one["event"] == "again"] == ["its worker died"]
    # Gone on with from the state that was there, not anew.
    assert steps.pop("tml, fold 0") >= killer.kept[0] > 0 and set(steps.values()) == {0}
    assert_same_bits(fold, by_hand)
    before = events(home)
    moved = home.rename(tmp_path / "moved")
    assert call(monkeypatch, ["smr-figure3", "--resume", str(moved)]) == 0
    assert events(moved) == before
    assert capsys.readouterr().out.partition("| method")[2].replace(str(moved), str(home)) == table


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_six_kills_at_random_moments(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra [dask]")
    home, longer = tmp_path / "sweeps" / "s", ("--epochs", "30")
    for row in ROWS:
        run_by_hand(tmp_path / "by-hand", row, *longer)
    folds = [home / "smr" / row / f"fold_{fold}" for row in ROWS for fold in (0, 1)]
    moments = random.Random(0)
    killer = Killer(list(folds), times=6, patience=lambda: moments.uniform(0, 6))
    killer.start()
    words = ["smr-figure3", "--rows", *ROWS, *FEW, *longer, "--jobs", "2", "--retries", "6"]
    assert call(monkeypatch, [*words, "--out", str(tmp_path), "--name", "s"]) == 0
    assert len(killer.kept) == 6
    again = [one["reason"] for one in events(home) if one["event"] == "again"]
    assert again == ["its worker died"] * 6
    done = [one["task"] for one in events(home) if one["event"] == "done"]
    assert len(done) == len(set(done)) == 6
    for fold in folds:
        assert_same_bits(fold, tmp_path / "by-hand" / "smr" / fold.parent.name / fold.name)
    print("states at the kills:", killer.kept)
