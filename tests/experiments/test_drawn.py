"""Reports of folders whose files were changed: drawn, or said in one line with the file, and never half a page."""

import csv
import errno
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from experiments import report
from experiments.report_runs import read_runs
from experiments.runtime import leave
from smrjax.errors import InputError, one_line
from smrjax.report import figures
from tests.experiments import made_up_runs
from tests.experiments.made_up_runs import CLASSES
from tests.experiments.test_report_predictions import make_prediction
from tests.mutations import changed_arrays, changed_bytes, changed_json, changed_table
from tests.train.disks import no_file_beyond

# Of what is drawn of odd numbers; whoever is to mend a file is told by the reader.
pytestmark = pytest.mark.filterwarnings("ignore")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63606060600000000500"
    "01a5f645400000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two runs, one of which predicted cells from elsewhere."""
    place = tmp_path_factory.mktemp("drawn")
    manifest = made_up_runs.write_cells(place / "cells")
    run = made_up_runs.make_able(made_up_runs.make_run(place / "run", manifest, title="SMR", seed=0))
    made_up_runs.make_run(place / "tml", manifest, title="TML", seed=1, method="tml")
    rows = [(["young", "a", "c", ""][k % 4], CLASSES[k % 4], k / 20, k % 3 == 0) for k in range(40)]
    make_prediction(place / "found", run, manifest, rows)
    return place


@pytest.fixture(scope="module", autouse=True)
def only_laid_out():
    """Figures are laid out as ever; painting them would take most of the time."""

    def lay_out(figure, path, **how):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            figure.draw_without_rendering()
            path.write_bytes(PIXEL)
        else:
            path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt"/>')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_save", lay_out)
        yield


#: What is changed -> how, and what is drawn of it.
FILES = {
    "run/fold_1/result.json": (changed_json, "both"),
    "run/fold_1/predictions.csv": (changed_table, "run"),
    "run/fold_1/embeddings.npz": (changed_arrays, "both"),
    "run/fold_0/embeddings.npz": (changed_arrays, "found"),
    "run/fold_1/curves.npz": (changed_arrays, "run"),
    "run/fold_0/curves.npz": (changed_arrays, "found"),
    "run/summary.json": (changed_json, "run"),
    "run/run.json": (changed_json, "found"),
    "run/config.json": (changed_json, "run"),
    "run/taxonomy.json": (changed_json, "run"),
    "found/summary.json": (changed_json, "found"),
    "found/predictions.csv": (changed_table, "found"),
}


def draw(place: Path, what: str) -> Path:
    runs = (place / "run", place / "tml") if what == "both" else (place / "run",)
    predictions = (place / "found",) if what == "found" else ()
    return report.report(report.Options(runs=runs, predictions=predictions, out=place / "page.html"))


@pytest.mark.parametrize("count", [2, pytest.param(150, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", FILES)
def test_any_file(place, name, count):
    how, what = FILES[name]
    path, page = place / name, place / "page.html"
    content = path.read_bytes()
    changes = how(json.loads(content) if how is changed_json else content)
    # That of the run is told by the prediction's network that reads it, too.
    others = (place / "run", place / "found", "--predictions")

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changes | changed_bytes(content) if count > 2 else changes)
    def check(changed):
        page.write_text("the page before")
        path.write_bytes(changed)
        try:
            draw(place, what)
            assert page.read_text(encoding="utf-8").endswith("</html>\n")
        except InputError as error:
            said = one_line(str(error))
            assert any(str(one) in said for one in (path, *others)), said
            assert page.read_text() == "the page before"
        finally:
            path.write_bytes(content)
        assert not list(place.glob(".*.part*"))

    check()


def of_arrays(**changes):
    """Some arrays of an archive are others; None: gone."""

    def change(path):
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for name, how in changes.items():
            known = next(one for one in arrays if one.startswith(name))
            arrays[known] = how and how(arrays[known])
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})

    return change


def of_json(*place, value):
    def change(path):
        content = inner = json.loads(path.read_text())
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value
        path.write_text(json.dumps(content))

    return change


def of_table(column, value):
    def change(path):
        with open(path, newline="") as file:
            rows = list(csv.reader(file))
        rows[1][rows[0].index(column)] = value
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows(rows)

    return change


