"""The command line as a user meets it: a whole run, a stop and a resume, and every kind of bad input."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import kendalltau
from sklearn.metrics import f1_score

from experiments import smr
from experiments.checks import warn_of_collapse
from experiments.config import DataOptions, EncoderOptions, from_json, to_json
from experiments.prepare import prepare
from experiments.runtime import leave
from smrjax.data.synthetic import render
from smrjax.errors import InputError
from smrjax.method import tml
from tests.train.disks import enlarge, small_disk

# A few hundred cells leave the rarest class out of a fold, of which the data room warns.
pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

ROOT = Path(__file__).parents[2]
FEW = ["--count", "360", "--image-size", "16", "--folds", "3", "--encoder", "densenet_tiny"]
SMALL = [
    *FEW,
    "--only-folds",
    "0",
    "1",
    "--epochs",
    "2",
    "--per-class",
    "1",
    "--curve",
    "bezier",
    "--loss",
    "projected",
]


def run(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "experiments.smr", *words], cwd=ROOT, capture_output=True, text=True, **options
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run on rendered cells."""
    out = tmp_path_factory.mktemp("runs")
    done = run(*SMALL, "--out", str(out), "--name", "whole")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "macro-F" in done.stdout and "tau" in done.stdout
    return out / "smr" / "whole"


