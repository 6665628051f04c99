"""The baselines' command line: the whole protocol in small, a stop and a resume, tasks, bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from experiments import baselines, networks
from experiments.config import from_json, to_json
from experiments.nested import inner_parts
from experiments.runtime import leave
from smrjax.data import load
from smrjax.data.folds import nested_folds

pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

ROOT = Path(__file__).parents[2]
FEW = [
    *["--count", "300", "--image-size", "16", "--descriptor-size", "32", "--inner-folds", "3", "--epochs", "1"],
    *["--encoder", "densenet_tiny", "--networks", "densenet_tiny", "--features", "hog", "lbp"],
    *["--classifiers", "svm", "rbf", "--sets", "2", "--per-class", "1"],
]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "experiments.baselines", *words]


def run(*words: str) -> subprocess.CompletedProcess:
    done = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The whole protocol on rendered cells."""
    out = tmp_path_factory.mktemp("runs")
    done = run(*FEW, "--with", "tml", "--out", str(out), "--name", "whole")
    assert "HOG, linear SVM" in done.stdout and "m-score" in done.stdout
    return out / "baselines" / "whole"


METHODS = ["hog-svm", "hog-rbf", "lbp-svm", "lbp-rbf", "densenet_tiny", "tml"]


def predictions(folder: Path, folds: int = 3) -> list[list[dict[str, str]]]:
    found = []
    for fold in range(folds):
        with open(folder / f"fold_{fold}" / "predictions.csv", newline="") as file:
            found.append(list(csv.DictReader(file)))
    return found