def put(at, value):
    """An array with another number at a place."""

    def change(array):
        array[at] = value
        return array

    return change


RESULT, ARRAYS, CURVES = "run/fold_1/result.json", "run/fold_1/embeddings.npz", "run/fold_1/curves.npz"
OWN, FOUND = "run/fold_1/predictions.csv", "found/summary.json"
#: What was accepted when it was read and fell over when it was drawn: file, change, what is said.
CASES = {
    "no embeddings": (ARRAYS, of_arrays(embeddings=None), "no embeddings in it"),
    "no parts": (ARRAYS, of_arrays(part=None), "no part in it"),
    "a single label": (ARRAYS, of_arrays(labels=lambda x: x[0]), "labels are not one for each cell"),
    "a class too many": (ARRAYS, of_arrays(labels=put(0, 4)), "labels are not one for each cell, from 0 to 3"),
    "labels in halves": (ARRAYS, of_arrays(predicted=lambda x: x + 0.5), "predicted are not"),
    "another test part": (ARRAYS, of_arrays(part=put(slice(None), 2)), "not that of predictions.csv"),
    "infinite embeddings": (ARRAYS, of_arrays(embeddings=put((0, 0), np.inf)), "embeddings holds what is no number"),
    "huge embeddings": (ARRAYS, of_arrays(embeddings=put((0, 0), 1e300)), "too large a one"),
    "complex embeddings": (ARRAYS, of_arrays(embeddings=lambda x: x * 1j), "not of the form"),
    "places of fewer cells": (ARRAYS, of_arrays(t_line=lambda x: x[:-1]), "t_line is not of the form"),
    "infinite places": (ARRAYS, of_arrays(t_own=put(0, -np.inf)), "t_own holds what is no number"),
    "a flat curve": (CURVES, of_arrays(control_=lambda x: x[0]), "control_line <b> is not of the form"),
    "a curve elsewhere": (CURVES, of_arrays(control_=lambda x: x[..., :2]), "control_line <b> is not of the form"),
    "a curve without targets": (CURVES, of_arrays(targets_=None), "no targets_line <b> in it"),
    "targets of other stages": (CURVES, of_arrays(targets_=lambda x: x[:2]), "targets_line <b> is not of the form"),
    "a target nowhere": (CURVES, of_arrays(targets_=put(1, np.nan)), "targets_line <b> holds what is no number"),
    "boundaries in rows": (CURVES, of_arrays(boundaries_own=lambda x: x[None]), "boundaries_own_line <b> is not"),
    "sure beyond 1": (OWN, of_table("p_A", "3"), "not all from 0 to 1"),
    "an infinite place": (OWN, of_table("raw_t", "inf"), "inf where a number is expected"),
    "a score of words": (
        RESULT,
        of_json("scores", "macro_f1", value="high"),
        "scores/macro_f1 is 'high', not a number",
    ),
    "a huge score": (RESULT, of_json("scores", "macro_f1", value=10**400), "scores/macro_f1 is 1000.*, not a number"),
    "an endless loss": (RESULT, of_json("history", 0, "loss", value=float("inf")), "history/0/loss is inf"),
    "an epoch of words": (RESULT, of_json("history", 0, "epoch", value="first"), "history/0/epoch is 'first'"),
    "warnings in a number": (RESULT, of_json("history", 0, "warnings", value=3), "history/0/warnings is 3, not a list"),
    "a device of nothing": ("run/summary.json", of_json("device", value={"kind": "x"}), "device has no 'count'"),
    "a title in halves": ("run/summary.json", of_json("title", value="\ud800"), "title is .*, not words"),
    "severities of two": ("run/run.json", of_json("severity", "matrix", value=[[1, 2], [2, 1]]), "not of 4 classes"),
    "no count of images": (FOUND, of_json("images", value={}), "images is an object, not a whole number"),
    "options in a list": (FOUND, of_json("options", value=[]), "options is a list, not an object"),
    "labels of nothing": (FOUND, of_json("labels", value={}), "a stored taxonomy lacks"),
    "unlike by far": ("found/predictions.csv", of_table("unfamiliar_ratio", "1e300"), "1e300 where a number"),
}


