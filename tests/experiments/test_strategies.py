"""The training strategies' command line: rows, pre-training, a stop and a resume, tables, bad input."""

import csv
import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_fscore_support

from experiments import (
    strategies,
    strategies_explain,
    strategies_networks,
    strategies_options,
    strategies_recipe,
    strategies_run,
    strategies_work,
)
from experiments.config import from_json, parse, to_json
from experiments.runtime import leave
from experiments.strategies_options import Config, RecipeOptions, Row, StrategyOptions, rows_of
from smrjax.data import load
from smrjax.data.augment import dihedral
from smrjax.encoders import ENCODERS, IMAGENET, Channels
from smrjax.train.learner import blank_state
from smrjax.train.loop import Interrupted
from smrjax.train.step import AXIS

CLASSES = ("A", "B", "C")
FEW = [
    *["--encoder", "resnet_tiny", "--image-size", "16", "--epochs", "2", "--batch", "8"],
    *["--lr-steps", "10", "--folds", "3"],
]


def cell_folder(place: Path, classes: tuple[str, ...], seed: int) -> Path:
    """Classes of different colours, 14 images each."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        (place / name).mkdir(parents=True)
        for i in range(14):
            colour = 60 + 60 * label + rng.normal(0, 40, (16, 16, 3))
            Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)).save(place / name / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("data")
    return {"cells": cell_folder(place / "cells", CLASSES, 0), "other": cell_folder(place / "other", ("X", "Y"), 1)}


def begin(monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["strategies", *words])
    leave(strategies.main)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, folders):
    """Two rows, one of them pre-trained, with explanations."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        words = ["--init", "random", "other", "--pretrain", f"other={folders['other']}", "--explain"]
        begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words, "--out", str(out), "--name", "whole")
    return out / "strategies" / "whole"


