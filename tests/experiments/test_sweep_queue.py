"""How tasks are handed out: what is done again, what waits, what fails, what is left undone; no training at all."""

import json
import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import cluster
from experiments.sweep_tasks import Task, from_json, left_of, of_run, to_json
from smrjax.errors import InputError
from smrjax.train.folder import InUse, locked
from smrjax.train.loop import Interrupted
from tests.experiments.test_sweep import call

distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")

from experiments import sweep_client, sweep_queue, sweep_worker  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")


@contextmanager
def workers_here(count: int):
    """A client of workers in this process, which know what a test makes of the experiments."""
    where = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(n_workers=count, threads_per_worker=1, **where) as here,
        distributed.Client(here) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    with workers_here(2) as client:
        yield client


@pytest.fixture
def mortal():
    """Of three workers that may go; Dask itself is set up as on anyone's cluster."""
    with workers_here(3) as client:
        yield client


def task(folder: Path, name: str, after: tuple[str, ...] = (), *, anyway: bool = False) -> Task:
    return Task(name, "made up", str(folder), name, 0, str(folder / name), after, anyway)


def hand_out(client, monkeypatch, folder, tasks, do, *, retries=1, should_stop=lambda: False):
    """Failures, and the log; a task whose ``do`` returns is done."""
    calls: list[str] = []

    def noted(one, stop):
        calls.append(one.name)
        do(one, stop, calls.count(one.name))
        Path(one.result).write_text("{}")
        return 0

    monkeypatch.setitem(sweep_worker.EXPERIMENTS, "made up", SimpleNamespace(do=noted))
    monkeypatch.setattr(sweep_queue, "LOOK", 0.05)
    monkeypatch.setattr(sweep_queue, "LATER", 0.1)
    try:
        with sweep_client.listening(client, local=False) as name:
            how = {"title": "test", "retries": retries, "should_stop": should_stop, "said": set()}
            failed = sweep_queue.hand_out(client, name, tasks, folder / "log.jsonl", **how)
    finally:
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return failed, calls, log


def test_what_fails_stops_nothing_but_what_needs_it(client, monkeypatch, tmp_path, capsys):
    def do(one, stop, time_number):
        if one.name == "bad":
            raise InputError("cells.csv: row 3 has no label")
        if one.name == "broken":
            raise ZeroDivisionError("in a fold")
        if one.name == "flaky" and time_number == 1:
            raise OSError("the network was away")

    names = ("bad", "broken", "flaky", "good")
    tasks = [task(tmp_path, name) for name in names]
    tasks += [task(tmp_path, "sum of good", ("good",)), task(tmp_path, "sum of bad", ("bad",))]
    tasks += [task(tmp_path, "tables", names, anyway=True)]
    failed, calls, log = hand_out(client, monkeypatch, tmp_path, tasks, do)
    assert failed == {
        "bad": "cells.csv: row 3 has no label",
        "broken": "ZeroDivisionError: in a fold; tried 2 times",
        "sum of bad": "needs bad",
    }
    # Wrong input is not tried twice, anything else once more; tables are made of what there is, last.
    assert {name: calls.count(name) for name in calls} == {
        "bad": 1,
        "broken": 2,
        "flaky": 2,
        "good": 1,
        "sum of good": 1,
        "tables": 1,
    }
    assert calls.index("sum of good") > calls.index("good") and calls.index("tables") > calls.index("flaky")
    assert "failed: bad: cells.csv: row 3 has no label" in capsys.readouterr().out
    assert any("ZeroDivisionError" in one.get("traceback", "") for one in log)
    # A second look: what is done is not done again, but for the tables of what was missing.
    assert [one.name for one in left_of(tasks)] == ["bad", "broken", "sum of bad", "tables"]


def test_a_fold_that_another_process_holds_waits_for_it(client, monkeypatch, tmp_path, capsys):
    fold = tmp_path / "fold_0"
    fold.mkdir()
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(fold):
            held.set()
            free.wait()

    def do(one, stop, time_number):
        if time_number == 3:
            free.set()
            holder.join()
        with locked(fold):
            pass

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    held.wait()
    failed, calls, _ = hand_out(client, monkeypatch, tmp_path, [task(tmp_path, "a")], do, retries=0)
    assert not failed and calls == ["a"] * 3
    # Said once.
    assert capsys.readouterr().out.count("waits: a:") == 1


def test_a_wish_to_stop_reaches_what_runs_and_leaves_the_rest(client, monkeypatch, tmp_path):
    started: list[str] = []

    def do(one, stop, time_number):
        started.append(one.name)
        while not stop():
            time.sleep(0.01)
        raise Interrupted

    tasks = [task(tmp_path, name) for name in "abcd"]
    with pytest.raises(Interrupted):
        hand_out(client, monkeypatch, tmp_path, tasks, do, should_stop=lambda: len(started) >= 2)
    assert len(started) == 2 and left_of(tasks) == tasks
    # The next sweep on these workers does not hear it any more.
    failed, calls, _ = hand_out(client, monkeypatch, tmp_path, tasks, lambda *_: None)
    assert not failed and sorted(calls) == list("abcd")


