"""The command line in several processes: it finds the others, one of them writes, all say the same fault."""

import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from experiments import smr
from experiments.config import to_json
from experiments.rendezvous import ProcessOptions, digest_of_options, join
from smrjax.errors import InputError
from smrjax.files import read_flat, read_json
from tests.train.test_processes import free_port

SMALL = ["--count", "300", "--folds", "3", "--only-folds", "0", "--epochs", "1", "--image-size", "32", "--no-pictures"]
SMALL += ["--encoder", "densenet_tiny", "--no-compile-cache"]


def run(folder, *, words, surroundings):
    """``experiments.smr`` in as many processes as there are surroundings: exit codes, and what each said."""
    new = [] if "--resume" in words[0] else ["--out", str(folder), "--name", "run"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "experiments.smr", *new, *own],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "1", "SMRJAX_CACHE": str(folder / "cache")} | around,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own, around in zip(words, surroundings, strict=True)
    ]
    said = [one.communicate(timeout=300) for one in running]
    return [one.returncode for one in running], said


def is_free(port):
    with socket.socket() as some:
        return some.connect_ex(("127.0.0.1", port)) != 0


def launched_by_slurm():
    """What srun tells each of two tasks; JAX makes the port of the job's number."""
    port = next(port for port in range(61440, 65536) if is_free(port))
    common = {"SLURM_JOB_ID": str(port - 61440), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    common |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    return [common | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in range(2)]


def test_under_srun_two_processes_train_what_one_trains(tmp_path):
    codes, said = run(tmp_path, words=[SMALL] * 2, surroundings=launched_by_slurm())
    assert codes == [0, 0], said
    alone, words = run(tmp_path / "alone", words=[SMALL], surroundings=[{}])
    assert alone == [0], words
    # Process 0 says and writes everything.
    assert "macro-F" in said[0][0] and "macro-F" not in said[1][0] and "step" not in said[1][1]
    folders = [one / "smr" / "run" for one in (tmp_path, tmp_path / "alone")]
    assert {p.name for p in folders[0].iterdir()} == {p.name for p in folders[1].iterdir()}
    found, wanted = (read_flat(one / "fold_0" / "embeddings.npz") for one in folders)
    np.testing.assert_allclose(found["embeddings"], wanted["embeddings"], atol=2e-4)
    first, second = (read_json(one / "fold_0" / "result.json")["history"][0] for one in folders)
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("what", "others"),
    [
        ("options", ["--learning-rate", "0.5"]),
        pytest.param("cells", ["--render-seed", "1", "--count", "400"], marks=pytest.mark.soak),
    ],
)
def test_processes_that_are_not_alike_are_told_apart_before_anything_is_written(tmp_path, what, others):
    where = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process-id"]
    words = [[*SMALL, *where, "0"], [*SMALL, *where, "1", *others]]
    codes, said = run(tmp_path, words=words, surroundings=[{}, {}])
    assert codes == [2, 2]
    for _, errors in said:
        assert f"error: process 1: the {what} are not those of process 0" in errors and "Traceback" not in errors
    assert not (tmp_path / "smr").exists()


@pytest.mark.soak
def test_pictures_and_explanations_are_drawn_by_one_and_a_fault_there_is_said_by_all(tmp_path):
    def both(*words):
        where = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process-id"]
        return run(tmp_path, words=[[*words, *where, str(i)] for i in range(2)], surroundings=[{}, {}])

    drawn = [word for word in SMALL if word != "--no-pictures"]
    codes, said = both(*drawn, "--explain")
    assert codes == [0, 0], said
    folder = tmp_path / "smr" / "run"
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert {"learning.svg", "confusion.svg", "explained.png", "explained_neutrophil_older.png"} <= names
    assert str(folder / "pictures" / "learning.png") in said[0][0].splitlines()
    # Something is in the way of the pictures.
    shutil.rmtree(folder / "pictures")
    (folder / "pictures").touch()
    (folder / "summary.json").unlink()
    codes, said = both("--resume", str(folder))
    assert codes == [2, 2]
    assert f"error: {folder / 'pictures'}: File exists" in said[0][1] and "Traceback" not in said[0][1]
    assert "error: process 0: FileExistsError" in said[1][1] and not (folder / "summary.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coordinator": "node1"}, "HOST:PORT"),
        ({"coordinator": "node1:99999", "processes": 2, "process_id": 0}, "HOST:PORT"),
        ({"coordinator": "node1:1234", "process_id": 0}, "--processes 0"),
        ({"coordinator": "node1:1234", "processes": 2}, "--process-id -1: give 0 to 1"),
        ({"coordinator": "node1:1234", "processes": 2, "process_id": 2}, "--process-id 2"),
        ({"processes": 2}, "need --coordinator"),
        ({"coordinator": "auto", "processes": 2}, "need --coordinator HOST:PORT"),
    ],
)
def test_options_that_do_not_fit_together(options, words):
    with pytest.raises(InputError, match=words):
        join(ProcessOptions(**options))


def test_options_that_every_process_must_have_alike():
    config = to_json(smr.Config())

    def digest(block, **changes):
        return digest_of_options(config | {block: config[block] | changes})

    own = digest("run")
    # Where things are on a machine is its own affair; all else is not, the order of the processes' training included.
    assert digest("data", data="/elsewhere/cells") == digest("run", out="b", name="c") == own
    assert digest("together", process_id=1) == own != digest("together", processes=2)
    changed = [
        digest("data", only_folds=[1]),
        digest("train", epochs=9),
        digest("smr", alpha=0.9),
        digest("run", tta=True),
    ]
    assert len({own, *changed}) == 5


def test_a_launcher_that_does_not_say_where_its_processes_meet(monkeypatch):
    """As Open MPI 5, which no longer sets what JAX looks for."""
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"mpirun started 2 .*--processes 2 --process-id \$OMPI_COMM_WORLD_RANK"):
        join(ProcessOptions())
    # Each by itself: nobody is waited for.
    join(ProcessOptions("none"))


def test_a_process_0_that_does_not_come_is_said():
    port = free_port()
    with pytest.raises(InputError, match=f"127.0.0.1:{port}: process 0 does not answer there after 0 s"):
        join(ProcessOptions(f"127.0.0.1:{port}", 2, 1), patience=0)
