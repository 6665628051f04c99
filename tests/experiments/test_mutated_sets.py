"""Files of searches, range tests, sweeps and predictions that were changed: gone on with, or said in one line."""

import json

import pytest
from hypothesis import given, settings

from experiments import sweep
from experiments.guides_report import SUMMARY, table_of_methods
from experiments.kinds import read_kind
from experiments.nested import read_tried
from experiments.predict_work import Job, open_out
from experiments.strategies_recipe import read_rates
from experiments.strategies_work import read_stored
from experiments.sweep_tasks import left_of, of_run, to_json
from smrjax.classical.search import best_of, classifier, draw
from smrjax.encoders import Channels
from smrjax.errors import InputError
from smrjax.report import lr_range_figure
from tests.experiments.test_mutated import HOW, survives
from tests.mutations import changed_bytes, changed_json

DRAWN = draw("svm", 5, seed=0)
TRIED = [{"params": one, "scores": [-3.5, -4.0], "score": -3.75, "seconds": 0.1} for one in DRAWN[:3]]
RATES = {"rates": [1e-5, 1e-4, 1e-3], "losses": [2.0, 1.5, 1.7], "smoothed": [2.0, 1.8, 1.75], "suggestion": 1e-4}
COLOURS = Channels((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
ROWS = [{"encoder": "vgg19_bn", "begin": "imagenet", "sets": ["pcam"]}]
STORED = {"rows": ROWS, "left_out": {"a": "b"}, "channels": {"pcam": COLOURS}, "fold_channels": {"0": COLOURS}}
SCORES = {"macro_f1": {"values": [0.5, 0.6, 0.7]}, "misclassification_severity": {"values": [1.5, 1.6, 1.7]}}
OF_GUIDE = {"title": "TML", "config": {"data": {"folds": 6}}, "scores": SCORES}
JOB = Job("a", "b", "c", (0,), "likeliest", (("batch", 4),))


def tried(folder):
    found = read_tried(folder / "search.json", DRAWN)
    if found:
        classifier("svm", best_of(found)["params"], seed=0)


def rates(folder):
    lr_range_figure(folder / "lr.png", **read_rates(folder / "lr.json"), title="rates", svg=False)


def tasks(folder):
    left_of(sweep.stored_tasks(folder, "smr-figure3"))


def colours(folder):
    found = read_stored(folder)
    for both in (*found.get("channels", {}).values(), *found.get("fold_channels", {}).values()):
        Channels(*map(tuple, both))
    assert {int(fold) for fold in found.get("fold_channels", {})} <= {*range(1000)}


def methods(folder):
    summaries = {"tml": OF_GUIDE, "other": read_kind(folder / "summary.json", SUMMARY)}
    table_of_methods(summaries, baseline="tml")


def job(folder):
    open_out(folder, folder, "slides", JOB)


def of_sweep(folder):
    made = [one for row in ("tml", "svd-uniform-normal") for one in of_run("smr", row, folder / row, (0, 1))]
    return {"sweep": "smr-figure3", "rows": {}, "config": {}, "command": "it", "tasks": to_json(made, folder)}


FILES = {
    "search.json": (lambda folder: TRIED, tried),
    "lr.json": (lambda folder: RATES, rates),
    "sweep.json": (of_sweep, tasks),
    "run.json": (lambda folder: STORED, colours),
    "summary.json": (lambda folder: OF_GUIDE, methods),
    "job.json": (lambda folder: vars(JOB), job),
}


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", FILES)
def test_any_change(tmp_path, name, count):
    content, read = FILES[name]
    path = tmp_path / name
    written = json.dumps(content(tmp_path)).encode()
    path.write_bytes(written)
    read(tmp_path)
    count = 4 if name == "lr.json" and count == 20 else count  # it is drawn each time

    @settings(max_examples=count, **HOW)
    @given(changed_json(json.loads(written)) | changed_bytes(written))
    def check(changed):
        survives(lambda: read(tmp_path), path, written, changed, others=[tmp_path])

    check()


#: What was a traceback, a wrong answer, or waited for ever.
CASES = {
    "other hyper-parameters": ("search.json", [TRIED[0] | {"params": {"C": 1.0}}], "other sets of hyper-parameters"),
    "more than were drawn": ("search.json", TRIED * 2, "other sets of hyper-parameters"),
    "no list": ("search.json", {"params": {}}, "not a list"),
    "a score of words": ("search.json", [TRIED[0] | {"score": "best"}], "0/score is 'best', not a number"),
    "a rate below zero": ("lr.json", RATES | {"suggestion": -1e-3}, "not positive"),
    "no step": ("lr.json", dict.fromkeys(("rates", "losses", "smoothed"), []) | {"suggestion": 1.0}, "one for each"),
    "a rate of nothing": ("lr.json", RATES | {"suggestion": 1e-300}, "not positive"),
    "an infinite rate": ("lr.json", RATES | {"suggestion": float("inf")}, "suggestion is inf, not a number"),
    "fewer losses than rates": ("lr.json", RATES | {"losses": [1.0]}, "one for each loss"),
    "two colours": ("run.json", STORED | {"channels": {"pcam": [[0.5, 0.5], [0.2, 0.2]]}}, "its colours"),
    "a fold without a number": ("run.json", STORED | {"fold_channels": {"x": COLOURS}}, "its colours"),
    "no scores": ("summary.json", OF_GUIDE | {"scores": {}}, "scores has no 'macro_f1'"),
    "no task": ("sweep.json", {"sweep": "smr-figure3", "tasks": []}, "holds no task"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be(tmp_path, case):
    name, content, match = CASES[case]
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=match) as said:
        FILES[name][1](tmp_path)
    assert str(tmp_path / name) in str(said.value) and "\n" not in str(said.value)


@pytest.mark.parametrize(
    "change", [{"after": ["a task that is not there"]}, {"after": ["tml, fold 0"]}, {"experiment": "os"}]
)
def test_no_task_waits_for_what_never_comes(tmp_path, change):
    content = of_sweep(tmp_path)
    content["tasks"][0] |= change
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="sweep.json: 'tml, fold 0' is no task of this sweep"):
        tasks(tmp_path)


def test_scores_that_one_run_lacks_are_in_no_column():
    few = OF_GUIDE | {"title": "few", "scores": {"macro_f1": {"values": [0.5, 0.6]}}}
    lines = table_of_methods({"tml": OF_GUIDE, "few": few}, baseline="tml").splitlines()
    assert lines[0] == "| method | macro-F |" and lines[2:] == ["| TML | 0.600 |", "| few | 0.550 |"]