def test_a_worker_that_is_closed_in_good_order_hands_its_fold_on(client, monkeypatch, tmp_path):
    def stopped(one, stop, time_number):
        if time_number == 1:
            next(p for p in distributed.get_worker().plugins.values() if hasattr(p, "asked")).teardown(None)
            assert stop()
            raise Interrupted

    failed, calls, log = hand_out(client, monkeypatch, tmp_path, [task(tmp_path, "a")], stopped, retries=0)
    assert not failed and calls == ["a", "a"]
    assert [one["event"] for one in log] == ["handed out", "again", "handed out", "done"]


def test_a_task_whose_worker_is_closed_goes_to_one_that_is_free(mortal, monkeypatch, tmp_path):
    """Dask by itself moves it to any other, which may be at work, and says nothing."""
    done = threading.Event()

    def do(one, stop, time_number):
        if one.name == "long":
            assert done.wait(60)
        elif time_number == 1:
            worker = distributed.get_worker()
            worker.loop.add_callback(worker.close)
            while not stop():
                time.sleep(0.01)
            raise Interrupted
        else:
            done.set()

    tasks = [task(tmp_path, name) for name in ("closed", "long")]
    failed, calls, log = hand_out(mortal, monkeypatch, tmp_path, tasks, do, retries=0)
    assert not failed and sorted(calls) == ["closed", "closed", "long"]
    events = [one for one in log if one["task"] == "closed"]
    assert [one["event"] for one in events] == ["handed out", "again", "handed out", "done"]
    assert events[1]["reason"] == "its worker was asked to stop"
    assert len({one["worker"] for one in log if one["event"] == "handed out"}) == 3


def test_every_death_of_a_worker_is_counted_and_logged(mortal, monkeypatch, tmp_path, capsys):
    """Dask by itself does a task four times, wherever its own settings do not say otherwise."""

    def do(one, stop, time_number):
        worker = distributed.get_worker()
        # As a process that is killed: the scheduler hears nothing but that the line is dead.
        worker.loop.add_callback(worker.batched_stream.comm.abort)
        while not stop():
            time.sleep(0.01)
        raise Interrupted

    failed, calls, log = hand_out(mortal, monkeypatch, tmp_path, [task(tmp_path, "a")], do, retries=1)
    assert failed == {"a": "its worker died; tried 2 times"} and calls == ["a", "a"]
    assert [one["event"] for one in log] == ["handed out", "again", "handed out", "failed"]
    assert log[1]["reason"] == "its worker died" and log[0]["worker"] != log[2]["worker"]
    assert "again: a: its worker died" in capsys.readouterr().out


def test_a_death_is_seen_even_if_the_worker_is_back_at_once(mortal, monkeypatch, tmp_path):
    """With a port of its own (--worker-port), it has the same address and gets the task again from Dask itself."""

    def do(one, stop, time_number):
        if time_number == 1:
            worker = distributed.get_worker()
            address, folder = worker.address, worker.local_directory

            def listed(client, known=sweep_client.workers_of):
                return {
                    (address, "another") if place == (address, folder) else place: status
                    for place, status in known(client).items()
                }

            monkeypatch.setattr(sweep_queue, "workers_of", listed)
            died.append(address)
            back.wait(60)

    def said(client, worker, key):
        assert [worker] == died
        back.set()
        return "died"

    died, back = list[str](), threading.Event()
    monkeypatch.setattr(sweep_queue, "fate", said)
    failed, calls, log = hand_out(mortal, monkeypatch, tmp_path, [task(tmp_path, "a")], do, retries=1)
    assert not failed and calls == ["a", "a"]
    assert [one["event"] for one in log] == ["handed out", "again", "handed out", "done"]


def test_warnings_are_said_and_logged_once_each(client, monkeypatch, tmp_path, capsys):
    """By hand, they are said above the bar at the end of each epoch; workers have no bar."""
    sentence = "The embedding uses hardly more than a line (effective rank {}): lower alpha."

    def do(one, stop, time_number):
        warnings.warn("told at the beginning", stacklevel=1)
        warnings.warn(f"of the machine{chr(10)}as such", stacklevel=1)
        if one.name == "b":
            warnings.warn("a state cannot be read", stacklevel=1)

    def noted(one, stop):
        do(one, stop, 1)
        history = [{"epoch": epoch, "warnings": [sentence.format(2 - epoch / 10)]} for epoch in (1, 2)]
        Path(one.result).write_text(json.dumps({"history": history if one.name == "a" else [{"epoch": 0}]}))
        return 0

    monkeypatch.setitem(sweep_worker.EXPERIMENTS, "made up", SimpleNamespace(do=noted))
    tasks = [task(tmp_path, "a"), task(tmp_path, "b", ("a",))]
    with sweep_client.listening(client, local=False) as name:
        how = {"title": "test", "retries": 0, "should_stop": lambda: False, "said": {"told at the beginning"}}
        assert not sweep_queue.hand_out(client, name, tasks, tmp_path / "log.jsonl", **how)
    wanted = [
        ("a", f"epoch 2 and 1 more: {sentence.format(1.9)}"),
        ("a", r"of the machine\nas such"),
        ("b", "a state cannot be read"),
    ]
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(one["task"], one["words"]) for one in log if one["event"] == "warning"] == wanted
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if "warning" in line] == [f"warning: {name}: {words}" for name, words in wanted]
    assert how["said"] == {"told at the beginning", wanted[1][1], wanted[2][1]}