@pytest.mark.parametrize("case", CASES)
def test_said_by_the_reader(place, case):
    name, change, match = CASES[case]
    path, page = place / name, place / "page.html"
    content = path.read_bytes()
    page.write_text("the page before")
    try:
        change(path)
        with pytest.raises(InputError, match=match) as said:
            draw(place, "found" if name.startswith("found") else "both")
    finally:
        path.write_bytes(content)
    assert str(path) in str(said.value) and "\n" not in str(said.value)
    assert page.read_text() == "the page before"


def test_arrays_of_fewer_cells_than_the_run_has(place):
    """Whole in themselves, so that the images alone could tell."""
    path = place / ARRAYS
    content = path.read_bytes()
    with np.load(path) as stored:
        kept = np.flatnonzero(stored["part"] == 2)
        np.savez(path, **{name: stored[name][kept] for name in stored.files})
    try:
        with pytest.raises(InputError, match="embeddings.npz: is not of the 36 cells of the run"):
            draw(place, "run")
    finally:
        path.write_bytes(content)


def test_the_command_says_it_in_one_line(place, tmp_path, capsys, monkeypatch):
    run = shutil.copytree(place / "run", tmp_path / "run")
    of_json("history", 0, "epoch", value=None)(run / "fold_0" / "result.json")
    monkeypatch.setattr("sys.argv", ["report", str(run), "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as end:
        leave(report.main)
    said = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and said[-1].startswith(f"error: {run / 'fold_0' / 'result.json'}: history/0/epoch")
    assert not (tmp_path / "page.html").exists()


def test_names_that_no_drawing_shows(place, tmp_path):
    """A folder whose name is not UTF-8 is data like any other."""
    run = shutil.copytree(place / "run", tmp_path / "run")
    of_json("data", "data", value="cells \udcff")(run / "config.json")
    assert read_runs([run])[0].data == "cells \\udcff"
    page = report.report(report.Options(runs=(run,), out=tmp_path / "page.html"))
    assert page.read_text(encoding="utf-8").endswith("</html>\n")


@pytest.mark.parametrize("kept", [False, True])
def test_a_full_disk_leaves_the_page_before(place, tmp_path, capsys, monkeypatch, kept):
    """However large a file may be: figures, the page, and those that are kept; afterwards, all is there."""
    page, keep = tmp_path / "page.html", tmp_path / "figures"
    page.write_text("the page before")
    words = [*("report", str(place / "run")), *("--out", str(page)), *(("--figures", str(keep)) if kept else ())]
    monkeypatch.setattr("sys.argv", words)
    for size in (10, 10_000):
        with no_file_beyond(size), pytest.raises(SystemExit) as end:
            leave(report.main)
        (said,) = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2 and said.startswith("error: ") and "File too large" in said
        assert page.read_text() == "the page before"
        assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]
    leave(report.main)
    assert page.read_text(encoding="utf-8").endswith("</html>\n")


def test_without_a_place_for_figures(place, tmp_path, monkeypatch):
    def full(*words, **how):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(InputError, match=r"no temporary folder can be made \(No usable .*--figures"):
        draw(place, "run")
    assert report.report(report.Options(runs=(place / "run",), out=tmp_path / "p.html", figures=tmp_path)).exists()


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"methods": {"hog-svm": {"group": "hog", "title": None}}}, "methods/hog-svm/title is null, not words"),
        ({"methods": ["hog-svm"]}, "methods is a list, not an object"),
        ({"rows": {"hog-svm": {"init": "random"}}}, "rows/hog-svm has no 'encoder'"),
    ],
)
def test_a_set_of_runs(place, tmp_path, block, said):
    """Baselines and strategies, whose methods share the files of the set."""
    shutil.copytree(place / "tml", tmp_path / "set" / "hog-svm")
    for name in ("config.json", "run.json"):
        (tmp_path / "set" / "hog-svm" / name).rename(tmp_path / "set" / name)
    (tmp_path / "set" / "hog-svm" / "summary.json").unlink()
    summary = tmp_path / "set" / "summary.json"
    summary.write_text(json.dumps({"methods": {"hog-svm": {"group": "hog", "title": "SVM"}}}))
    assert read_runs([tmp_path / "set"])[0].title == "HOG, SVM"
    summary.write_text(json.dumps(block))
    with pytest.raises(InputError, match=f"set/summary.json: {said}"):
        read_runs([tmp_path / "set"])
