"""How tasks are handed out: what is done again, what waits, what fails, what is left undone; no training at all."""

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import cluster
from experiments.sweep_tasks import Task, from_json, left_of, of_run, to_json
from smrjax.errors import InputError
from smrjax.train.folder import InUse, locked
from smrjax.train.loop import Interrupted

distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")

from experiments import sweep_queue, sweep_worker  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client():
    """Of two workers in this process, which know what a test makes of the experiments."""
    quiet = {"dashboard_address": None, "worker_dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", **quiet) as here,
        distributed.Client(here) as client,
    ):
        yield client


def task(folder: Path, name: str, after: tuple[str, ...] = (), *, anyway: bool = False) -> Task:
    return Task(name, "made up", str(folder), name, 0, str(folder / name), after, anyway)


def hand_out(client, monkeypatch, folder, tasks, do, *, retries=1, should_stop=lambda: False):
    """Failures, and the log; a task whose ``do`` returns is done."""
    calls: list[str] = []

    def noted(one, stop):
        calls.append(one.name)
        do(one, stop, calls.count(one.name))
        Path(one.result).write_text("")
        return 0

    monkeypatch.setitem(sweep_worker.EXPERIMENTS, "made up", SimpleNamespace(do=noted))
    monkeypatch.setattr(sweep_queue, "LOOK", 0.05)
    monkeypatch.setattr(sweep_queue, "LATER", 0.1)
    try:
        with sweep_queue.listening(client, local=False) as name:
            how = {"title": "test", "retries": retries, "should_stop": should_stop}
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
        sweep_queue.listening(SimpleNamespace(register_plugin=refuse), local=False),
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
