"""The guides' command line: a guide beside the baseline, all of them, a laboratory's own matrix, bad input."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import guides, guides_options
from experiments.config import from_json, to_json
from experiments.runtime import leave
from smrjax.guides import find_matrix

pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

ROOT = Path(__file__).parents[2]
FEW = [
    *["--count", "360", "--image-size", "16", "--folds", "3", "--only-folds", "0", "1", "--per-class", "1"],
    *["--encoder", "densenet_tiny"],
]


def run(*words: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.guides", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The inverse UMAP guide and the baseline on rendered cells."""
    out = tmp_path_factory.mktemp("runs")
    words = ["--guide", "kk", "--maturity", "--decision", "severity", "--epochs", "2", "--umap-samples", "60"]
    done = run(*FEW, *words, "--out", str(out), "--name", "kk")
    assert "TML" in done.stdout and "severity" in done.stdout
    assert "UMAP of 60 embeddings" in done.stderr
    return out / "guides" / "kk"


def test_the_guide_and_the_baseline_are_scored_on_the_same_folds(finished):
    """Severity of the errors, recomputed from predictions.csv and the matrix cell by cell (GUIDES, eq. 5)."""
    for name in ("tml", "kk-similarity-maturity-umap"):
        summary = json.loads((finished / name / "summary.json").read_text())
        classes = summary["data"]["classes"]
        matrix = find_matrix("severity", classes)
        with open(finished / name / "predictions.csv") as file:
            rows = list(csv.DictReader(file))
        assert {row["fold"] for row in rows} == {"0", "1"}
        for i, fold in enumerate(summary["folds"]):
            own = [row for row in rows if row["fold"] == str(fold["fold"])]
            harm = 0.0
            for row in own:
                true, predicted = classes.index(row["true"]), classes.index(row["predicted"])
                harm += matrix[true, predicted] if true != predicted else 0
            scores = summary["scores"]["misclassification_severity"]["values"]
            assert scores[i] == pytest.approx(harm / len(own))


def test_the_severe_decision_takes_the_class_of_least_expected_harm(finished):
    """Against the sum written out for every cell."""
    summary = json.loads((finished / "tml" / "summary.json").read_text())
    classes = summary["data"]["classes"]
    matrix = np.where(np.eye(len(classes)), 0, find_matrix("severity", classes))
    with open(finished / "tml" / "predictions.csv") as file:
        for row in list(csv.DictReader(file))[:50]:
            p = np.array([float(row[f"p_{c}"]) for c in classes])
            harm = [sum(p[true] * matrix[true, named] for true in range(len(classes))) for named in range(len(classes))]
            assert harm[classes.index(row["predicted"])] == pytest.approx(min(harm), abs=1e-4)


def test_its_pictures_are_drawn(finished):
    for name in ("guides.png", "scores.png"):
        assert np.asarray(Image.open(finished / name)).std() > 5


def test_a_set_goes_on_where_it_stopped(finished):
    """Without the guided run's end, --resume writes that again and leaves the baseline alone."""
    guided, baseline = finished / "kk-similarity-maturity-umap", finished / "tml"
    before = json.loads((guided / "summary.json").read_text())["scores"]
    (guided / "summary.json").unlink()
    (guided / "fold_1" / "result.json").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in baseline.rglob("*") if path.is_file()}
    kept = (guided / "fold_0" / "result.json").stat().st_mtime_ns
    run("--resume", str(finished))
    assert json.loads((guided / "summary.json").read_text())["scores"] == before
    assert (guided / "fold_0" / "result.json").stat().st_mtime_ns == kept
    assert {path: path.stat().st_mtime_ns for path in baseline.rglob("*") if path.is_file()} == stamps


def test_several_guides_and_both_losses():
    """The matrix and the lineages name only those guides that are drawn from them."""
    options = guides_options.GuideOptions(guide=("circular", "kk", "kk"), loss=("umap", "distance"), maturity=True)
    assert guides.guides_of(options) == [("circular", "", False), ("kk", "similarity", True)]
    guided = [f"{guide}-{loss}" for guide in ("circular", "kk-similarity-maturity") for loss in ("umap", "distance")]
    names = [guides.name_of(guide) for guide in guides.guides_of(options)]
    assert list(guides.variants(guides_options.Config(guides=options), names)) == ["tml", *guided]


