"""One training in several processes: what one process of one device does, and all of them agree."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smrjax.files import read_flat, write_arrays
from smrjax.train.loop import Interrupted, train
from tests.train import toy
from tests.train.one_process import PLAN, STEPS


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


def start(what: str, folder: Path, *, processes: int, devices: int) -> None:
    """Run `tests.train.one_process` as often, each with as many devices, and wait."""
    folder.mkdir(exist_ok=True)
    port, env = free_port(), os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    words = [sys.executable, "-m", "tests.train.one_process", what, str(folder), str(processes)]
    running = [
        subprocess.Popen([*words, str(i), str(port)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for i in range(processes)
    ]
    said = [one.communicate(timeout=300)[0].decode() for one in running]
    assert [one.returncode for one in running] == [0] * processes, "\n".join(said)


def here(folder: Path, devices: int, **more) -> Path:
    """The same training in this process."""
    state, rows = train(
        toy.learner(devices=devices, steps=2 * STEPS), toy.cells(), toy.plan(**PLAN), folder / "run", **more
    )
    write_arrays(folder / "state-0.npz", vars(state))
    (folder / "rows-0.json").write_text(json.dumps(rows))
    return folder


def assert_agree(folder: Path, reference: Path) -> None:
    """Losses, scores and the whole state after the last step, each array within 1e-5 of its norm."""
    found, wanted = (read_flat(one / "state-0.npz") for one in (folder, reference))
    assert found.keys() == wanted.keys() and int(found["step"]) == int(wanted["step"]) == STEPS
    for name, array in wanted.items():
        size = np.linalg.norm(array.astype(np.float64))
        assert np.linalg.norm(found[name].astype(np.float64) - array) <= 1e-5 * size + 1e-12, name
    rows, expected = (json.loads((one / "rows-0.json").read_text()) for one in (folder, reference))
    for row, other in zip(rows, expected, strict=True):
        for name in ("loss", "loss/triplet", "loss/pull abc", "macro_f1", "validation_accuracy"):
            assert row[name] == pytest.approx(other[name], rel=1e-5), name


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """20 steps in one process on one device."""
    folder = here(tmp_path_factory.mktemp("alone"), 1)
    assert len(json.loads((folder / "rows-0.json").read_text())) * 4 == STEPS
    return folder


def test_two_devices_do_what_one_does(alone, tmp_path):
    assert_agree(here(tmp_path, 2), alone)


@pytest.mark.parametrize("devices", [1, 2])
def test_two_processes_do_what_one_does(alone, tmp_path, devices):
    start("training", tmp_path, processes=2, devices=devices)
    assert_agree(tmp_path, alone)
    # Nothing has drifted apart between the processes.
    first, second = (read_flat(tmp_path / f"state-{i}.npz") for i in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    assert (tmp_path / "rows-0.json").read_text() == (tmp_path / "rows-1.json").read_text()
    assert_each_does_its_part(tmp_path)


def assert_each_does_its_part(folder: Path) -> None:
    """Of two processes: half of every batch is read by each, embeddings are sent once a refit, one writes."""
    work = [json.loads((folder / f"work-{i}.json").read_text()) for i in range(2)]
    cells, plan = toy.cells(), toy.plan(**PLAN)
    y = cells.labels[cells.train]
    epochs = [plan.batches(y, steps=plan.steps, seed=plan.seed, epoch=epoch) for epoch in range(plan.epochs)]
    batches = [cells.train[batch].tolist() for epoch in epochs for batch in epoch]
    assert len(batches) == STEPS
    assert [first + second for first, second in zip(work[0]["read"], work[1]["read"], strict=True)] == batches
    assert {len(part) for one in work for part in one["read"]} == {8}
    # Before the first epoch for the first refit; after each for the next one, and for the score of the validation part.
    assert [len(one["sent"]) for one in work] == [1 + 2 * plan.epochs] * 2
    assert not (folder / "run-1").exists()


def test_a_training_moves_from_two_devices_to_two_processes_and_to_one_device(alone, tmp_path):
    steps, begun = iter(range(100)), tmp_path / "begun"
    with pytest.raises(Interrupted):
        here(begun, 2, should_stop=lambda: next(steps) == 7)
    for place in ("processes", "one"):
        shutil.copytree(begun, tmp_path / place)
    start("training", tmp_path / "processes", processes=2, devices=1)
    assert_agree(tmp_path / "processes", alone)
    assert_agree(here(tmp_path / "one", 1), alone)


def test_a_wish_to_stop_in_one_process_stops_all_at_the_same_step(alone, tmp_path):
    start("stopped", tmp_path, processes=2, devices=1)
    assert [(tmp_path / f"error-{i}.txt").read_text() for i in range(2)] == ["Interrupted"] * 2
    assert "6" in os.listdir(tmp_path / "run" / "checkpoints")
    assert_agree(here(tmp_path, 1), alone)


def test_every_process_reads_what_another_run_has_trained_and_begins_with_the_same(alone, tmp_path):
    shutil.copytree(alone / "run", tmp_path / "run")
    start("transferred", tmp_path, processes=2, devices=1)
    first, second = (read_flat(tmp_path / f"encoder-{i}.npz") for i in range(2))
    trained = read_flat(alone / "state-0.npz")
    assert {name for name in first if "stem" in name}
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
        if "stem" in name:
            own = name.replace("params/", "params/encoder/")
            np.testing.assert_array_equal(array, trained[own])
    # Whatever the others made of it, all begin with what process 0 has.
    first, second = (read_flat(tmp_path / f"state-{i}.npz") for i in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_what_processes_say_to_one_another(tmp_path):
    start("words", tmp_path, processes=2, devices=1)
    first, second = (json.loads((tmp_path / f"heard-{i}.json").read_text()) for i in range(2))
    assert [first.pop("no fault"), second.pop("no fault")] == [0, 1]
    surprises = ("surprise of the first", "surprise of the second")
    heard = [[one.pop(name) for name in surprises] for one in (first, second)]
    assert first == second
    assert first["told"] == {"from": 0, "third": 1 / 3} and first["long"] == 1 << 25
    assert (first["nobody"], first["somebody"]) == (False, True)
    assert first["shown"] == {
        "f": ["float64", 1 / 3],
        "h": ["float16", [0, 0, 0]],
        "none": ["float64", []],
        "b": ["bool", True],
    }
    assert first["gathered"] == [[[0] * 3] * 2, [[1] * 3] * 2]
    assert first["fault of the first"] == "InputError, a fault in 0"
    assert first["fault of the second"] == "InputError, process 1: a fault in 1"
    assert first["fault of both"] == "InputError, a fault in 0"
    # Nobody waits for one that has failed, whatever it was, which it says itself.
    own, others = "ZeroDivisionError, division by zero", "InputError, {}ZeroDivisionError: division by zero"
    assert heard == [[own, others.format("process 1: ")], [others.format("process 0: "), own]]
    assert "process 1: the cells are not those of process 0" in first["other cells"]