def predictions(folder: Path, folds: int = 3) -> list[tuple[list[str], list[str], list[str]]]:
    found = []
    for fold in range(folds):
        with open(folder / f"fold_{fold}" / "predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        found.append(tuple([row[name] for row in rows] for name in ("path", "true", "predicted")))
    return found


@pytest.mark.parametrize("row", ["random", "other"])
def test_scores_are_those_of_scikit_learn_fold_by_fold(finished, row):
    summary = json.loads((finished / "summary.json").read_text())
    by_fold = [
        precision_recall_fscore_support(true, predicted, labels=CLASSES, zero_division=0)[:3]
        for _, true, predicted in predictions(finished / "resnet_tiny" / row)
    ]
    mean = np.mean(by_fold, axis=(0, 2))
    deviation = np.std(np.mean(by_fold, axis=2), axis=0, ddof=1)
    stored = summary["rows"][f"resnet_tiny/{row}"]
    np.testing.assert_allclose(list(stored["mean"].values()), mean)
    np.testing.assert_allclose(list(stored["deviation"].values()), deviation)
    # The paper's own deviation: that of each class, then the mean.
    letter = np.mean(np.std(by_fold, axis=0, ddof=1), axis=1)
    np.testing.assert_allclose(list(stored["class_deviation"].values()), letter)
    report = (finished / "report.md").read_text()
    assert all(f"{m:.3f}" in report for m in mean)
    assert "range test sees the training cells of fold 0, among which are test cells of its other folds" in report


def test_every_cell_is_tested_once_and_predicted_as_its_probabilities_say(finished):
    for row in ("random", "other"):
        tested = predictions(finished / "resnet_tiny" / row)
        assert sorted(name for names, _, _ in tested for name in names) == sorted(
            f"{c}/{i}.png" for c in CLASSES for i in range(14)
        )
        for fold, (_, _, predicted) in enumerate(tested):
            chances = np.load(finished / "resnet_tiny" / row / f"fold_{fold}" / "probabilities.npy")
            np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
            assert [CLASSES[i] for i in chances.argmax(1)] == predicted


def manifest(place: Path, folder: Path, folds: dict[str, list[int]]) -> Path:
    """A manifest of a folder's first cells of each class, one for each fold that is prescribed to them."""
    rows = [
        f"{folder / label / f'{i}.png'},{label},{fold}"
        for label, given in folds.items()
        for i, fold in enumerate(given)
    ]
    place.write_text("\n".join(["path,label,fold", *rows]))
    return place


def work_of(*words: str) -> strategies_work.Work:
    config = parse(Config, strategies.PRESETS, words, prog="strategies", text="")
    return strategies_work.ready(strategies_options.resolved(config))


def test_the_parts_of_a_fold_are_those_of_the_paper(tmp_path):
    """64 % to train, 16 % to choose the epoch, 20 % to test (BM, 2.2), in every class."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(25):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / "cells" / name / f"{i}.png")
    work = work_of("--data", str(tmp_path / "cells"), *FEW, "--folds", "5")
    tested = []
    for fold in range(5):
        (train, chooses), tests = strategies_work.parts_of(work, fold)
        assert not set(train) & set(chooses) and not (set(train) | set(chooses)) & set(tests)
        for c in range(3):
            parts = [int((work.judged.cells.labels[part] == c).sum()) for part in (train, chooses, tests)]
            assert parts == [16, 4, 5]
        tested += tests.tolist()
    assert sorted(tested) == list(range(75))


def test_prescribed_folds_are_kept_in_the_cells_and_in_a_set_to_pre_train_on(folders, tmp_path):
    """As bloodmnist and pcam have them: fold 0 is the official test, fold 1 the official validation part."""
    given = {c: [0, 0, 1, 2, 2, 2, 3] for c in CLASSES}
    cells = manifest(tmp_path / "cells.csv", folders["cells"], given)
    other = manifest(tmp_path / "other.csv", folders["other"], {c: [0, 1, 1, 2, 2, 2] for c in ("X", "Y")})
    words = ["--data", str(cells), *FEW, "--init", "other", "--pretrain", f"other={other}"]
    work = work_of(*words)
    folds = work.judged.cells.folds
    for fold in range(4):
        (train, chooses), tests = strategies_work.parts_of(work, fold)
        assert set(folds[tests]) == {fold} and set(folds[chooses]) == {(fold + 1) % 4}
        assert len(train) + len(chooses) + len(tests) == len(folds)
    domain = work.domains["other"]
    train, chooses = domain.split
    assert set(domain.cells.folds[train]) == {2} and set(domain.cells.folds[chooses]) == {1}


def test_every_training_part_is_seen_by_its_own_colours(finished, folders):
    """Of each fold, and of a set to pre-train on; cells that are tested or choose the epoch have no say."""
    summary = json.loads((finished / "summary.json").read_text())
    work = work_of("--data", str(folders["cells"]), *FEW, "--init", "other", "--pretrain", f"other={folders['other']}")
    domain = work.domains["other"]
    parts = [("cells", work.judged.cells.names, strategies_work.parts_of(work, k)[0][0]) for k in range(3)]
    seen = [summary["fold_channels"][str(k)] for k in range(3)] + [summary["channels"]["other"]]
    for stored, (name, names, rows) in zip(seen, [*parts, ("other", domain.cells.names, domain.split[0])], strict=True):
        assert len(rows) < len(names)
        pixels = np.stack([np.asarray(Image.open(folders[name] / names[row])) for row in rows]) / 255
        np.testing.assert_allclose(stored["mean"], pixels.mean((0, 1, 2)))
        np.testing.assert_allclose(stored["deviation"], pixels.std((0, 1, 2)))


def test_pages_show_tables_and_pictures(finished):
    assert "| resnet_tiny | random |" in (finished / "report.md").read_text()
    for row in ("random", "other"):
        folder = finished / "resnet_tiny" / row
        page = (folder / "report.md").read_text()
        assert "| **mean** | |" in page and "| 14 |" in page
        for name in ("lr", "confusion", "learning", "explained"):
            assert f"({name}.png)" in page
            assert np.asarray(Image.open(folder / f"{name}.png")).std() > 5
        cells = {path.name.rsplit("_", 1)[0] for path in (folder / "explained").glob("*_heat.png")}
        assert 5 <= len(cells) <= 10
        assert all((folder / "explained" / f"{name}_overlay.png").exists() for name in cells)
    assert (finished / "resnet_tiny" / "pretraining" / "other" / "lr.png").exists()


def test_what_is_over_leaves_one_state_behind(finished):
    folders = list(finished.rglob("checkpoints"))
    assert len(folders) == 7
    for folder in folders:
        assert len([place for place in folder.iterdir() if place.name.isdigit()]) == 1


def test_a_row_that_diverges_is_given_up_and_the_others_go_on(folders, monkeypatch, tmp_path, capsys):
    real = strategies_run.find_rate
    monkeypatch.setattr(
        strategies_run,
        "find_rate",
        lambda target, *rest, **more: 1e30 if target.name == "random" else real(target, *rest, **more),
    )
    words = [
        "--init",
        "random",
        "other",
        "--pretrain",
        f"other={folders['other']}",
        "--only-folds",
        "0",
        "--lr",
        "0.01",
    ]
    words += ["--no-pictures", "--out", str(tmp_path), "--name", "r"]
    begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words)
    folder = tmp_path / "strategies" / "r"
    assert "infinite or NaN" in json.loads((folder / "resnet_tiny" / "random" / "failed.json").read_text())["reason"]
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["rows"]) == ["resnet_tiny/other"] and "resnet_tiny, random" in summary["left_out"]
    assert "resnet_tiny, random: the loss" in (folder / "report.md").read_text()
    capsys.readouterr()
    begin(monkeypatch, "--resume", str(folder))
    assert "given up" not in capsys.readouterr().err


def test_views_devices_and_severities_through_the_command(folders, monkeypatch, tmp_path):
    """Predictions are those of the stored probabilities under the matrix, and pages show what was predicted."""
    severity = tmp_path / "severity.csv"
    severity.write_text(",A,B,C\nA,1,5,5\nB,1,1,5\nC,1,5,1\n")
    words = ["--severity-file", str(severity), "--decision", "severity", "--tta", "--no-balanced", "--explain"]
    words += ["--explain-classes", "B", "C", "--only-folds", "0", "--lr", "0.01", "--out", str(tmp_path), "--name", "r"]
    shown = []
    page = strategies_explain.page
    monkeypatch.setattr(strategies_explain, "page", lambda *a, **k: shown.append((a, k)) or page(*a, **k))
    begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words)
    folder = tmp_path / "strategies" / "r" / "resnet_tiny" / "random"
    names, _, predicted = predictions(folder, folds=1)[0]
    chances = np.load(folder / "fold_0" / "probabilities.npy")
    cost = np.array([[0, 5, 5], [1, 0, 5], [1, 5, 0]])
    assert [CLASSES[i] for i in (chances @ cost).argmin(1)] == predicted
    assert [path.stem for path in sorted(folder.glob("explained*.png"))] == ["explained_B", "explained_C"]
    for (_, _, _, _, cells, _, rows), options in shown:
        for row, label in zip(rows, options["predicted"], strict=True):
            assert CLASSES[label] == predicted[names.index(cells.names[row])]


def test_pre_training_does_not_crop_and_fine_tuning_does(folders, monkeypatch, tmp_path):
    crops, learner_of = [], strategies_run.learner_of

    def noted(model, *rest, crop):
        crops.append((crop, model.channels == IMAGENET))
        return learner_of(model, *rest, crop=crop)

    monkeypatch.setattr(strategies_run, "learner_of", noted)
    words = ["--init", "other", "--pretrain", f"other={folders['other']}", "--only-folds", "1", "--lr", "0.01"]
    words += ["--epochs", "1", "--no-pictures", "--out", str(tmp_path), "--name", "r"]
    begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words)
    assert crops == [(False, False), (True, False)]
    folder = tmp_path / "strategies" / "r" / "resnet_tiny"
    assert not list(folder.rglob("*.png")) and not list(folder.rglob("lr.json"))


def test_without_a_smallest_area_images_stay_whole():
    recipe = RecipeOptions(rotation=False, flips=False)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    whole = strategies_recipe.augmentation(recipe, crop=False)(jnp.array(images), jax.random.key(0))
    np.testing.assert_allclose(whole, images, atol=1e-3)
    part = strategies_recipe.augmentation(recipe, crop=True)(jnp.array(images), jax.random.key(0))
    assert np.abs(np.asarray(part) - images).max() > 10


def test_a_run_that_was_stopped_goes_on_to_the_same_end(finished, folders, monkeypatch, tmp_path, capsys):
    """Stopped in range tests, folds and pre-training: the same predictions, and nothing finished is done again."""
    words = ["--init", "random", "other", "--pretrain", f"other={folders['other']}", "--no-pictures"]
    start = ["--data", str(folders["cells"]), *FEW, *words, "--out", str(tmp_path), "--name", "parts"]
    folder, steps = tmp_path / "strategies" / "parts", []
    real = strategies.resumable
    # In a range test; 3 steps into a fold of 6, and 1 into the next; in the second range test; in pre-training.
    for number, stop in enumerate((4, 13, 4, 13, 12)):
        asked = iter(range(10_000))

        @contextmanager
        def stopping(folder, asked=asked, stop=stop):
            with real(folder):
                try:
                    yield lambda: next(asked) >= stop
                except Interrupted:
                    raise Interrupted("the command") from None

        monkeypatch.setattr(strategies, "resumable", stopping)
        with pytest.raises(SystemExit) as end:
            begin(monkeypatch, *(start if number == 0 else ["--resume", str(folder)]))
        assert end.value.code == 130 and "go on with" in capsys.readouterr().err
        steps.append(len(list(folder.rglob("result.json"))))
    assert steps == [0, 0, 1, 3, 3]
    monkeypatch.setattr(strategies, "resumable", real)
    begin(monkeypatch, "--resume", str(folder))
    for row in ("random", "other"):
        assert predictions(folder / "resnet_tiny" / row) == predictions(finished / "resnet_tiny" / row)
        for fold in range(3):
            name = Path("resnet_tiny") / row / f"fold_{fold}" / "result.json"
            assert json.loads((folder / name).read_text()) == json.loads((finished / name).read_text())


def test_a_pre_trained_network_can_be_given_by_its_folder(finished, folders, monkeypatch, tmp_path):
    pretrained = finished / "resnet_tiny" / "pretraining" / "other"
    words = ["--init", str(pretrained), "--only-folds", "0", "--no-pictures", "--out", str(tmp_path), "--name", "r"]
    begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words)
    own = tmp_path / "strategies" / "r" / "resnet_tiny" / "other"
    theirs = finished / "resnet_tiny" / "other"
    for name in ("begin.json", "fold_0/predictions.csv"):
        assert (own / name).read_text() == (theirs / name).read_text()


def test_a_network_that_was_trained_on_test_cells_of_other_folds_is_refused(finished, folders, monkeypatch, capsys):
    words = ["--init", str(finished / "resnet_tiny" / "random" / "fold_0"), "--only-folds", "0", "1", "--strict-split"]
    with pytest.raises(SystemExit) as end:
        begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words)
    assert end.value.code == 2
    assert "on cells which fold 1 will test; --only-folds 0 avoids it" in capsys.readouterr().err


def test_other_first_weights_end_a_resume(finished, folders, monkeypatch, tmp_path, capsys):
    words = ["--init", "random", "--lr", "0.01", "--no-pictures", "--out", str(tmp_path), "--name", "r"]
    begin(monkeypatch, "--data", str(folders["cells"]), *FEW, "--only-folds", "0", "2", *words)
    folder = tmp_path / "strategies" / "r"
    (folder / "resnet_tiny" / "random" / "fold_2" / "result.json").unlink()
    (folder / "resnet_tiny" / "random" / "begin.json").write_text('{"weights": "others"}')
    with pytest.raises(SystemExit):
        begin(monkeypatch, "--resume", str(folder))
    assert "the weights are no longer" in capsys.readouterr().err


def test_rows_of_table_4_without_weights_or_data_are_left_out(folders, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("SMRJAX_DATA", raising=False)
    monkeypatch.setattr(strategies_options, "TABLE4_ENCODERS", ("resnet_tiny",))
    few = FEW[2:]  # without --encoder
    words = ["--table4", "--pretrain", f"cd={folders['other']}", "--lr", "0.01", "--epochs", "1", "--only-folds", "0"]
    words += ["--no-pictures", "--out", str(tmp_path), "--name", "r"]
    begin(monkeypatch, "--data", str(folders["cells"]), *few, *words)
    said = capsys.readouterr().out
    for row, reason in (("imagenet", "no ImageNet weights"), ("pcam", "SMRJAX_DATA"), ("imagenet+cd", "ImageNet")):
        assert any(line.startswith(f"left out: resnet_tiny, {row}: ") and reason in line for line in said.splitlines())
    summary = json.loads((tmp_path / "strategies" / "r" / "summary.json").read_text())
    assert list(summary["rows"]) == ["resnet_tiny/random", "resnet_tiny/cd"]
    folder = tmp_path / "strategies" / "r"
    assert "Left out:" in (folder / "report.md").read_text()
    # What there was at the start holds: data that are gone end a resume, rows left out stay so.
    begin(monkeypatch, "--resume", str(folder))
    again = json.loads((folder / "summary.json").read_text())
    assert again["rows"] == summary["rows"] and again["left_out"] == summary["left_out"]
    config = json.loads((folder / "config.json").read_text())
    config["strategy"]["pretrain"] = ["cd=nowhere"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit):
        begin(monkeypatch, "--resume", str(folder))
    assert "nowhere" in capsys.readouterr().err


def test_rows():
    options = StrategyOptions(encoder=("resnet18",), init=("random", "imagenet+cd", "cd", "runs/a b.pth+cd"))
    rows = rows_of(options)
    assert rows[0] == Row("resnet18", "random", ()) and rows[0].folder == "resnet18/random"
    assert rows[1] == Row("resnet18", "imagenet", ("cd",)) and rows[1].init == "imagenet+cd"
    assert rows[2] == Row("resnet18", "random", ("cd",)) and rows[2].init == "cd"
    assert rows[3] == Row("resnet18", "runs/a b.pth", ("cd",)) and rows[3].init == "a_b.pth+cd"
    named = StrategyOptions(encoder=("resnet18",), init=("cd", "pcam", "tests"), pretrain=("cd=x",))
    # A name wins over a folder of that name (this very project has one called tests).
    assert [(row.begin, row.sets) for row in rows_of(named)] == [
        ("random", ("cd",)),
        ("random", ("pcam",)),
        ("tests", ()),
    ]
    assert rows_of(replace(named, init=("tests",), pretrain=("tests=x",)))[0].sets == ("tests",)
    paper = rows_of(strategies_options.resolved(Config(strategy=StrategyOptions(table4=True))).strategy)
    # BM, Table 4: four networks with six initialisations, and ResNeXt-50 with random weights.
    assert len(paper) == 4 * 6 + 1 and paper[-1] == Row("resnext50_32x4d", "random", ())


BAD = {
    "no such rate": (["--lr", "fast"], "--lr fast"),
    "no rate": (["--lr", "0"], "--lr 0"),
    "no epochs": (["--epochs", "0"], "--epochs 0"),
    "a share above one": (["--min-area", "1.5"], "--min-area 1.5"),
    "momentum of one": (["--momentum", "1"], "--momentum 1"),
    "table and rows": (["--table4"], "give no --encoder"),
    "itself": (["--init", "same", "--pretrain", "same=CELLS"], "these are the cells that are tested"),
    "too small to have places": (["--encoder", "vgg19_bn"], "no pixel left"),
    "a folder that is not there": (["--init", "runs/x"], "--init runs/x: there is no such file or folder"),
    "a set too small": (["--init", "few", "--pretrain", "few=FEW"], "--pretrain few: fewer cells than folds"),
    "no such file": (["--init", "missing.pth"], "--init missing.pth"),
    "no weights": (["--encoder", "resnet18", "--init", "random", __file__], "no weights could be read"),
    "unknown set": (["--init", "imagenet+cd"], "no ImageNet weights"),
    "a set without cells": (["--init", "random+cd"], "--pretrain cd=FOLDER"),
    "two pluses": (["--init", "random++cd"], "single +"),
    "a row twice": (["--init", "cd", "random+cd", "--pretrain", "cd=x"], "two rows"),
    "not a pair": (["--pretrain", "cd"], "--pretrain cd"),
    "set of no folder": (["--init", "cd", "--pretrain", "cd=nowhere"], "nowhere"),
    "no such class": (["--explain", "--explain-classes", "Z"], "--explain-classes Z"),
    "no such stage": (["--explain", "--explain-stage", "block9"], "stages with heat maps are stem, block1, block2"),
    "classes of nothing": (["--explain-classes", "A"], "--explain-classes is for --explain"),
    "no such fold": (["--only-folds", "3"], "--only-folds 3"),
    "a fold twice": (["--only-folds", "1", "1"], "name each fold once"),
    "too small": (["--encoder", "vit_tiny", "--image-size", "18"], "18 x 18"),
    "no severities": (["--decision", "severity"], "--severity-file"),
    "too many folds": (["--folds", "15"], "one cell in 5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_line(case, folders, capsys, monkeypatch, tmp_path):
    words, expected = BAD[case]
    few = manifest(tmp_path / "few.csv", folders["other"], {"X": [-1] * 3, "Y": [-1] * 3})
    few.write_text(few.read_text().replace(",fold", "").replace(",-1", ""))
    words = [word.replace("CELLS", str(folders["cells"])).replace("FEW", str(few)) for word in words]
    with pytest.raises(SystemExit) as end:
        begin(monkeypatch, "--data", str(folders["cells"]), *FEW, *words, "--out", str(tmp_path / "runs"))
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ") and expected in said and not (tmp_path / "runs").exists()


def test_config_survives_json():
    config = strategies.PRESETS["paper"]
    assert from_json(Config, json.loads(json.dumps(to_json(config)))) == config


def test_the_paper_preset_is_the_papers_recipe():
    """BM, sections 2.2 and 2.3, and the best row of Table 4."""
    paper = strategies_options.resolved(strategies.PRESETS["paper"])
    recipe = paper.recipe
    assert (recipe.epochs, recipe.batch, recipe.momentum, recipe.lr) == (75, 32, 0.9, "auto")
    assert (recipe.lr_factor, recipe.lr_patience, recipe.min_area) == (0.1, 3, 0.08)
    assert recipe.balanced and recipe.rotation and recipe.flips and recipe.patience == recipe.epochs
    assert paper.data.folds == 5 and paper.data.image_size == 224 and paper.data.data == "marrow21"
    assert rows_of(paper.strategy) == (Row("regnet_y_32gf", "imagenet", ("cd",)),)
    assert strategies_recipe.steps_of(109_679, recipe) == 3428
    channels = Channels((0.5630, 0.4959, 0.7353), (0.2421, 0.2835, 0.1767))
    model = strategies_networks.model_of(paper, "vgg19_bn", channels)
    assert model.channels == channels and model.dropout == 0.5 and model.embedding_dim == 0
    assert strategies_networks.model_of(paper, "regnet_y_32gf", channels).dropout == 0


def test_views_are_averaged_where_asked_for(folders):
    """Against the mean of the plain probabilities of the eight turned and mirrored sets."""
    recipe = RecipeOptions(embed_batch=4, devices=1)
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    model = ENCODERS["resnet_tiny"](embedding_dim=0, axis_name=AXIS)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    learner = strategies_recipe.learner_of(model, variables, 3, recipe, jax.devices()[:1], crop=False)
    cells = strategies_recipe.cells_of(
        replace(load(folders["cells"], size=16), images=images), np.arange(4), np.arange(4, 6)
    )
    state = blank_state(learner, cells, jax.random.key(1))
    rows = np.array([4, 0, 5, 1, 2])
    plain = [
        strategies_recipe.probabilities(learner, state, dihedral(images, k), rows, recipe, views=False)
        for k in range(8)
    ]
    averaged = strategies_recipe.probabilities(learner, state, images, rows, recipe, views=True)
    np.testing.assert_allclose(averaged, np.mean(plain, 0), atol=1e-6)
    assert np.abs(averaged - plain[0]).max() > 1e-6