def test_scores_are_those_of_scikit_learn_on_the_predictions(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert list(summary["methods"]) == METHODS
    for name, one in summary["methods"].items():
        rows = [row for fold in predictions(finished / name) for row in fold]
        f1 = f1_score(
            [row["true"] for row in rows],
            [row["predicted"] for row in rows],
            average=None,
            labels=summary["classes"],
            zero_division=0,
        )
        scores = one["scores"]
        np.testing.assert_allclose([scores["per_class"][c]["f1"] for c in summary["classes"]], f1, atol=1e-12)
        assert scores["m_score"] == pytest.approx(np.log(np.maximum(f1, 0.01)).sum())
        assert scores["macro_f1"] == pytest.approx(f1.mean())


def test_every_cell_of_the_task_is_tested_once_by_every_method(finished):
    classes = json.loads((finished / "summary.json").read_text())["classes"]
    cells = load("synthetic_marrow", size=16, count=300)
    mine = sorted(n for n, label in zip(cells.names, cells.labels, strict=True) if cells.classes[label] in classes)
    folds = [[row["path"] for row in fold] for fold in predictions(finished / METHODS[0])]
    assert sorted(name for fold in folds for name in fold) == mine
    for method in METHODS[1:]:
        assert [[row["path"] for row in fold] for fold in predictions(finished / method)] == folds


def test_the_chosen_set_is_the_best_of_those_tried(finished):
    for method in METHODS[:-1]:
        for fold in range(3):
            folder = finished / method / f"fold_{fold}"
            tried = json.loads((folder / "search.json").read_text())
            result = json.loads((folder / "result.json").read_text())
            assert len(tried) == 2 and all(np.isfinite(one["scores"]).all() for one in tried)
            best = max(tried, key=lambda one: np.mean(one["scores"]))
            assert result["params"] == best["params"]
            assert result["inner_m_score"] == pytest.approx(np.mean(best["scores"]))


def test_the_report_shows_the_table_and_the_pictures(finished):
    report = (finished / "report.md").read_text()
    assert "2 sets of hyper-parameters" in report and "| LBP, RBF SVM |" in report
    for name in ("baselines.png", "confusion.png"):
        assert f"({name})" in report
        assert np.asarray(Image.open(finished / name)).std() > 5
    assert not list((finished / "densenet_tiny").rglob("checkpoints"))


def test_stopped_and_resumed_repeats_no_search(finished, tmp_path):
    """SIGINT after the first set that was tried; the rest is what it would have been."""
    words = [*FEW[:-2], "--out", str(tmp_path), "--name", "parts"]
    process = subprocess.Popen(command(*words), cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    folder, until = tmp_path / "baselines" / "parts", time.monotonic() + 300
    while not list(folder.rglob("result.json")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers hear it, too
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said[-2000:]
    assert f"--resume {folder}" in said and not (folder / "summary.json").exists()
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    assert 0 < len(stamps) < 15
    run("--resume", str(folder), "--jobs", "1")
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    for method in METHODS[:-1]:
        assert predictions(folder / method) == predictions(finished / method)


def test_inner_folds_share_no_cell_and_no_slide_with_what_they_judge():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = rng.integers(0, 3, len(groups))
    nested = nested_folds(labels, groups=groups, n_folds=4, inner_folds=3)
    assert ((nested < 0).sum(0) == 1).all()
    for inner in nested:
        known = np.flatnonzero(inner >= 0)
        tested = set(groups[inner < 0])
        for train, held in inner_parts(inner[known], copies=2):
            cells = known[train % len(known)]
            assert len(held) and max(held) < len(known)
            assert not set(groups[cells]) & (set(groups[known[held]]) | tested)
            assert set(groups[cells]) | set(groups[known[held]]) | tested == set(groups)


def test_a_diverging_network_scores_lowest_and_the_search_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(
        networks, "draw_sets", lambda sets, seed: [{"learning_rate": r, "batch": 16} for r in (1e30, 1e-3)]
    )
    words = [
        *FEW,
        "--only-folds",
        "0",
        "--classifiers",
        "svm",
        "--features",
        "lbp",
        "--out",
        str(tmp_path),
        "--name",
        "r",
    ]
    monkeypatch.setattr(sys, "argv", ["baselines", *words, "--no-pictures"])
    leave(baselines.main)
    folder = tmp_path / "baselines" / "r"
    assert not list(folder.glob("*.png"))
    tried = json.loads((folder / "densenet_tiny" / "fold_0" / "search.json").read_text())
    assert tried[0]["score"] == pytest.approx(6 * np.log(0.01)) and tried[1]["score"] >= tried[0]["score"]


@pytest.fixture
def folder_of_cells(tmp_path) -> Path:
    """Three classes, one of them no cell; grey, transparent, 16-bit and tiny images among them."""
    rng = np.random.default_rng(0)
    for name in ("A", "B", "ART"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 255, (20, 20, 3), np.uint8)
            image = Image.fromarray(pixels)
            if name == "A":
                clear = image.copy()
                clear.putalpha(100)
                image = [image, image.convert("L"), clear, image.resize((5, 5))][i % 4]
            if name == "B" and i == 0:
                image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
            image.save(tmp_path / "cells" / name / f"{i}.png")
    return tmp_path / "cells"


SMALL = ["--image-size", "16", "--descriptor-size", "16", "--inner-folds", "3", "--networks", "--sets", "1"]


def test_cells_against_artefacts(folder_of_cells, tmp_path, monkeypatch, capsys):
    """A binary task from any folder; images that had to be converted are said."""
    words = ["--data", str(folder_of_cells), "--task", "leukocytes", "--artefacts", "ART", *SMALL, "--features", "lbp"]
    words += ["--cache", str(tmp_path / "cache")]  # said when first decoded
    monkeypatch.setattr(
        sys, "argv", ["baselines", *words, "--classifiers", "svm", "--out", str(tmp_path), "--name", "r"]
    )
    leave(baselines.main)
    said = capsys.readouterr().err
    for words in ("3 of 36 images", "are transparent in parts", "are grey", "16 bits", "smaller than 16 px"):
        assert words in said
    summary = json.loads((tmp_path / "baselines" / "r" / "summary.json").read_text())
    assert summary["classes"] == ["cell", "artefact"] and summary["data"]["cells"] == 36
    matrix = np.array(summary["methods"]["lbp-svm"]["scores"]["confusion"])
    np.testing.assert_array_equal(matrix.sum(1), [24, 12])


def complaint(capsys, monkeypatch, tmp_path, *words: str) -> str:
    """What a command says that has to fail with one line and exit code 2, leaving no run behind."""
    out = tmp_path / "runs"
    monkeypatch.setattr(sys, "argv", ["baselines", *words, "--out", str(out)])
    with pytest.raises(SystemExit) as end:
        leave(baselines.main)
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ") and not list(out.glob("baselines/*"))
    return said


BAD = {
    "no sets": (["--sets", "0"], "--sets 0"),
    "too few inner folds": (["--inner-folds", "2"], "--inner-folds 2"),
    "more parts than folds": (["--network-parts", "9"], "--network-parts 9"),
    "no such lineage": ([*FEW, "--lineage", "green"], "--lineage green"),
    "no artefacts": ([*FEW, "--task", "leukocytes"], "--artefacts"),
    "no such artefact": ([*FEW, "--artefacts", "DIRT"], "--artefacts DIRT"),
    "cells too large": ([*FEW, "--hog-cell", "20"], "--hog-cell"),
    "no such method": ([*FEW, "--with", "magic"], "--with magic"),
    "weights of nothing": (["--weights", "resnet=x.pth"], "--weights resnet=x.pth"),
    "no such weights": ([*FEW, "--weights", "densenet_tiny=x.pth"], "x.pth"),
    "weights for one": ([*FEW, "--init", "x.pth", "--encoder", "densenet_small"], "--weights densenet_tiny=FILE"),
    "no epochs": (["--epochs", "0"], "--epochs 0"),
    "a feature twice": (["--features", "hog", "hog"], "--features"),
    "nothing to do": (["--features", "--networks"], "nothing to compare"),
    "for embeddings alone": ([*FEW, "--decision", "severity"], "--decision severity is for methods that learn"),
    "weights that nothing uses": ([*FEW, "--weights", "resnet18=x.pth"], "nothing here uses resnet18"),
    "names of nothing": (["--with", ",", "--features", "--networks"], "nothing to compare"),
    "no such fold": ([*FEW, "--only-folds", "3"], "--only-folds 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_line(case, capsys, monkeypatch, tmp_path):
    words, expected = BAD[case]
    assert expected in complaint(capsys, monkeypatch, tmp_path, *words)


def test_classes_on_too_few_slides(folder_of_cells, capsys, monkeypatch, tmp_path):
    rows = [f"{c}/{i}.png,{c},{0 if c == 'ART' else 1 + i % 5}" for c in ("A", "ART") for i in range(12)]
    (folder_of_cells / "few.csv").write_text("\n".join(["path,label,slide", *rows]))
    words = ["--data", str(folder_of_cells / "few.csv"), "--task", "all", *SMALL]
    with warnings.catch_warnings(action="ignore"):
        assert "class A alone to train on" in complaint(capsys, monkeypatch, tmp_path, *words, "--folds", "3")


def test_a_network_that_was_trained_on_test_cells_of_other_folds_is_refused(finished, capsys, monkeypatch, tmp_path):
    words = [*FEW, "--init", str(finished / "tml" / "fold_0"), "--only-folds", "0", "2", "--strict-split"]
    said = complaint(capsys, monkeypatch, tmp_path, *words)
    assert "on cells which fold 2 will test; --only-folds 0 avoids it" in said


def test_guides_need_a_matrix(folder_of_cells, capsys, monkeypatch, tmp_path):
    words = ["--data", str(folder_of_cells), "--task", "all", *SMALL, "--with", "guides"]
    said = complaint(capsys, monkeypatch, tmp_path, *words)
    assert "--with guides: smrjax has no similarity matrix of these classes" in said


def test_neutrophilic_needs_a_lineage(folder_of_cells, capsys, monkeypatch, tmp_path):
    assert "--lineages" in complaint(capsys, monkeypatch, tmp_path, "--data", str(folder_of_cells), *SMALL)


def test_an_empty_class_is_named(folder_of_cells, capsys, monkeypatch, tmp_path):
    (folder_of_cells / "EMPTY").mkdir()
    words = [
        *SMALL,
        "--task",
        "all",
        "--features",
        "lbp",
        "--classifiers",
        "svm",
        "--out",
        str(tmp_path),
        "--name",
        "r",
    ]
    monkeypatch.setattr(sys, "argv", ["baselines", "--data", str(folder_of_cells), *words])
    with warnings.catch_warnings(action="default"):
        leave(baselines.main)
    assert "EMPTY: a class without images; it is left out" in capsys.readouterr().err


def test_config_survives_json():
    config = baselines.PRESETS["paper"]
    assert from_json(baselines.Config, json.loads(json.dumps(to_json(config)))) == config


def test_the_paper_preset_is_the_papers_protocol():
    """OOTB, sections 3 and 4."""
    paper = baselines.resolved(baselines.PRESETS["paper"])
    options, train = paper.baselines, paper.train
    assert options.features == ("hog", "shog", "lbp", "resnet18", "resnet152")
    assert options.networks == ("resnet18", "resnet152") and paper.encoder.init == "imagenet"
    assert (paper.data.folds, options.inner_folds, options.sets, options.network_sets) == (3, 6, 150, 10)
    assert options.network_parts == 6 and options.descriptor_size == paper.data.image_size == 200
    assert options.hog_cell == 50 and options.hog_block == 2
    assert train.rotation and train.crop * 200 == 10 and not (train.flips or train.zoom or train.stain)