def test_all_guides_without_a_lineage_are_those_that_need_none():
    names = [guides.name_of(guide) for guide in guides.guides_of(guides_options.GuideOptions(all=True), lineages=False)]
    assert names == [
        *[f"{layout}-{matrix}" for layout in ("kk", "fr", "drl") for matrix in ("similarity", "severity")],
        *["circular", "random"],
    ]


def test_all_are_eleven_guides_two_losses_and_the_baseline():
    """GUIDES, Figures 4 and 5."""
    options = guides_options.GuideOptions(all=True)
    names = [guides.name_of(guide) for guide in guides.guides_of(options)]
    drawn = {f"{g}-{m}" for g in ("kk", "fr", "drl") for m in ("similarity", "severity", "similarity-maturity")}
    assert len(names) == 11 and set(names) == drawn | {"circular", "random"}
    runs = guides.variants(guides_options.Config(guides=options), names)
    assert set(runs) == {"tml"} | {f"{name}-{loss}" for name in names for loss in ("umap", "distance")}


@pytest.mark.soak
def test_all_guides_under_both_losses(tmp_path):
    """Whole runs, though without an epoch: some minutes."""
    words = ["--all", "--inverse", "rbf", "--epochs", "0", "--only-folds", "0", "--out", str(tmp_path), "--name", "all"]
    done = run(*FEW, *words)
    folder = tmp_path / "guides" / "all"
    names = {path.parent.name for path in folder.glob("*/summary.json")}
    drawn = {f"{g}-{m}" for g in ("kk", "fr", "drl") for m in ("similarity", "severity", "similarity-maturity")}
    assert names == {"tml"} | {f"{g}-{loss}" for g in drawn | {"circular", "random"} for loss in ("umap", "distance")}
    assert sum(line.startswith("| ") for line in done.stdout.splitlines()) == 1 + 23
    for name in ("guides.png", "scores.png"):
        assert np.asarray(Image.open(folder / name)).std() > 5


@pytest.fixture
def own_cells(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("A", "B", "C"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(9):
            image = Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8))
            image.save(tmp_path / "cells" / name / f"{i}.png")
    return tmp_path / "cells"


def test_a_laboratorys_own_matrices(own_cells, tmp_path):
    (tmp_path / "similarity.csv").write_text(",A,B,C\nA,5,4,1\nB,4,5,2\nC,1,2,5\n")
    (tmp_path / "severity.csv").write_text(",A,B,C\nA,1,2,5\nB,2,1,3\nC,5,4,1\n")
    run(
        *["--data", str(own_cells), "--image-size", "16", "--folds", "3", "--only-folds", "0", "--epochs", "0"],
        *["--guide", "fr", "--matrix-file", str(tmp_path / "similarity.csv"), "--loss", "distance"],
        *["--severity-file", str(tmp_path / "severity.csv"), "--out", str(tmp_path), "--name", "own", "--no-pictures"],
    )
    summary = json.loads((tmp_path / "guides" / "own" / "fr-similarity-distance" / "summary.json").read_text())
    assert 0 <= summary["scores"]["misclassification_severity"]["mean"] <= 5


def test_the_paper_preset_is_the_papers_setup():
    """GUIDES, section 3."""
    paper = guides_options.PRESETS["paper"]
    assert (paper.guides.alpha, paper.guides.kappa, paper.guides.margin) == (0.4, 0.2, 0.1)
    assert paper.encoder.encoder == "densenet121" and paper.encoder.dropout == 0.05
    assert paper.data.folds == 6 and paper.train.patience == 50
    assert paper.train.grid_every == 5 and paper.train.norm_weight == 0.001
    assert from_json(guides_options.Config, json.loads(json.dumps(to_json(paper)))) == paper


MATRIX = ",A,B,C\nA,5,4,1\nB,4,5,2\nC,1,2,5\n"
BAD = {
    "no guide": (["--guide"], "--guide"),
    "no loss": (["--loss"], "--loss"),
    "a matrix for nothing": (["--guide", "circular", "--matrix-file", "own.csv"], "circular"),
    "margin below zero": (["--margin", "-1"], "--margin -1"),
    "alpha beyond one": (["--alpha", "1.5"], "--alpha 1.5"),
    "kappa below zero": (["--kappa", "-1"], "--kappa"),
    "too few samples": (["--umap-samples", "3"], "--umap-samples 3"),
    "never lifted": (["--umap-every", "0"], "--umap-every 0"),
    "no such matrix file": (["--matrix-file", "nowhere.csv"], "nowhere.csv"),
    "no such severity file": (["--severity-file", "nowhere.csv"], "nowhere.csv"),
    "resume and more": (["--resume", "runs/guides/x", "--guide", "kk"], "--resume"),
}


