"""SIGTERM and Ctrl-C beside training: while a fold is assessed, while pictures are drawn, and asked for twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from smrjax.files import read_json
from tests.experiments.test_kills import COMMANDS, command

ROOT = Path(__file__).parents[2]


def stopped_at(out: Path, place: Path, number: signal.Signals) -> tuple[int, str]:
    """Exit code and words of the run that is asked to stop when there is a file; it goes on where it was."""
    process = subprocess.Popen(command(COMMANDS["curve"], out), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not place.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(300), process.communicate()[1]


def test_stopped_while_a_fold_is_assessed_and_while_pictures_are_drawn(tmp_path):
    folder = tmp_path / "smr" / "run"
    # The embeddings are the first that an assessment writes.
    code, words = stopped_at(tmp_path, folder / "fold_0" / "embeddings.npz", signal.SIGTERM)
    assert code == 130, words
    assert words.strip().splitlines()[-1] == f"stopped; go on with: {read_json(folder / 'run.json')['resume']}"
    assert (folder / "fold_0" / "result.json").exists() and not (folder / "summary.json").exists()
    # What is left is a matter of seconds, and done.
    code, words = stopped_at(tmp_path, folder / "pictures" / "cells.png", signal.SIGINT)
    assert code == 0, words
    assert (folder / "summary.json").exists() and (folder / "pictures" / "learning.svg").exists()
    assert "Traceback" not in words


def test_asked_twice_it_ends_at_once():
    """Even within a library that does not come back, here a sleep that an exception could not end."""
    code = (
        "import signal, time; from experiments.runtime import leave, stop_flag\n"
        "def main():\n"
        "    with stop_flag() as asked:\n"
        "        print('in', flush=True)\n"
        "        while True:\n"
        "            try: time.sleep(60)\n"
        "            except BaseException: pass\n"
        "leave(main)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    assert process.stdout.readline() == b"in\n"
    process.send_signal(signal.SIGTERM)
    assert b"\n" == process.stderr.readline()
    assert b"asked again, at once" in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    process.communicate()
