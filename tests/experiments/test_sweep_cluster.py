"""A sweep on a Dask cluster of others, through its command: a worker that is asked to go, Ctrl-C, and on to the end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.test_sweep import FEW, ROWS, assert_same_bits, events, run_by_hand, steps_kept, worker_of

ROOT = Path(__file__).parents[2]
#: Long enough to be met in the middle.
LONGER = ("--epochs", "40")

# A few hundred cells leave the rarest class out of a fold.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler, and what starts a worker of it, in a folder that is not the sweep's."""
    pytest.importorskip("distributed", reason="needs the extra [dask]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    place = tmp_path / "elsewhere"
    place.mkdir()
    begun = []

    def start(*words: str) -> None:
        with open(place / "words", "a") as said:
            command = [sys.executable, "-m", "dask", *words]
            begun.append(subprocess.Popen(command, cwd=place, stdout=said, stderr=said))

    port = address.rpartition(":")[2]
    start("scheduler", "--host", "127.0.0.1", "--port", port, "--dashboard-address", "127.0.0.1:0")
    yield address, lambda: start("worker", address, "--nthreads", "1", "--no-dashboard")
    for process in reversed(begun):
        process.terminate()
    for process in begun:
        process.wait(60)


def until(true, process: subprocess.Popen) -> None:
    """Wait for something while the sweep runs."""
    end = time.monotonic() + 300
    while not true():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_worker_asked_to_go_then_ctrl_c_then_on_to_the_end(tmp_path, cluster):
    import psutil

    address, another_worker = cluster
    home = tmp_path / "sweeps" / "s"
    folds = {row: home / "smr" / row / "fold_0" for row in ROWS}
    for row in ROWS:
        run_by_hand(tmp_path / "by-hand", row, *LONGER)
    another_worker()
    another_worker()
    sweep = [sys.executable, "-m", "experiments.sweep", "smr-figure3", "--scheduler", address]
    words = [*sweep, "--rows", *ROWS, *FEW, *LONGER, "--out", str(tmp_path), "--name", "s"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: steps_kept(folds[ROWS[0]]), process)
    # A worker's own process is the child of the one that `dask worker` started, which is what an operator ends.
    os.kill(psutil.Process(worker_of(folds[ROWS[0]])).ppid(), signal.SIGTERM)
    until(lambda: steps_kept(folds[ROWS[1]]), process)
    kept = steps_kept(folds[ROWS[1]])
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1].endswith(f"experiments.sweep smr-figure3 --resume {home}")
    assert "/status" in out.splitlines()[0], "the dashboard's address"
    assert not (folds[ROWS[1]] / "result.json").exists() and not (home / "smr" / ROWS[1] / "summary.json").exists()
    another_worker()
    subprocess.run([*sweep, "--resume", str(home)], cwd=ROOT, check=True, capture_output=True)
    done = {one["task"]: one["from_step"] for one in events(home) if one["event"] == "done"}
    assert len(done) == 6 == sum(one["event"] == "done" for one in events(home))
    again = [(one["task"], one["reason"]) for one in events(home) if one["event"] == "again"]
    assert (f"{ROWS[0]}, fold 0", "its worker was asked to stop") in again
    assert done[f"{ROWS[0]}, fold 0"] > 0 and done[f"{ROWS[1]}, fold 0"] >= max(kept)
    for row, fold in folds.items():
        for number in (0, 1):
            assert_same_bits(fold.with_name(f"fold_{number}"), tmp_path / "by-hand" / "smr" / row / f"fold_{number}")