def test_summary_follows_from_the_predictions(finished):
    """Scores in summary.json against scikit-learn and scipy on predictions.csv."""
    summary = json.loads((finished / "summary.json").read_text())
    with open(finished / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    classes = summary["data"]["classes"]
    for i, fold in enumerate(summary["folds"]):
        own = [row for row in rows if row["fold"] == str(fold["fold"])]
        expected = f1_score([r["true"] for r in own], [r["predicted"] for r in own], average="macro", zero_division=0)
        assert summary["scores"]["macro_f1"]["values"][i] == pytest.approx(expected)
    for row in rows:
        p = np.array([float(row[f"p_{c}"]) for c in classes])
        assert p.sum() == pytest.approx(1, abs=1e-4)
        assert classes[p.argmax()] == row["predicted"]
        if row["t"]:
            assert float(row["t"]) == pytest.approx(np.clip(float(row["raw_t"]), 0, 1), abs=1e-5)
            assert float(row["distance"]) >= 0
        else:
            assert row["lineage"] == ""
    values = summary["scores"]["macro_f1"]["values"]
    assert summary["scores"]["macro_f1"]["mean"] == pytest.approx(np.mean(values))
    assert summary["config"]["data"]["count"] == 360


def test_the_summary_says_where_its_numbers_come_from(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["versions"]["numpy"] == np.__version__ and summary["config"]["train"]["seed"] == 0
    assert summary["device"]["count"] >= 1 and summary["device"]["processes"] == 1 and summary["device"]["kind"]
    assert summary["data"]["sha256"] == json.loads((finished / "run.json").read_text())["cells"]
    assert summary["command"].startswith("python -m experiments.smr --count 360")
    if (ROOT / ".git").exists():
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        assert summary["git"]["commit"] == head


def test_tau_is_that_of_scipy(finished):
    with np.load(finished / "fold_0" / "embeddings.npz") as arrays:
        test = arrays["part"] == 2
        t, labels = arrays["t_own"][test], arrays["labels"][test]
    result = json.loads((finished / "fold_0" / "result.json").read_text())
    own = np.isin(labels, range(6))
    expected = kendalltau(t[own], labels[own]).statistic
    assert result["scores"]["readouts"]["neutrophil"]["own"]["kendall_tau_stage"] == pytest.approx(expected)


def test_the_svm_predicts_the_same_from_numpy_alone(finished):
    from smrjax.evaluate.svm import load_svm
    from smrjax.evaluate.svm_model import predict

    with np.load(finished / "fold_1" / "embeddings.npz") as arrays:
        z, predicted = arrays["embeddings"], arrays["predicted"]
    np.testing.assert_array_equal(predict(load_svm(finished / "fold_1" / "svm"), z), predicted)


def test_pictures_are_drawn(finished):
    names = {path.name for path in (finished / "pictures").glob("*.png")}
    assert names == {f"{n}.png" for n in ("cells", "embedding", "maturity", "true_maturity", "confusion", "learning")}
    for name in names:
        assert np.asarray(Image.open(finished / "pictures" / name)).std() > 5


def test_stopped_and_resumed_equals_uninterrupted(finished, tmp_path):
    """SIGINT within its second epoch: it saves, says how to go on, and ends with the same bits."""
    command = [sys.executable, "-m", "experiments.smr", *SMALL, "--no-pictures"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path), "--name", "parts"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "smr" / "parts"
    until = time.monotonic() + 300
    while not list((folder / "fold_0" / "checkpoints").glob("[1-9]*")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=300)
    assert process.returncode == 130, words[-2000:]
    assert f"--resume {folder}" in words
    assert not (folder / "summary.json").exists()
    done = run("--resume", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (folder / "pictures").exists()
    for fold in ("fold_0", "fold_1"):
        with np.load(finished / fold / "embeddings.npz") as a, np.load(folder / fold / "embeddings.npz") as b:
            for name in a.files:
                np.testing.assert_array_equal(a[name], b[name])
        assert (finished / fold / "result.json").read_text() == (folder / fold / "result.json").read_text()
    command = json.loads((folder / "summary.json").read_text())["command"]
    assert "--resume" not in command and command.endswith("--name parts")


def test_a_run_is_not_gone_on_with_on_other_cells(folder_of_cells, capsys, monkeypatch, tmp_path):
    words = ["--data", str(folder_of_cells), *FEW[2:], "--method", "tml", "--epochs", "0"]
    done = run(*words, "--out", str(tmp_path), "--name", "run", "--no-pictures")
    assert done.returncode == 0, done.stderr[-3000:]
    (folder_of_cells / "A" / "0.png").unlink()
    monkeypatch.setattr(sys, "argv", ["smr", "--resume", str(tmp_path / "smr" / "run")])
    with pytest.raises(SystemExit) as end:
        leave(smr.main)
    assert end.value.code == 2
    assert "the cells are no longer those the run began with" in capsys.readouterr().err


def test_a_loss_that_explodes_ends_in_one_line(capsys, monkeypatch, tmp_path):
    words = [*FEW, "--method", "tml", "--learning-rate", "1e30", "--epochs", "2", "--only-folds", "0"]
    monkeypatch.setattr(sys, "argv", ["smr", *words, "--out", str(tmp_path), "--name", "run"])
    with pytest.raises(SystemExit) as end:
        leave(smr.main)
    assert end.value.code == 2
    assert "lower learning rate" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "smr" / "run" / "summary.json").exists()


def test_a_class_without_images_to_train_on_is_said(folder_of_cells, capsys, monkeypatch, tmp_path):
    """All of its cells are of one slide, and that is tested with; the rest is learnt."""
    lines = [f"A/{i}.png,A,{i % 3}\nB/{i}.png,B,{i % 3}\n" for i in range(6)] + ["A/6.png,C,0\nB/6.png,C,0\n"]
    (folder_of_cells / "cells.csv").write_text("path,label,fold\n" + "".join(lines))
    words = ["--data", str(folder_of_cells / "cells.csv"), *FEW[2:4], *FEW[6:], "--method", "tml", "--epochs", "1"]
    words += ["--per-class", "2", "--classes-per-batch", "2", "--only-folds", "0", "--no-pictures"]
    monkeypatch.setattr(sys, "argv", ["smr", *words, "--out", str(tmp_path), "--name", "run"])
    leave(smr.main)
    said = capsys.readouterr()
    assert "fold 0: no cell of C is in its training part" in said.out, said.err
    with open(tmp_path / "smr" / "run" / "predictions.csv") as file:
        assert "C" not in {row["predicted"] for row in csv.DictReader(file)}


def test_a_full_disk_is_one_line_and_with_room_the_run_goes_on(capsys, monkeypatch, tmp_path):
    words = [*FEW, "--method", "tml", "--epochs", "1", "--per-class", "1", "--only-folds", "0", "--no-pictures"]
    with small_disk(tmp_path / "disk", "120k") as disk:
        for more in ([*words, "--out", str(disk), "--name", "run"], ["--resume", str(disk / "smr" / "run")]):
            monkeypatch.setattr(sys, "argv", ["smr", *more])
            with pytest.raises(SystemExit) as end:
                leave(smr.main)
            assert end.value.code == 2
            said = capsys.readouterr().err
            assert "cannot be written" in said.strip().splitlines()[-1] and "Traceback" not in said
        enlarge(disk, "50m")
        leave(smr.main)
        assert json.loads((disk / "smr" / "run" / "summary.json").read_text())["folds"]


@pytest.mark.parametrize(
    ("number", "file", "words"),
    [
        (errno.ENOSPC, "cache/images.npy", "cache/images.npy: cannot be written (No space left on device); make room"),
        (errno.ENOSPC, None, "a file: cannot be written (No space left on device); make room"),
        (errno.EIO, "cache/images.npy", "cache/images.npy: Input/output error"),
        (errno.EIO, None, None),
    ],
)
def test_what_a_disk_says_anywhere_is_one_line(number, file, words, capsys):
    """Of a file, or of a disk that is full; what else a system says is a fault to be looked into."""

    def main():
        raise OSError(number, os.strerror(number), file)

    with pytest.raises(SystemExit if words else OSError) as end:
        leave(main)
    if words:
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith(f"error: {words}")


def test_frozen_stages_computed_beforehand_give_the_same_embeddings(tmp_path):
    """The features of flips and quarter turns, averaged by --tta, against the network on the turned images."""
    common = [*FEW, "--method", "tml", "--epochs", "0", "--only-folds", "0", "--frozen-stages", "2", "--tta"]
    for name, words in (("direct", []), ("stored", ["--precompute"]), ("again", ["--precompute"])):
        done = run(*common, *words, "--out", str(tmp_path), "--name", name, "--no-pictures")
        assert done.returncode == 0, done.stderr[-3000:]
    seen = {}
    for name in ("direct", "stored", "again"):
        with np.load(tmp_path / "smr" / name / "fold_0" / "embeddings.npz") as arrays:
            seen[name] = arrays["embeddings"]
    # Stored in half precision.
    np.testing.assert_allclose(seen["stored"], seen["direct"], atol=5e-3)
    np.testing.assert_array_equal(seen["again"], seen["stored"])
    assert np.abs(seen["direct"]).max() > 0.1


def test_config_survives_json():
    config = smr.PRESETS["paper"]
    assert from_json(smr.Config, json.loads(json.dumps(to_json(config)))) == config
    with pytest.raises(InputError, match="unknown option 'speed'"):
        from_json(smr.Config, to_json(config) | {"speed": 1})


def test_the_paper_preset_is_the_papers_setup():
    """SMR, section III-C; GUIDES, section 3."""
    paper = smr.PRESETS["paper"]
    assert paper.encoder.encoder == "densenet121" and paper.encoder.init == "imagenet"
    assert paper.encoder.embedding_dim == 256 and paper.encoder.dropout == 0.05
    assert paper.data.image_size == 224 and paper.data.folds == 6
    assert paper.train.patience == 50 and paper.train.norm_weight == 0.001
    assert paper.smr.margin == 0.1


@pytest.mark.parametrize(
    "alpha, l1, dim, warned",
    [(0.2, "sum", 256, True), (0.2, "mean", 256, False), (0.8, "mean", 256, True), (0.2, "mean", 16, True)],
)
def test_a_pull_that_collapses_the_embedding_is_warned_of(alpha, l1, dim, warned, recwarn):
    warn_of_collapse(alpha, l1, dim)
    assert [str(w.message).startswith("--l1") for w in recwarn] == [True] * warned


def test_help_names_the_choices():
    done = run("--help")
    assert done.returncode == 0
    for word in ("bezier", "svd", "frequency", "projected", "densenet121", "--lineages", "--resume", "--preset"):
        assert word in done.stdout


@pytest.fixture
def folder_of_cells(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("A", "B"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(8):
            image = Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8))
            image.save(tmp_path / "cells" / name / f"{i}.png")
    return tmp_path / "cells"


def complaint(capsys, monkeypatch, tmp_path, *words: str) -> str:
    """What a command says that has to fail with one line and exit code 2, leaving no run behind."""
    out = tmp_path / "runs"
    monkeypatch.setattr(sys, "argv", ["smr", *words, "--out", str(out)])
    with pytest.raises(SystemExit) as end:
        leave(smr.main)
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert not list(out.glob("smr/*"))
    return said


def _number(flag: str, value: str) -> tuple[list[str], str]:
    return [flag, value], flag


BAD = {
    "no cells": _number("--count", "0"),
    "no such set of cells": (["--render-seed", "-1"], "seed -1"),
    "one fold": _number("--folds", "1"),
    "no epochs between grids": _number("--grid-every", "0"),
    "no patience": _number("--patience", "0"),
    "no embedding": _number("--embedding-dim", "0"),
    "one class a batch": _number("--classes-per-batch", "1"),
    "negative seed": _number("--seed", "-1"),
    "alpha beyond one": _number("--alpha", "1.5"),
    "no learning rate": _number("--learning-rate", "nan"),
    "dropout of everything": _number("--dropout", "1"),
    "no such taxonomy": (["--taxonomy", "nowhere.toml"], "nowhere.toml"),
    "a fold twice": (["--only-folds", "0", "0"], "--only-folds"),
    "no such folder": (["--data", "nowhere"], "nowhere"),
    "unknown preset": (["--preset", "huge"], "quick, paper"),
    "no such fold": ([*FEW, "--only-folds", "9"], "--only-folds 9"),
    "uneven batch": ([*FEW, "--devices", "4", "--per-class", "1"], "evenly"),
    "too many frozen": ([*FEW, "--frozen-stages", "99"], "--frozen-stages 99"),
    "no such weights": ([*FEW, "--init", "weights.pth"], "weights.pth"),
    "folders in a name": ([*FEW, "--name", "a/b"], "plain name"),
    "resume and more": (["--resume", "runs/smr/x", "--curve", "svd"], "--resume"),
}


def test_render_seed_draws_other_cells(tmp_path):
    data = DataOptions(count=600, image_size=16, folds=3, render_seed=5, cache=tmp_path)
    encoder = EncoderOptions(encoder="densenet_tiny")
    prepared = prepare(smr.Config(data=data, encoder=encoder), lambda taxonomy: tml())
    np.testing.assert_array_equal(prepared.cells.images[7], render(7, size=16, seed=5).image)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_line(case, capsys, monkeypatch, tmp_path):
    words, expected = BAD[case]
    assert expected in complaint(capsys, monkeypatch, tmp_path, *words)


def test_unknown_class_in_a_lineage(folder_of_cells, capsys, monkeypatch, tmp_path):
    words = ["--data", str(folder_of_cells), "--image-size", "16", "--lineages", "n=A,Z"]
    assert "Z" in complaint(capsys, monkeypatch, tmp_path, *words)


def test_smr_without_a_lineage(folder_of_cells, capsys, monkeypatch, tmp_path):
    words = ["--data", str(folder_of_cells), "--image-size", "16"]
    assert "--lineages" in complaint(capsys, monkeypatch, tmp_path, *words)


def test_fewer_images_than_folds(folder_of_cells, capsys, monkeypatch, tmp_path):
    words = ["--data", str(folder_of_cells), "--image-size", "16", "--lineages", "n=A,B", "--folds", "9"]
    assert "folds" in complaint(capsys, monkeypatch, tmp_path, *words)


def test_unreadable_image(folder_of_cells, capsys, monkeypatch, tmp_path):
    (folder_of_cells / "A" / "3.png").write_bytes(b"not an image")
    words = ["--data", str(folder_of_cells), "--image-size", "16", "--lineages", "n=A,B"]
    assert "3.png" in complaint(capsys, monkeypatch, tmp_path, *words)


def test_a_name_that_is_taken(finished, capsys, monkeypatch):
    before = (finished / "summary.json").read_text()
    monkeypatch.setattr(sys, "argv", ["smr", *SMALL, "--out", str(finished.parents[1]), "--name", "whole"])
    with pytest.raises(SystemExit) as end:
        leave(smr.main)
    assert end.value.code == 2
    assert "--resume" in capsys.readouterr().err
    assert (finished / "summary.json").read_text() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(capsys, monkeypatch, tmp_path):
    tmp_path.chmod(0o500)
    assert "--out" in complaint(capsys, monkeypatch, tmp_path, *FEW)


def test_real_cells(real_data, tmp_path):
    """One epoch on a few cells of every class of the peripheral blood set."""
    for source in sorted((real_data / "pbc").iterdir()):
        (tmp_path / "pbc" / source.name).mkdir(parents=True)
        for image in sorted(source.iterdir())[:12]:
            (tmp_path / "pbc" / source.name / image.name).symlink_to(image)
    done = run(
        *["--data", str(tmp_path / "pbc"), "--lineages", "neutrophil=PMY,MY,MMY,BNE,SNE", "--curve", "svd"],
        *["--image-size", "16", "--epochs", "1", "--folds", "3", "--only-folds", "0", "--out", str(tmp_path)],
        *["--name", "real", "--tta", "--encoder", "densenet_tiny"],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "smr" / "real" / "summary.json").read_text())
    assert summary["data"]["cells"] == 120
    assert 0 <= summary["scores"]["macro_f1"]["mean"] <= 1