def complaint(capsys, monkeypatch, tmp_path, *words: str) -> str:
    out = tmp_path / "runs"
    monkeypatch.setattr(sys, "argv", ["guides", *words, "--out", str(out)])
    with pytest.raises(SystemExit) as end:
        leave(guides.main)
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert not list(out.glob("guides/*"))
    return said


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_line(case, capsys, monkeypatch, tmp_path):
    words, expected = BAD[case]
    few = [] if "--resume" in words else FEW
    assert expected in complaint(capsys, monkeypatch, tmp_path, *few, *words)


@pytest.mark.parametrize(
    "text, expected",
    [
        (MATRIX.replace("C,1,2,5", "D,1,2,5"), "D"),
        (MATRIX.replace("C,1,2,5\n", ""), "C"),
        (MATRIX.replace("C,1,2", "C,1,9"), "9"),
        (MATRIX.replace("C,1,2", "C,1,9").replace(",", ";"), "line 4, column B"),
        (MATRIX.replace("B,4", 'B,"4'), "line 3"),
        (MATRIX.replace("C,1,2", "C,1," + "9" * 200_000), "line 4"),
        (MATRIX.replace("C,1,2", "C,1," + "9" * 5000), "'99999999999999999999' is not"),
    ],
)
def test_a_bad_matrix_is_said_in_one_line(text, expected, own_cells, capsys, monkeypatch, tmp_path):
    (tmp_path / "own.csv").write_text(text)
    words = ["--data", str(own_cells), "--image-size", "16", "--folds", "3", "--matrix-file", str(tmp_path / "own.csv")]
    said = complaint(capsys, monkeypatch, tmp_path, *words)
    assert "own.csv" in said and expected in said and len(said) < 300


def test_maturity_without_a_lineage(own_cells, capsys, monkeypatch, tmp_path):
    (tmp_path / "own.csv").write_text(MATRIX)
    words = ["--data", str(own_cells), "--image-size", "16", "--folds", "3", "--matrix-file", str(tmp_path / "own.csv")]
    assert "--lineages" in complaint(capsys, monkeypatch, tmp_path, *words, "--maturity")


def test_a_resume_with_another_matrix_is_refused(own_cells, capsys, monkeypatch, tmp_path):
    """The file is read again; what the first folds were trained and scored with has to hold for the later ones."""
    similarity, severity = tmp_path / "similarity.csv", tmp_path / "severity.csv"
    similarity.write_text(MATRIX.replace(",", ";"))
    severity.write_text(",A,B,C\nA,1,2,5\nB,2,1,3\nC,5,4,1\n")
    run(
        *["--data", str(own_cells), "--image-size", "16", "--folds", "3", "--only-folds", "0", "--epochs", "0"],
        *["--guide", "kk", "--matrix-file", str(similarity), "--severity-file", str(severity), "--loss", "distance"],
        *["--out", str(tmp_path), "--name", "own", "--no-pictures"],
    )
    folder = tmp_path / "guides" / "own"
    assert not list(folder.glob("*.png"))
    told = json.loads((folder / "tml" / "summary.json").read_text())["severity"]
    assert told == {"file": str(severity), "matrix": [[0, 2, 5], [2, 0, 3], [5, 4, 0]]}
    for file, old, new, what in ((similarity, "A;5;4;1", "A;5;1;4", "guides"), (severity, "2,5", "2,4", "severities")):
        text = file.read_text()
        file.write_text(text.replace(old, new))
        monkeypatch.setattr(sys, "argv", ["guides", "--resume", str(folder)])
        with pytest.raises(SystemExit) as end:
            leave(guides.main)
        assert end.value.code == 2 and f"the {what} are no longer" in capsys.readouterr().err
        file.write_text(text)


def test_cells_without_a_matrix(own_cells, capsys, monkeypatch, tmp_path):
    words = ["--data", str(own_cells), "--image-size", "16", "--folds", "3"]
    assert "--matrix-file" in complaint(capsys, monkeypatch, tmp_path, *words)
