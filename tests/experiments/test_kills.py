"""Runs that are killed, at any moment and many times, end as if nothing had happened."""

import os
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

from smrjax.evaluate import load_estimator
from smrjax.files import read_json

ROOT = Path(__file__).parents[2]
SMALL = ["--count", "300", "--folds", "3", "--only-folds", "0", "--image-size", "16", "--encoder", "densenet_tiny"]
SMALL += ["--per-class", "1"]
#: Each with its pictures, from the first line to the last.
COMMANDS = {
    "curve": ["smr", *SMALL, "--epochs", "2"],
    "reduced": ["smr", *SMALL, "--epochs", "3", "--loss", "reduced"],
    "guide": ["guides", *SMALL, "--epochs", "2", "--guide", "circular", "--loss", "umap"],
}


def command(words, out: Path) -> list[str]:
    experiment, *options = words
    folder = out / experiment / "run"
    how = ["--resume", str(folder)] if folder.exists() else [*options, "--out", str(out), "--name", "run"]
    return [sys.executable, "-m", f"experiments.{experiment}", *how]


def start(words, out: Path, cache: Path) -> subprocess.Popen:
    """Begin the run in ``out``, or go on with it where its folder is there."""
    around = os.environ | {"SMRJAX_CACHE": str(cache), "JAX_NUM_CPU_DEVICES": "1"}
    with open(out / "words", "a") as said:
        return subprocess.Popen(command(words, out), cwd=ROOT, env=around, stdout=said, stderr=said)


def finish(words, out: Path, cache: Path) -> Path:
    """Let the run come to its end; its folder."""
    process = start(words, out, cache)
    try:
        assert process.wait(1000) == 0, (out / "words").read_text()[-3000:]
    finally:
        process.kill()
    return out / words[0] / "run"


def arrays_of(path: Path):
    """What a file holds, as arrays or as it is, without what names no result: times, addresses in memory, commands."""
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    if path.suffix == ".skops":
        machine = vars(load_estimator(path))
        return {name: value for name, value in machine.items() if isinstance(value, (np.ndarray, float, int, str))}
    if path.name == "config.json":
        config = read_json(path)
        return config | {"run": {k: v for k, v in config["run"].items() if k not in ("out", "compile_cache")}}
    if path.name in ("run.json", "summary.json"):
        content = {k: v for k, v in read_json(path).items() if k not in ("command", "resume")}
        return content | ({"config": arrays_of(path.with_name("config.json"))} if "config" in content else {})
    return path.read_bytes()


def states(folder: Path):
    """All that Orbax can read of a folder of checkpoints: step -> arrays, log and metrics."""
    import orbax.checkpoint as ocp

    found = {}
    with ocp.PyTreeCheckpointer() as reader:
        for step in (path for path in folder.iterdir() if path.name.isdigit()):
            tree = reader.metadata(step / "state").item_metadata.tree
            plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            arrays = reader.restore(step / "state", ocp.args.PyTreeRestore(tree, plain))
            found[step.name] = arrays, read_json(step / "log" / "metadata"), read_json(step / "metrics" / "metrics")
    return found


def assert_equal_runs(one: Path, other: Path) -> int:
    """Every file of two runs holds the same; number of files compared."""

    def files(folder: Path) -> set[str]:
        own = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        # .lock says which process worked on the folder last.
        return {name for name in own if "checkpoints/" not in name and not name.endswith(".lock")}

    assert files(one) == files(other)
    for name in files(one):
        chex.assert_trees_all_equal(arrays_of(one / name), arrays_of(other / name))
    for kept in one.rglob("checkpoints"):
        mine, theirs = states(kept), states(other / kept.relative_to(one))
        assert mine and mine.keys() == theirs.keys()
        chex.assert_trees_all_equal(mine, theirs)
        assert {path.name for path in kept.iterdir()} == set(mine), "half-written states are left"
    histories = [read_json(path)["history"] for path in other.rglob("result.json")]
    assert all([row["epoch"] for row in rows] == list(range(len(rows))) for rows in histories)
    return len(files(one))


def killed(words, out: Path, cache: Path, kills: int, longest: float, seed: int) -> list[Path]:
    """Runs that were killed so many times in all, at random moments; one that got to its end is followed by another."""
    rng, runs, done = np.random.default_rng(seed), [out / "0"], 0
    runs[0].mkdir(parents=True)
    while done < kills:
        whole, begun = not (runs[-1] / words[0] / "run").exists(), time.monotonic()
        process = start(words, runs[-1], cache)
        try:
            code = process.wait(rng.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            continue
        assert code == 0, (runs[-1] / "words").read_text()[-3000:]
        # On a machine that has got quicker, later moments would hit nothing.
        longest = min(longest, time.monotonic() - begun) if whole else longest
        runs.append(out / str(len(runs)))
        runs[-1].mkdir()
    finish(words, runs[-1], cache)
    return [run / words[0] / "run" for run in runs]


def check_kills(words, out: Path, cache: Path, kills: int, seed: int = 0) -> None:
    (out / "whole").mkdir()
    begun = time.monotonic()
    # Nor does it matter whether programs are compiled or found compiled.
    whole = finish([*words, "--no-compile-cache"], out / "whole", cache)
    longest = time.monotonic() - begun
    runs = killed(words, out / "killed", cache, kills, longest, seed)
    for run in runs:
        files = assert_equal_runs(whole, run)
    print(f"\n{kills} kills within {longest:.1f} s in {len(runs)} runs, each of {files} files and equal to the first")


def test_killed_three_times_equals_undisturbed(tmp_path):
    # Pictures are for the long form.
    check_kills([*COMMANDS["curve"], "--no-pictures"], tmp_path, Path(os.environ["SMRJAX_CACHE"]), kills=3)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", COMMANDS)
def test_killed_twenty_times_equals_undisturbed(kind, tmp_path):
    check_kills(COMMANDS[kind], tmp_path, tmp_path / "cache", kills=20, seed=1)


def last_state(out: Path) -> int:
    """Step of the last whole state of the run's only fold; -1 without one."""
    places = (out / "smr" / "run" / "fold_0" / "checkpoints").glob("[0-9]*")
    return max((int(place.name) for place in places if place.name.isdigit()), default=-1)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_one_training_killed_twenty_times_in_its_epochs(tmp_path):
    """Each time once it has saved a state that was not there before, and up to some epochs later."""
    words = [*COMMANDS["curve"], "--no-pictures", "--epochs", "150", "--patience", "150"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, out = finish(words, tmp_path / "whole", tmp_path / "cache"), tmp_path / "killed"
    rng, writing, steps = np.random.default_rng(2), 0, list[int]()
    for _ in range(20):
        before, process, end = last_state(out), start(words, out, tmp_path / "cache"), time.monotonic() + 300
        while last_state(out) == before:
            assert process.poll() is None and time.monotonic() < end, (out / "words").read_text()[-3000:]
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 1))
        assert process.poll() is None, "too few epochs for so many kills"
        process.kill()
        process.wait()
        writing += any((out / "smr" / "run" / "fold_0" / "checkpoints").glob("*.orbax-checkpoint-tmp"))
        steps.append(last_state(out))
    files = assert_equal_runs(whole, finish(words, out, tmp_path / "cache"))
    print(f"\n20 kills of one run after states {steps}, {writing} while one was written; {files} files are equal")
