"""The command line as a laboratory meets it: new images by a finished run, and every kind of bad input."""

import csv
import io
import json
import os
import shlex
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn.metrics import accuracy_score, f1_score

from experiments import predict, predict_report, smr
from experiments.runtime import leave
from smrjax.data import load
from smrjax.predict import stains
from smrjax.predict.members import load_member
from smrjax.predict.run import open_run
from smrjax.train.loop import Interrupted
from tests.train.disks import no_file_beyond

pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

FEW = ["--count", "300", "--image-size", "16", "--folds", "3", "--only-folds", "0", "1", "--encoder", "densenet_tiny"]
#: Between them: curves of the method's own and fitted afterwards, stages computed beforehand, flips, severities.
RUNS = {
    "plain": ["--epochs", "1", "--per-class", "1", "--curve", "svd"],
    "turned": [
        *["--method", "tml", "--epochs", "0", "--frozen-stages", "1", "--precompute", "--tta", "--no-normalize"],
        *["--decision", "severity"],
    ],
}


def call(module, *words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__name__, *words])
        leave(module.main)


def refused(capsys, *words: str) -> str:
    """What is said in one line, with exit code 2."""
    with pytest.raises(SystemExit) as end:
        call(predict, *words)
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    return said


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        call(smr, *FEW, *words, "--no-pictures", "--out", str(out), "--name", name)
    return out / "smr"


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> Path:
    """The cells of the runs as PNG files, in folders called like their classes."""
    folder = tmp_path_factory.mktemp("images") / "slides"
    cells = load("synthetic_marrow", size=16, count=300, progress=False)
    for name, image, label in zip(cells.names, cells.images, cells.labels, strict=True):
        (folder / cells.classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / cells.classes[label] / f"{name}.png")
    return folder


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    """Rows by the cell's name."""
    with open(path, newline="") as file:
        return {Path(row["path"]).stem: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", RUNS)
def test_test_cells_are_predicted_as_the_run_did(name, runs, slides, tmp_path):
    """From image files alone: class, probabilities to 1e-5, maturity."""
    call(predict, "--run", str(runs / name), "--images", str(slides), "--out", str(tmp_path / "out"), "--fold", "1")
    found, expected = rows_of(tmp_path / "out" / "predictions.csv"), rows_of(runs / name / "fold_1" / "predictions.csv")
    assert len(found) == 300 and 80 < len(expected) < 120
    for cell, row in expected.items():
        own = found[cell]
        for column in ("predicted", "lineage"):
            assert own[column] == row[column]
        for column in ("t", *(column for column in row if column.startswith("p_"))):
            assert (own[column] == "") == (row[column] == "")
            assert float(own[column] or 0) == pytest.approx(float(row[column] or 0), abs=1e-5)
        for column in ("raw_t", "distance"):
            assert float(own[column] or 0) == pytest.approx(float(row[column] or 0), rel=1e-4, abs=1e-5)


def test_an_ensemble_is_the_mean_of_its_folds(runs, slides, tmp_path):
    """Float64 means by hand of what each fold says by itself."""
    folders = [tmp_path / "0", tmp_path / "1", tmp_path / "all"]
    for folder, words in zip(folders, (["--fold", "0"], ["--fold", "1"], []), strict=True):
        call(predict, "--run", str(runs / "plain"), "--images", str(slides), "--out", str(folder), *words)
    one, other, both = (parquet.read_table(folder / "predictions.parquet").to_pylist() for folder in folders)
    codes = [name for name in both[0] if name.startswith("p_")]
    same = 0
    for a, b, c in zip(one, other, both, strict=True):
        p = [(np.float64(a[code]) + np.float64(b[code])) / 2 for code in codes]
        np.testing.assert_allclose([c[code] for code in codes], p, atol=1e-6)
        assert c["unfamiliar_ratio"] == pytest.approx((a["unfamiliar_ratio"] + b["unfamiliar_ratio"]) / 2, rel=1e-5)
        if a["lineage"] == b["lineage"] == c["lineage"] is not None:
            same += 1
            for column in ("raw_t", "distance", "off_curve_ratio"):
                assert c[column] == pytest.approx((a[column] + b[column]) / 2, rel=1e-4, abs=1e-6)
            assert c["t"] == pytest.approx(np.clip(c["raw_t"], 0, 1))
        assert f"p_{c['predicted']}" == codes[int(np.argmax(p))]
    assert same > 20
    summary = json.loads((folders[2] / "summary.json").read_text())
    assert summary["run"]["folds"] == [0, 1] and summary["images"] == 300
    assert summary["flags"]["borderline"] == sum(row["borderline"] for row in both)
    assert "research use only" in summary["warning"] and summary["images_per_second"] > 0


def test_bad_images_are_rows(runs, slides, tmp_path, capsys):
    """In a manifest with slides, labels, and files that are gone or broken."""
    images = sorted(slides.rglob("*.png"))[:5]
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(images[0].read_bytes()[:100])
    names = [*images, tmp_path / "empty.png", tmp_path / "cut.png", tmp_path / "gone.png"]
    lines = [f"{path},{'AB'[i % 2]},PMY" for i, path in enumerate(names)]
    (tmp_path / "list.csv").write_text("\n".join(["path,slide,label", *lines]) + "\n")
    call(predict, "--run", str(runs / "plain"), "--images", str(tmp_path / "list.csv"), "--out", str(tmp_path / "out"))
    assert "8 images, 3 unreadable" in capsys.readouterr().out
    rows = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [row["path"] for row in rows] == [str(path) for path in names]
    assert [row["group"] for row in rows] == list("ABABABAB") and {row["true"] for row in rows} == {"PMY"}
    assert [row["unreadable"] for row in rows] == [False] * 5 + [True] * 3
    assert ["empty" in rows[5]["reason"], "damaged" in rows[6]["reason"], "no such" in rows[7]["reason"]] == [True] * 3
    assert all(row["predicted"] is None and row["p_PMY"] is None for row in rows[5:])


def test_nothing_but_bad_images(runs, tmp_path):
    (tmp_path / "x.png").write_text("no image")
    call(predict, "--run", str(runs / "plain"), "--images", str(tmp_path / "x.png"), "--out", str(tmp_path / "out"))
    (row,) = rows_of(tmp_path / "out" / "predictions.csv").values()
    assert row["unreadable"] == "true" and row["predicted"] == row["t"] == ""


def stopped_by_ctrl_c(patch, place, name: str, *words: str, times: int) -> None:
    """A signal of the system as soon as a function has been called so many times."""
    real, called = getattr(place, name), 0

    def then_ctrl_c(*how, **more):
        nonlocal called
        called += 1
        found = real(*how, **more)
        if called == times:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    patch.setattr(place, name, then_ctrl_c)
    before = signal.getsignal(signal.SIGINT)  # in the background of a shell, it is ignored
    with pytest.raises(SystemExit) as end:
        call(predict, *words)
    assert end.value.code == 130 and called == times
    assert signal.getsignal(signal.SIGINT) is before


def assert_same_tables(one: Path, other: Path) -> None:
    for name in ("predictions.csv", "predictions.parquet", "counts.csv", "ratios.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_stopped_and_gone_on_with_equals_uninterrupted(runs, slides, tmp_path, monkeypatch, capsys):
    """Stopped in its third part of 64 images; what it says to go on with gives the same tables."""
    monkeypatch.setattr(predict, "PORTION", 64)
    words = ["--run", str(runs / "plain"), "--images", str(slides), "--batch", "32"]
    call(predict, *words, "--out", str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        stopped_by_ctrl_c(patch, predict, "write_part", *words, times=2)
    folder = runs / "plain" / "predictions" / "slides"
    assert f"--out {folder}" in capsys.readouterr().err
    parts = sorted(path.name for path in (folder / "parts").iterdir())
    assert parts == ["000000.parquet", "000001.parquet"] and not (folder / "predictions.csv").exists()
    asked_for, real = [], predict.predict_files
    monkeypatch.setattr(
        predict, "predict_files", lambda paths, *rest, **how: asked_for.append(paths) or real(paths, *rest, **how)
    )
    call(predict, *words)
    assert len(asked_for[0]) == 300 - 2 * 64
    assert_same_tables(folder, tmp_path / "whole")
    assert not (folder / "parts").exists()
    # A finished one is left alone: the next has a folder of its own.
    call(predict, *words)
    assert (folder.parent / "slides-2" / "summary.json").exists()


def test_stopped_while_colours_are_read(runs, slides, tmp_path, monkeypatch, capsys):
    """Within a slide, after two of them; gone on with, it reads those of the others alone."""
    words = ["--run", str(runs / "plain"), "--images", str(slides), "--stain", "reinhard", "--fold", "0"]
    call(predict, *words, "--out", str(tmp_path / "whole"))
    assert "colours: 100%" in capsys.readouterr().err
    out = [*words, "--out", str(tmp_path / "stopped")]
    with monkeypatch.context() as patch:
        stopped_by_ctrl_c(patch, stains, "stain_statistics", *out, times=2)
    said = capsys.readouterr().err
    assert "stopping" in said and f"go on with: python -m experiments.predict {shlex.join(out)}" in said
    kept = json.loads((tmp_path / "stopped" / "parts" / "stains.json").read_text())
    groups = sorted(str(path) for path in slides.iterdir())
    assert list(kept) == groups[:2]
    read, real = [], stains.read_images
    monkeypatch.setattr(stains, "read_images", lambda paths, **how: read.extend(paths) or real(paths, **how))
    call(predict, *out)
    assert {str(Path(path).parent) for path in read} == set(groups[2:])
    assert_same_tables(tmp_path / "stopped", tmp_path / "whole")


def test_names_that_are_not_utf8(runs, slides, tmp_path, capsys, monkeypatch):
    """Of folders, images and results; a bad image among them, a strict screen, and every table."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff cells"))
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("the file system refuses such names")
    shutil.copy(next(slides.rglob("*.png")), odd / "a.png")
    Path(os.fsdecode(os.fsencode(odd) + b"/\xfe.png")).write_bytes(b"")
    run = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfd run"))
    # Untrained: checkpoints of trained ones Orbax would not read from there.
    shutil.copytree(runs / "turned", run)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict", newline=""))
    call(predict, "--run", str(run), "--images", str(odd))
    sys.stdout.flush()
    said = sys.stdout.buffer.getvalue().decode()
    assert "2 images, 1 unreadable" in said and "\\udcfd run/predictions/\\udcff cells/counts.csv" in said
    rows = list(rows_of(run / "predictions" / odd.name / "predictions.csv").values())
    assert [Path(row["path"]).name for row in rows] == ["a.png", "\ufffd.png"]
    assert all(row["group"].endswith("/\ufffd cells") for row in rows)
    about = json.loads((run / "predictions" / odd.name / "summary.json").read_text())
    assert about["command"].encode() and about["run"]["folder"].encode()
    assert "\\udcff" in refused(capsys, "--run", str(run), "--images", str(odd / "none"))


def test_an_error_is_one_line(runs, capsys):
    assert "no such\\ncells: there is no such folder" in refused(
        capsys, "--run", str(runs / "plain"), "--images", "no such\ncells"
    )


def test_folders_tell_the_class(runs, slides, tmp_path):
    call(
        predict,
        *["--run", str(runs / "plain"), "--images", str(slides), "--labels", "run", "--out", str(tmp_path / "out")],
    )
    rows = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert all(row["true"] == Path(row["path"]).parent.name and row["group"] == str(slides) for row in rows)
    known = json.loads((tmp_path / "out" / "summary.json").read_text())["labelled"]
    true, predicted = ([row[name] for row in rows] for name in ("true", "predicted"))
    assert known["cells"] == 300 and known["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    assert known["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))


def test_labels_may_be_of_another_taxonomy(runs, slides, tmp_path):
    """A folder PMO holds promyelocytes by marrow21, which the run calls PMY."""
    there = tmp_path / "PMO"
    there.mkdir()
    for number, path in enumerate(sorted((slides / "PMY").iterdir())[:5]):
        shutil.copy(path, there / f"{number}{path.suffix}")
    words = ["--run", str(runs / "plain"), "--images", str(tmp_path), "--fold", "0"]
    call(predict, *words, "--labels", "marrow21", "--out", str(tmp_path / "out"))
    rows = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [row["true"] for row in rows] == ["PMO"] * 5
    about = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert about["labels"]["name"] == "marrow21"
    assert about["labelled"]["accuracy"] == pytest.approx(np.mean([row["predicted"] == "PMY" for row in rows]))


def test_counts_are_those_of_the_table(runs, slides, tmp_path):
    """By the folders of the images, here one a class, and of all; the calibration is that of the run's test cells."""
    call(predict, "--run", str(runs / "plain"), "--images", str(slides), "--out", str(tmp_path / "out"), "--fold", "1")
    rows = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    expected = Counter((row["group"], row["predicted"]) for row in rows) + Counter(
        ("all", row["predicted"]) for row in rows
    )
    with open(tmp_path / "out" / "counts.csv") as file:
        found = {(row["group"], row["class"]): int(row["count"]) for row in csv.DictReader(file)}
    assert {key: count for key, count in found.items() if count} == dict(expected)
    with open(tmp_path / "out" / "ratios.csv") as file:
        assert "myeloid : erythroid" in {row["ratio"] for row in csv.DictReader(file)}
    tested = list(rows_of(runs / "plain" / "fold_1" / "predictions.csv").values())
    sure = np.array([max(float(v) for k, v in row.items() if k.startswith("p_")) for row in tested])
    right = np.array([row["true"] == row["predicted"] for row in tested])
    bins = np.ceil(sure * 15)
    gap = sum(abs(sure[bins == b].sum() - right[bins == b].sum()) for b in np.unique(bins)) / len(tested)
    about = json.loads((tmp_path / "out" / "summary.json").read_text())["test_cells"]
    assert about["expected_calibration_error"] == pytest.approx(gap) and about["cells"] == len(tested)


def test_colours_are_brought_to_those_of_the_run(runs, slides, tmp_path):
    """Of images in other colours more are named as those in the run's own; as they are, few."""
    for path in slides.rglob("*.png"):
        image = np.asarray(Image.open(path)).astype(float)
        (tmp_path / "blue" / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * [0.6, 0.7, 0.9]).astype(np.uint8)).save(
            tmp_path / "blue" / path.parent.name / path.name
        )
    predicted = []
    for name, source, words in (
        ("own", slides, []),
        ("blue", tmp_path / "blue", []),
        ("back", tmp_path / "blue", ["--stain", "reinhard"]),
    ):
        words = ["--run", str(runs / "plain"), "--images", str(source), "--labels", "run", "--fold", "0", *words]
        call(predict, *words, "--out", str(tmp_path / f"out of {name}"))
        rows = rows_of(tmp_path / f"out of {name}" / "predictions.csv")
        predicted.append([rows[cell]["predicted"] for cell in sorted(rows)])
    own, blue, back = map(np.array, predicted)
    assert (back == own).mean() > (blue == own).mean() + 0.3


def test_a_run_folder_alone_is_enough(runs, slides, tmp_path, monkeypatch):
    """Moved elsewhere, without its cells, its first weights or its taxonomy's file; one finished fold."""
    folder = tmp_path / "moved"
    shutil.copytree(runs / "turned", folder)
    shutil.rmtree(folder / "fold_0")
    (folder / "summary.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["data"]["taxonomy"] = "/nowhere.toml"
    (folder / "config.json").write_text(json.dumps(config))
    one = next(slides.rglob("*.png"))
    call(predict, "--run", str(folder), "--images", str(one))
    assert len(rows_of(folder / "predictions" / one.stem / "predictions.csv")) == 1


BAD = {
    "no such run": (["--run", "nowhere", "--images", "{slides}"], "nowhere: there is no run"),
    "a fold that is not there": (["--run", "{plain}", "--images", "{slides}", "--fold", "2"], "which are 0, 1"),
    "no images": (["--run", "{plain}", "--images", "{empty}"], "no images"),
    "no such folder": (["--run", "{plain}", "--images", "nowhere"], "nowhere"),
    "no batch": (["--run", "{plain}", "--images", "{slides}", "--batch", "0"], "--batch 0"),
    "borderline beyond one": (["--run", "{plain}", "--images", "{slides}", "--borderline", "2"], "--borderline 2"),
    "a fold's folder": (["--run", "{plain}/fold_0", "--images", "{slides}"], "there is no run"),
    "the folder of runs": (["--run", "{many}", "--images", "{slides}"], "name one, as in"),
    "an unfinished run": (["--run", "{begun}", "--images", "{slides}"], "no fold of this run is finished"),
    "a run of baselines": (["--run", "{baselines}", "--images", "{slides}"], "experiments.baselines"),
    "a run of strategies": (["--run", "{strategies}", "--images", "{slides}"], "experiments.strategies"),
    "a row of strategies": (["--run", "{strategies}/net/random", "--images", "{slides}"], "experiments.strategies"),
    "a damaged fold": (["--run", "{damaged}", "--images", "{slides}"], "embeddings.npz"),
    "no stored stages": (["--run", "{bare}", "--images", "{slides}"], "--resume"),
    "an uneven batch": (
        ["--run", "{plain}", "--images", "{slides}", "--devices", "4", "--batch", "6"],
        "evenly over 4",
    ),
    "results of others": (["--run", "{plain}", "--images", "{slides}", "--out", "{slides}"], "choose another --out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_line(case, runs, slides, capsys, tmp_path):
    places = {"slides": slides, "plain": runs / "plain"}
    for name in ("empty", "many", "begun", "baselines", "strategies", "damaged", "bare"):
        places[name] = tmp_path / name
        (tmp_path / name).mkdir()
    config = json.loads((runs / "plain" / "config.json").read_text())
    for name, more in (("many", {}), ("begun", {}), ("baselines", {"baselines": {}}), ("strategies", {"strategy": {}})):
        (tmp_path / name / "config.json").write_text(json.dumps(config | more))
    shutil.copytree(runs / "plain", tmp_path / "many" / "tml")
    for name, source in (("damaged", "plain"), ("bare", "turned")):
        shutil.copytree(runs / source, tmp_path / name, dirs_exist_ok=True)
    (tmp_path / "damaged" / "fold_0" / "embeddings.npz").write_bytes(b"PK")
    (tmp_path / "bare" / "untrained.npz").unlink()
    words, expected = BAD[case]
    kept = [slides.parent, runs / "plain"]
    before = [sorted(place.rglob("*")) for place in kept]
    assert expected in refused(capsys, *(word.format(**places) for word in words))
    assert [sorted(place.rglob("*")) for place in kept] == before


def test_another_job_does_not_go_on_with_a_stopped_one(runs, slides, tmp_path, capsys):
    words = ["--run", str(runs / "plain"), "--images", str(slides), "--out", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "embedder", lambda *rest: (_ for _ in ()).throw(Interrupted("later")))
        with pytest.raises(SystemExit):
            call(predict, *words)
    assert "choose another --out" in refused(capsys, *words, "--borderline", "0.5")
    call(predict, *words)
    assert "choose another --out" in refused(capsys, *words)


def test_all_folds_share_one_program(runs):
    """Folds are known by their variables alone."""
    run = open_run(runs / "plain")
    shapes = [
        [(key, np.shape(leaf)) for key, leaf in _flat(load_member(run, fold).variables).items()] for fold in run.folds
    ]
    assert shapes[0] == shapes[1] and len(shapes[0]) > 5


def _flat(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, inner in tree.items() for k, v in _flat(inner, f"{prefix}/{name}").items()}


#: Of every tenth cell, in parts of eight.
SOME = ["--fold", "0", "--batch", "8"]


@pytest.fixture
def some(runs, slides, monkeypatch) -> list[str]:
    monkeypatch.setattr(predict, "PORTION", 8)
    return ["--run", str(runs / "plain"), "--images", str(slides / "*" / "*1.png"), *SOME]


def test_a_full_disk_is_gone_on_with(some, tmp_path, monkeypatch, capsys):
    """Whatever it is that does not fit: a line, nothing by halves, and the same command ends as one without a fault."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    call(predict, *some, "--out", str(whole))
    sizes = {"job.json": 100, "000000.parquet": 2000, "predictions.": (whole / "predictions.csv").stat().st_size - 1}
    before: set[str] = set()
    for name, size in sizes.items():
        with no_file_beyond(size):
            said = refused(capsys, *some, "--out", str(out))
        assert f"{out}" in said and f"{name}" in said and "cannot be written" in said and "File too large" in said
        left = {path.name for path in out.rglob("*") if path.is_file()}
        assert left >= before and not any(one.startswith(("predictions", name)) or ".part" in one for one in left)
        before = left
    with monkeypatch.context() as patch:
        # Smaller than those tables, so the fault is put where it is written.
        patch.setattr(predict_report, "write_ratios", full(predict_report.write_ratios))
        assert "ratios.csv: cannot be written" in refused(capsys, *some, "--out", str(out))
    assert not (out / "ratios.csv").exists() and not (out / "summary.json").exists()
    call(predict, *some, "--out", str(out))
    assert_same_tables(out, whole)


def full(write):
    def into_too_little(*words, **how):
        with no_file_beyond(10):
            write(*words, **how)

    return into_too_little


def test_a_damaged_part_is_named(some, tmp_path, monkeypatch, capsys):
    """And once it is taken away, the prediction ends as one that was never stopped."""
    out, part = tmp_path / "out", tmp_path / "out" / "parts" / "000001.parquet"
    with monkeypatch.context() as patch:
        stopped_by_ctrl_c(patch, predict, "write_part", *some, "--out", str(out), times=3)
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2] + bytes(8) + content[len(content) // 2 + 8 :])
    said = refused(capsys, *some, "--out", str(out))
    assert f"{part}: is damaged" in said and "take it away" in said
    assert not (out / "predictions.csv").exists()
    part.unlink()
    call(predict, *some, "--out", str(out))
    call(predict, *some, "--out", str(tmp_path / "whole"))
    assert_same_tables(out, tmp_path / "whole")
