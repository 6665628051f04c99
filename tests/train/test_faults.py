"""Disks that fill up, folders that go away, states that are damaged: one line, and what was there stays."""

import shutil
from functools import cache

import chex
import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.files import read_arrays, read_json, write_arrays, write_json
from smrjax.train import keeping
from smrjax.train.folder import create_run
from smrjax.train.loop import Interrupted, train
from smrjax.train.state import UNWANTED, save
from tests.train import toy
from tests.train.disks import enlarge, no_file_beyond, read_only, small_disk

#: One for all of them: each compiles its programs for itself.
LEARNER = cache(toy.learner)

# Reads that fail leave others of Orbax behind, which find nobody to tell.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """State and rows of the undisturbed training, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return *train(LEARNER(), toy.cells(), toy.plan(), folder), folder


def assert_ends_as(whole, folder):
    state, rows = train(LEARNER(), toy.cells(), toy.plan(), folder)
    chex.assert_trees_all_equal(state, whole[0])
    assert rows == whole[1]


def test_a_disk_that_fills_up_while_a_state_is_written(whole, tmp_path, capfd):
    size = sum(path.stat().st_blocks * 512 for path in (whole[2] / "checkpoints").rglob("*"))
    # The first states fit, and then another file takes the room.
    with small_disk(tmp_path / "disk", "4m") as disk:

        def fill(row):
            if row["epoch"] == 0:
                with pytest.raises(OSError, match="No space"), open(disk / "other", "wb", buffering=0) as other:
                    while True:
                        other.write(bytes(4096))

        with pytest.raises(InputError, match=r"checkpoints: the state .* cannot be written \(.*--resume") as said:
            train(LEARNER(), toy.cells(), toy.plan(), disk / "run", on_epoch=fill)
        assert "\n" not in str(said.value)
        assert "Traceback" not in capfd.readouterr().err
        (disk / "other").unlink()
        enlarge(disk, f"{4 * size + 2**22}")
        assert_ends_as(whole, disk / "run")
        assert all(path.name.isdigit() for path in (disk / "run" / "checkpoints").iterdir())


def test_files_that_may_not_grow_while_a_state_is_written(tmp_path, capfd):
    with no_file_beyond(500), pytest.raises(InputError, match="checkpoints: the state .* cannot be written"):
        train(LEARNER(), toy.cells(), toy.plan(), tmp_path)
    assert "Traceback" not in capfd.readouterr().err
    # Nothing half written has the name of a state.
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]


def test_a_folder_that_is_taken_away(whole, tmp_path):
    def take_away(row):
        if row["epoch"] == 1:
            (tmp_path / "run").rename(tmp_path / "elsewhere")

    with pytest.raises(InputError, match="checkpoints: was moved or taken away"):
        train(LEARNER(), toy.cells(), toy.plan(), tmp_path / "run", on_epoch=take_away)
    # Where it is now, it goes on.
    assert_ends_as(whole, tmp_path / "elsewhere")


def test_a_folder_that_cannot_be_written(whole, tmp_path):
    create_run(tmp_path / "run", {"run.json": {"x": 1}})
    write_arrays(tmp_path / "run" / "a.npz", {"a": np.arange(3)})
    with read_only(tmp_path / "run"):
        for write in (write_json, write_arrays):
            with pytest.raises(InputError, match="run.json: cannot be written .*Read-only.*untouched"):
                write(tmp_path / "run" / "run.json", {"x": 2})
        with pytest.raises(InputError, match="Read-only"):
            train(LEARNER(), toy.cells(), toy.plan(), tmp_path / "run")
        with pytest.raises(InputError, match="Read-only.*--out"):
            create_run(tmp_path / "run" / "inner", {"run.json": {}})
    assert read_json(tmp_path / "run" / "run.json") == {"x": 1}
    assert read_arrays(tmp_path / "run" / "a.npz")["a"].tolist() == [0, 1, 2]
    assert_ends_as(whole, tmp_path / "run")


def stopped(folder, steps):
    """A training that was stopped after so many of its twelve steps."""
    done = iter(range(steps + 1))
    with pytest.raises(Interrupted):
        train(LEARNER(), toy.cells(), toy.plan(), folder, should_stop=lambda: next(done) == steps)
    return folder / "checkpoints"