def test_ctrl_c_while_the_runs_are_made_leaves_a_sweep_to_go_on_with(client, monkeypatch, tmp_path, capsys):
    """Half of its runs would be in the way of the next sweep of this name."""
    home = tmp_path / "sweeps" / "s"

    def begin(config, rows, out, command):
        out.mkdir(parents=True)
        warnings.warn("left out: a row", stacklevel=1)
        os.kill(os.getpid(), signal.SIGINT)
        # The last run's folder, made after the wish is known.
        time.sleep(0.3)
        (out / "run").mkdir()
        return [replace(task(out / "run", "a"), experiment="smr")]

    def do(one, stop):
        Path(one.result).write_text("{}")
        return 0

    monkeypatch.setitem(sweep_worker.EXPERIMENTS, "smr", SimpleNamespace(begin=begin, do=do))
    cluster = ["--scheduler", client.scheduler.address]
    assert call(monkeypatch, ["smr-figure3", *cluster, "--out", str(tmp_path), "--name", "s"]) == 130
    out, said = capsys.readouterr()
    assert out.count("the sweep's runs are being made first, so that it can be gone on with") == 1
    assert "warning: left out: a row" in said.splitlines()
    assert said.splitlines()[-1].endswith(f"experiments.sweep smr-figure3 --resume {home}")
    assert not (home / "log.jsonl").exists() and not (home / "run" / "a").exists()
    assert call(monkeypatch, ["smr-figure3", *cluster, "--resume", str(home)]) == 0
    assert (home / "run" / "a").exists()


def test_a_worker_that_dies_while_it_makes_the_runs_is_said(mortal, monkeypatch, tmp_path):
    """Dask by itself has another one do it, which finds half of them there."""
    times = []

    def begin(config, rows, out, command):
        times.append(1)
        worker = distributed.get_worker()
        worker.loop.add_callback(worker.batched_stream.comm.abort)
        time.sleep(0.2)

    monkeypatch.setitem(sweep_worker.EXPERIMENTS, "made up", SimpleNamespace(begin=begin))
    what = ("made up", None, {}, tmp_path, "the command")
    with sweep_client.listening(mortal, local=False) as name:
        with pytest.raises(InputError, match=r"the worker tcp://127.0.0.1:\d+, which made the sweep's runs, is gone"):
            sweep_client.begin(mortal, name, lambda: False, set(), *what)
    assert len(times) == 1


def test_a_wish_to_stop_before_there_is_a_worker(monkeypatch, tmp_path):
    with workers_here(0) as nobody, pytest.raises(Interrupted, match="the same command: there was no worker yet"):
        sweep_client.begin(nobody, "", lambda: True, set())


def test_tasks_move_with_the_sweep(tmp_path):
    home = tmp_path / "sweeps" / "one"
    tasks = of_run("smr", "tml", home / "smr" / "tml", (0, 2))
    assert [one.name for one in tasks] == ["tml, fold 0", "tml, fold 2", "tml, summary"]
    assert tasks[2].after == ("tml, fold 0", "tml, fold 2")
    stored = json.loads(json.dumps(to_json(tasks, home)))
    assert str(tmp_path) not in json.dumps(stored)
    assert from_json(stored, home) == tasks
    other = from_json(stored, tmp_path / "two")[0]
    assert other.result == str(tmp_path / "two" / "smr" / "tml" / "fold_0" / "result.json")


def test_two_folds_of_a_run_at_once_but_never_one_twice(tmp_path):
    for fold in ("fold_0", "fold_1"):
        (tmp_path / fold).mkdir()
    with locked(tmp_path, shared=True), locked(tmp_path / "fold_0"):
        with locked(tmp_path, shared=True), locked(tmp_path / "fold_1"):
            pass
        with pytest.raises(InUse, match=r"fold_0: another process is working on this run \(.+, process \d+\)"):
            with locked(tmp_path / "fold_0"):
                pass
        # Who works on the whole run by hand finds it held.
        with pytest.raises(InUse, match="another process is working on this run"), locked(tmp_path):
            pass
    with locked(tmp_path), pytest.raises(InUse), locked(tmp_path, shared=True):
        pass


def test_workers_without_this_smrjax_are_said(monkeypatch):
    def refuse(plugin):
        raise Exception("ModuleNotFoundError(\"No module named 'experiments'\")")

    with (
        pytest.raises(InputError, match="cannot load this smrjax .*No module named 'experiments'.*install the same"),
        sweep_client.listening(SimpleNamespace(register_plugin=refuse), local=False),
    ):
        pass


def test_a_port_where_something_else_listens_is_said(monkeypatch):
    import socket

    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(InputError, match=f"--scheduler {address}: cannot be reached"):
            cluster.connected(address)
