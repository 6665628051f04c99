"""Run folders: never shared, never half written."""

import os
import stat
import subprocess
import sys

import pytest

from smrjax.errors import InputError
from smrjax.files import atomic, read_json, write_json
from smrjax.train.folder import create_run, locked, run_folder


def test_two_runs_never_share_a_folder(tmp_path):
    folder = run_folder(tmp_path, "smr", "a")
    assert folder == tmp_path / "smr" / "a"
    create_run(folder, {"run.json": {"x": 1}})
    with pytest.raises(InputError, match="--resume"):
        create_run(folder, {"run.json": {"x": 2}})
    assert read_json(folder / "run.json") == {"x": 1}
    assert [p.name for p in folder.parent.iterdir()] == ["a"]


def test_of_two_runs_at_the_same_moment_one_gets_the_folder(tmp_path, monkeypatch):
    """The other makes its folder between the look and the rename."""
    folder = tmp_path / "a"
    rename = os.rename

    def late(source, target):
        create_run_first()
        rename(source, target)

    def create_run_first():
        folder.mkdir()
        write_json(folder / "run.json", {"x": 1})

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(InputError, match="there is a run of this name"):
        create_run(folder, {"run.json": {"x": 2}})
    assert read_json(folder / "run.json") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "/etc"])
def test_a_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(InputError, match="plain name"):
        run_folder(tmp_path, "smr", name)


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "smr").write_text("")
    with pytest.raises(InputError, match="--out"):
        create_run(tmp_path / "smr" / "a", {})


def test_a_locked_folder_is_refused_to_another_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from smrjax.train.folder import locked\n"
        "from smrjax.errors import InputError\n"
        "try:\n"
        f"    with locked(Path({str(tmp_path)!r})): print('in')\n"
        "except InputError as error: print(error)\n"
    )
    with locked(tmp_path):
        inside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    after = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "another process" in inside
    assert after == "in\n"


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_results_are_readable_by_the_group(tmp_path):
    mask = os.umask(0o022)
    try:
        write_json(tmp_path / "a.json", 1)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644


def test_json_that_is_damaged_or_missing_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="a.json.*not valid"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="b.json.*cannot be read"):
        read_json(tmp_path / "b.json")


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_goes_but_not_what_others_are_writing(tmp_path):
    """A sweep is gone on with while a worker is at work on a fold of one of its runs."""

    def parts(folder):
        for place in (folder, folder / "fold_0", folder / "fold_0" / "deeper", folder / "fold_1"):
            place.mkdir(parents=True, exist_ok=True)
            (place / ".embeddings-123.part.npz").touch()

    def left():
        return {str(part.parent.relative_to(tmp_path)) for part in tmp_path.rglob("*.part*")}

    at_work, dead = tmp_path / "smr" / "tml", tmp_path / "smr" / "svd"
    for run in (at_work, dead):
        parts(run)
        # Locks of processes that are gone.
        for place in (run, run / "fold_0"):
            (place / ".lock").touch()
    (tmp_path / ".sweep-9.part.json").touch()
    with locked(at_work, shared=True), locked(at_work / "fold_1"):
        # Its own, and no one else's: another fold may be under way in another process.
        written = left()
        assert str((at_work / "fold_1").relative_to(tmp_path)) not in written
        (at_work / "fold_1" / ".embeddings-7.part.npz").touch()
        with locked(tmp_path):
            assert left() == {f"smr/tml{place}" for place in ("", "/fold_0", "/fold_0/deeper", "/fold_1")}
    # Who holds the run as a whole has it without all of them.
    with locked(at_work):
        assert left() == set()