def test_a_log_is_saved_as_it_was(whole, tmp_path):
    """However late it is written: a disk that is slow must not get the rows of the epochs after."""
    late = []

    class Slow:
        def save(self, step, *, args, **more):
            late.append(args)

    log = {"history": [{"epoch": 0}], "svm": {}}
    save(Slow(), whole[0], log)
    log["history"].append({"epoch": 1})
    assert late[0]["log"].item == {"history": [{"epoch": 0}], "svm": {}}


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "half an array": lambda step: truncate(max((step / "state" / "d").iterdir(), key=lambda path: path.stat().st_size)),
    "no arrays": lambda step: shutil.rmtree(step / "state"),
    "an empty log": lambda step: (step / "log" / "metadata").write_text(""),
    "no manifest": lambda step: (step / "state" / "manifest.ocdbt").unlink(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_state_falls_back_to_the_one_before(kind, whole, tmp_path):
    states = stopped(tmp_path, 10)
    assert {path.name for path in states.iterdir()} >= {"10"}
    before = sorted(int(path.name) for path in states.iterdir())[-2]
    DAMAGE[kind](states / "10")
    with pytest.warns(UserWarning, match=rf"10: cannot be read \(.*going on from step {before}"):
        assert_ends_as(whole, tmp_path)
    assert (states / "10.unreadable").is_dir()


def test_damaged_at_the_same_step_once_more(whole, tmp_path):
    states = stopped(tmp_path, 10)
    for place in (states / "10.unreadable", states / "10.unreadable-2"):
        place.mkdir()
        (place / "kept").touch()
    truncate(states / "10" / "state" / "manifest.ocdbt")
    with pytest.warns(UserWarning, match="10: cannot be read"):
        assert_ends_as(whole, tmp_path)
    assert (states / "10.unreadable" / "kept").exists() and (states / "10.unreadable-3" / "state").is_dir()


def test_a_damaged_best_state_is_said_before_the_epochs_that_are_left(tmp_path):
    """The loss is highest at first: that epoch is the best one by this score."""
    plan, asked = toy.plan(score="loss"), iter(range(99))
    with pytest.raises(Interrupted):
        train(LEARNER(), toy.cells(), plan, tmp_path, should_stop=lambda: next(asked) == 10)
    best = tmp_path / "checkpoints" / "4"
    truncate(best / "state" / "manifest.ocdbt")
    epochs = []
    with (
        pytest.warns(UserWarning, match="4: the best state so far cannot be read"),
        pytest.raises(InputError, match=r"4: cannot be read \("),
    ):
        train(LEARNER(), toy.cells(), plan, tmp_path, on_epoch=epochs.append)
    assert len(epochs) == 1


def test_without_a_good_state_nothing_is_touched(tmp_path):
    states = stopped(tmp_path, 2)
    DAMAGE["half an array"](states / "2")
    with pytest.raises(InputError, match=r"2: cannot be read \(") as said:
        train(LEARNER(), toy.cells(), toy.plan(), tmp_path)
    assert "\n" not in str(said.value)
    assert [path.name for path in states.iterdir()] == ["2"]


def test_a_state_of_another_network_is_not_put_aside(tmp_path):
    states = stopped(tmp_path, 2)
    learner = toy.learner(toy.method(pull="reduced", reducer={"steps": 3}))
    with pytest.raises(InputError, match="cannot be read"):
        train(learner, toy.cells(), toy.plan(), tmp_path)
    assert [path.name for path in states.iterdir()] == ["2"]


def test_damaged_figures_of_a_state_are_said(tmp_path):
    states = stopped(tmp_path, 2)
    (states / "2" / "metrics" / "metrics").write_text("{")
    with pytest.raises(InputError, match="checkpoints: its states cannot be opened"):
        train(LEARNER(), toy.cells(), toy.plan(), tmp_path)


def test_what_a_killed_process_left_of_a_state_is_taken_away(whole, tmp_path):
    states = stopped(tmp_path, 10)
    (states / "10").rename(states / "10.orbax-checkpoint-tmp")
    shutil.rmtree(states / "10.orbax-checkpoint-tmp" / "log")
    assert_ends_as(whole, tmp_path)
    assert all(path.name.isdigit() for path in states.iterdir())


def test_killed_while_a_state_is_deleted(whole, tmp_path):
    """What is left of it is no state, and goes with the next one."""
    states = stopped(tmp_path, 10)
    (states / UNWANTED / "2").mkdir(parents=True)
    (states / UNWANTED / "2" / "half").touch()
    assert_ends_as(whole, tmp_path)
    assert {path.name for path in states.iterdir()} == {path.name for path in (whole[2] / "checkpoints").iterdir()}


def test_states_go_in_one_step(tmp_path, monkeypatch):
    """As from a process that is killed before it has deleted anything: each is whole or has no name of a state."""
    monkeypatch.setattr(keeping, "take_away_unwanted", lambda folder: None)
    train(LEARNER(), toy.cells(), toy.plan(epochs=4), tmp_path)
    states = tmp_path / "checkpoints"
    gone = {path.name for path in (states / UNWANTED).iterdir()}
    kept = {path.name for path in states.iterdir() if path.name.isdigit()}
    assert gone and gone | kept == {"4", "8", "12", "16"} and not gone & kept
    for name in gone:
        assert (states / UNWANTED / name / "state").is_dir() and (states / UNWANTED / name / "log").is_dir()
