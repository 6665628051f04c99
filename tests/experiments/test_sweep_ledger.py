"""What a sweep writes down of its tasks, without workers."""

import json

from experiments.sweep_ledger import Ledger
from experiments.sweep_tasks import Task


def test_only_tries_of_the_task_itself_are_counted(tmp_path, capsys):
    task = Task("a", "made up", str(tmp_path), "a", 0, str(tmp_path / "a"))
    ledger = Ledger.of([task], tmp_path / "log.jsonl", retries=1)
    ledger.start(ledger.take(), "one")
    ledger.try_again(task, "its worker died")
    for wait in (60.0, 0.0):
        ledger.not_before.pop("a", None)
        ledger.start(ledger.take(), "two")
        ledger.put_back(task, "held by another process", after=wait)
        assert (ledger.take() is None) == (wait > 0)
        ledger.waiting = [task]
    assert not ledger.failed and ledger.tried == {"a": 1}
    ledger.start(ledger.take(), "three")
    ledger.try_again(task, "its worker died")
    assert ledger.failed == {"a": "its worker died; tried 2 times"} and ledger.take() is None
    # A death before does not hide that it now waits.
    assert capsys.readouterr().out.splitlines() == [
        "again: a: its worker died",
        "waits: a: held by another process",
        "failed: a: its worker died; tried 2 times",
    ]
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["handed out", "again", "handed out", "again", "handed out", "again", "handed out", "failed"]
