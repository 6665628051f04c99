"""Cells from elsewhere in the report: of which run a prediction is, and what is said of it, by hand and by scipy."""

import csv
import json
import shutil
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score
from sklearn.svm import SVC

from experiments import export, predict, smr
from experiments.predict_work import identity_of_members
from experiments.report_cells import read_images
from experiments.report_folds import mean_over
from experiments.report_maturity import maturity
from experiments.report_predictions import read_predictions
from experiments.report_runs import read_runs
from experiments.report_shift import elsewhere
from experiments.report_traversal import placed, traversal
from experiments.runtime import leave
from smrjax.errors import InputError
from smrjax.files import write_arrays
from smrjax.predict.members import load_member
from smrjax.predict.run import open_run
from smrjax.taxonomy import Lineage, Taxonomy
from smrjax.taxonomy.stored import to_json
from tests.experiments.made_up_runs import CLASSES, LINEAGE, PER_CLASS, make_able, make_run, write_cells
from tests.experiments.page_reader import Reader


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return write_cells(tmp_path_factory.mktemp("data") / "cells")


@pytest.fixture(scope="module")
def two(tmp_path_factory, manifest) -> list[Path]:
    """Runs that can predict."""
    runs = tmp_path_factory.mktemp("runs")
    return [
        make_able(make_run(runs / "smr", manifest, title="SMR & <i>all</i>", seed=1, right=0.8)),
        make_able(make_run(runs / "tml", manifest, title="TML", seed=2, right=0.3, method="tml")),
    ]


@cache
def known_by(run: Path, folds: tuple[int, ...]) -> str:
    finished = open_run(run)
    return identity_of_members([load_member(finished, fold) for fold in folds])


#: Another laboratory's codes, one of which the runs do not know.
ELSEWHERE = Taxonomy(
    name="elsewhere",
    classes=("young", "a", "c"),
    lineages=(Lineage(LINEAGE, ("young", "a", "c")),),
    colours=("#aa0000", "#00aa00", "#0000aa"),
    titles=("Young", "a", "c & d"),
)


def make_prediction(folder, run, manifest, rows, *, known=ELSEWHERE, unreadable=1, stain="none", folds=(0, 1, 2)):
    """What experiments.predict leaves behind; rows of true, predicted, raw_t and whether it is unfamiliar."""
    folder.mkdir()
    about = {"run": {"folder": str(run), "digest": known_by(run, folds), "folds": folds, "decision": "likeliest"}}
    about |= {"labels": to_json(known), "images": len(rows) + unreadable}
    about |= {"unreadable": unreadable, "options": {"stain": stain}}
    (folder / "summary.json").write_text(json.dumps(about))
    with open(folder / "predictions.csv", "w", newline="") as out:
        table = csv.writer(out)
        heads = ["path", "group", "true", "predicted", "lineage", "raw_t", "unfamiliar_ratio"]
        table.writerow([*heads, "borderline", "off_curve", "unfamiliar"])
        for k, (true, predicted, raw_t, unfamiliar) in enumerate(rows):
            line = LINEAGE if predicted in CLASSES[:3] else ""
            place = [line, raw_t if line else "", 2.0 if unfamiliar else 0.5]
            image = manifest.parent / f"0-{k % PER_CLASS}.png"
            flags = ["false", "false", str(unfamiliar).lower()]
            table.writerow([image, f"slide {k % 2}", true, predicted, *place, *flags])
        for _ in range(unreadable):
            table.writerow(["broken.png", "slide 0", *[""] * 8])
    return folder


def test_cells_of_a_prediction_stand_beside_the_test_cells(two, manifest, tmp_path):
    """Slide by slide where there are few."""
    found = make_prediction(tmp_path / "found", two[0], manifest, [("", "A", k / 8, False) for k in range(8)])
    (one,) = read_predictions([found], read_runs(two))
    assert one.run.folder == two[0] and one.about["unreadable"] == 1
    sets = placed(one)
    assert [(each.name, len(each.names)) for each in sets] == [("found: slide 0", 4), ("found: slide 1", 4)]
    section = traversal([one.run], read_images([one.run]), {one.run.title: sets}, tmp_path)
    assert "found: slide 1" in "".join(section.parts)


def test_cells_from_elsewhere_are_judged_by_their_labels(two, manifest, tmp_path):
    rng = np.random.default_rng(0)
    true = ["young"] * 10 + ["a"] * 20 + ["c"] * 20
    names = rng.choice([CLASSES[0], CLASSES[2]], 50).tolist()
    t = rng.random(50)
    rows = list(zip(true, names, t.tolist(), (rng.random(50) < 0.5).tolist(), strict=True))
    found = make_prediction(tmp_path / "found", two[0], manifest, rows, stain="reinhard")
    (cells,) = read_predictions([found], read_runs(two))
    own = {"a": CLASSES[0], "c": CLASSES[2]}
    right = [own[label] == name for label, name in zip(true, names, strict=True) if label in own]
    page = Reader("".join(elsewhere([cells], tmp_path).parts))
    overview, classes = page.tables
    row = dict(zip(overview[0], overview[2], strict=True))
    assert row["Stain"] == "brought to the run's" and row["Images"] == "51" and row["Unreadable"] == "1"
    assert row["Unfamiliar"] == f"{100 * np.mean([r[3] for r in rows]):.0f}\u00a0%"
    assert row["Right"] == f"{100 * np.mean(right):.0f}\u00a0%"
    shared = [k for k in range(50) if true[k] in own]
    f = f1_score([own[true[k]] for k in shared], [names[k] for k in shared], labels=list(own.values()), average="macro")
    assert float(row["Macro-F"]) == pytest.approx(f, abs=6e-3)
    tau = stats.kendalltau(t, [ELSEWHERE.classes.index(label) for label in true])[0]
    assert float(row["τ"].replace("−", "-")) == pytest.approx(tau, abs=6e-3)
    said = " ".join(page.words)
    assert "Do not trust SMR" in said and "knows no class called young" in said and "for 10 of the cells" in said
    young, a, c = classes[1:]
    assert young[3] == "unknown to it" and (a[2], c[2]) == ("20", "20")
    low, high = stats.binomtest(sum(right[:20]), 20).proportion_ci(method="wilson")
    assert a[4] == f"{100 * low:.0f} to {100 * high:.0f}"
    # The shares of its own test cells that a run would call unfamiliar, and off their curve, by brute force.
    far, off, grid = [], [], np.linspace(0, 1, 20_001)[:, None]
    basis = np.concatenate([(1 - grid) ** 2, 2 * grid * (1 - grid), grid**2], axis=1)
    for fold in cells.run.folds:
        z, part, y = (fold.embeddings[name] for name in ("embeddings", "part", "labels"))
        third = [np.sort(cdist(z[part == k], z[part == 0]), axis=1)[:, 2] for k in (1, 2)]
        far.append(third[1] > np.quantile(third[0], 0.99))
        away = cdist(z, basis @ fold.curves[f"control_{LINEAGE}"][0]).min(axis=1)
        named = SVC(C=1.0, gamma=0.2, class_weight="balanced").fit(z[part == 0], y[part == 0]).predict(z)
        off.append(((away > np.quantile(away[(part == 1) & (y < 3)], 0.99)) & (named < 3))[part == 2])
    for column, found_share in ((4, np.concatenate(far).mean()), (5, np.concatenate(off).mean())):
        assert overview[1][column] == f"{100 * found_share:.{0 if found_share >= 0.1 else 1}f}\u00a0%"
    assert 0 < np.concatenate(off).mean()


@pytest.mark.parametrize("folds", [(0, 1, 2), (1,), (0, 2)])
def test_own_test_cells_are_those_of_the_folds_that_were_asked(folds, two, manifest, tmp_path):
    """How many, how many right, macro-F and tau; the verdict speaks of the same."""
    found = make_prediction(tmp_path / "found", two[0], manifest, [("a", "C & D", 0.5, False)] * 40, folds=folds)
    (cells,) = read_predictions([found], read_runs(two))
    rows = []
    for fold in folds:
        with open(two[0] / f"fold_{fold}" / "predictions.csv") as file:
            rows += list(csv.DictReader(file))
    page = Reader("".join(elsewhere([cells], tmp_path).parts))
    head, own, other = page.tables[0]
    own = dict(zip(head, own, strict=True))
    assert own["Images"] == str(len(rows))
    shared = [row for row in rows if row["true"] == "A"]  # the one class that those from elsewhere are labelled with
    right = np.mean([row["predicted"] == "A" for row in shared])
    assert own["Right"] == f"{100 * right:.{1 if 0.99 < right < 1 else 0}f}\u00a0%"
    inside = [row for row in rows if row["true"] in CLASSES[:3] and row["predicted"] in CLASSES[:3]]
    tau = stats.kendalltau(
        [float(row["raw_t"]) for row in inside], [CLASSES.index(row["true"]) for row in inside]
    ).statistic
    assert float(own["τ"].replace("−", "-")) == pytest.approx(tau, abs=6e-3)
    said = " ".join(page.words)
    assert f"of its own test cells of these classes, {own['Right']}" in said
    one, several = "the network of the fold that is named", "the networks of all folds asked"
    named = {(0, 1, 2): "", (1,): ", fold 1", (0, 2): ", folds 0, 2"}[folds]
    assert own["Cells"] == f"test cells of SMR & <i>all</i>{named}"
    assert other[0] == "found" + (f", by {named[2:]}" if named else "")
    assert f"Do not trust SMR & <i>all</i>{named} on these cells" in said
    assert (one in said, several in said) == (len(folds) == 1, len(folds) > 1)


def test_predictions_of_one_fold_and_of_all_have_test_cells_each(two, manifest, tmp_path):
    rows = [("a", "A", 0.5, False)] * 40
    found = [
        make_prediction(tmp_path / name, run, manifest, rows, folds=folds)
        for name, run, folds in (
            ("all", two[0], (0, 1, 2)),
            ("again", two[0], (0, 1, 2)),
            ("one", two[0], (2,)),
            ("tml", two[1], (0, 1, 2)),
        )
    ]
    page = Reader("".join(elsewhere(read_predictions(found, read_runs(two)), tmp_path).parts))
    title = "test cells of SMR & <i>all</i>"
    assert [row[0] for row in page.tables[0][1:]] == (
        [title, "all", "again", f"{title}, fold 2", "one, by fold 2", "test cells of TML", "tml"]
    )
    assert "of one fold or of several" in " ".join(page.words)


def test_a_prediction_is_known_by_its_content(two, manifest, tmp_path):
    """A run that was moved, one trained again in the same folder, two that changed places; one not shown."""
    rows = [("", "A", 0.5, False)] * 3
    home = shutil.copytree(two[0], tmp_path / "home")
    found = make_prediction(tmp_path / "found", home, manifest, rows)
    there = shutil.move(home, tmp_path / "moved")
    (cells,) = read_predictions([found], read_runs([two[1], there]))
    assert cells.run.folder == there
    with pytest.raises(InputError, match="which is none of the runs that this report shows in detail, nor exported"):
        read_predictions([found], read_runs([two[1]]))
    shutil.copytree(two[1], home)
    (cells,) = read_predictions([found], read_runs([home, there]))
    assert cells.run.folder == there
    shutil.rmtree(home)
    shutil.move(there, home)
    write_arrays(home / "untrained.npz", {"params": {"w": np.arange(3.0) + 1}, "batch_stats": {}})
    with pytest.raises(InputError, match="was trained again since, or another version predicted; predict again"):
        read_predictions([found], read_runs([home, two[1]]))
    (home / "untrained.npz").unlink()
    with pytest.raises(InputError, match="--resume"):
        read_predictions([found], read_runs([home]))
    about = json.loads((found / "summary.json").read_text())
    for broken in ({"run": {"folder": str(two[0]), "folds": [0]}}, {"run": None}, {"run": about["run"] | {"folds": 0}}):
        (found / "summary.json").write_text(json.dumps(about | broken))
        with pytest.raises(InputError, match=r"summary.json: run.* it is damaged, or of another version"):
            read_predictions([found], read_runs([two[0]]))


@pytest.mark.filterwarnings("ignore:classes without a cell")
def test_a_model_predicts_as_the_run_that_it_was_exported_from(tmp_path):
    """Through the commands themselves: the report takes either's prediction for one of the run."""

    def call(module, *words) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [module.__name__, *map(str, words)])
            leave(module.main)

    data = [
        "--count",
        "300",
        "--image-size",
        "16",
        "--folds",
        "3",
        "--only-folds",
        "0",
        "1",
        "--encoder",
        "densenet_tiny",
    ]
    call(smr, *data, "--epochs", "0", "--curve", "svd", "--no-pictures", "--out", tmp_path, "--name", "run")
    run, model = tmp_path / "smr" / "run", tmp_path / "model"
    call(export, "--run", run, "--out", model)
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    for name, source, more in (("of-run", run, []), ("of-model", model, []), ("of-fold", model, ["--fold", "1"])):
        call(predict, "--run", source, "--images", tmp_path / "noise.png", "--out", tmp_path / name, *more)
    found = read_predictions([tmp_path / name for name in ("of-run", "of-model", "of-fold")], read_runs([run]))
    assert [one.run.folder for one in found] == [run] * 3
    assert [list(one.readers) for one in found] == [[0, 1], [0, 1], [1]]
    page = Reader("".join(elsewhere(found, tmp_path).parts))
    assert [row[0] for row in page.tables[0][1:]] == (
        ["test cells of " + found[0].run.title, "of-run", "of-model"]
        + ["test cells of " + found[0].run.title + ", fold 1", "of-fold, by fold 1"]
    )


@pytest.mark.parametrize("fold_1", ["as it was", "one boundary", "no boundary"])
def test_what_differs_in_number_between_folds_has_no_mean(fold_1, two, manifest, tmp_path):
    """As of a fold that another version trained. Its boundaries (red) are not drawn; targets still are, as the mean."""
    run, name = shutil.copytree(two[0], tmp_path / "run"), f"boundaries_own_{LINEAGE}"
    with np.load(run / "fold_1" / "curves.npz") as stored:
        curves = {key: stored[key] for key in stored.files}
    curves[f"targets_{LINEAGE}"] = np.array([0.0, 0.8, 1.0])
    boundaries = {"as it was": curves.pop(name), "one boundary": np.array([0.4]), "no boundary": None}[fold_1]
    np.savez(run / "fold_1" / "curves.npz", **curves, **({} if boundaries is None else {name: boundaries}))
    found = make_prediction(tmp_path / "found", run, manifest, [("a", "A", 0.1, False), ("c", "A", 0.3, False)] * 9)
    runs = read_runs([run])
    np.testing.assert_allclose(mean_over(runs[0].folds, f"targets_{LINEAGE}"), [0.0, 0.6, 1.0])
    mean = mean_over(runs[0].folds, name)
    assert (None if mean is None else mean.size) == {"as it was": 2, "one boundary": 0, "no boundary": None}[fold_1]
    assert len(maturity(runs, runs[0], read_images(runs), tmp_path).parts) == 2
    elsewhere(read_predictions([found], runs), tmp_path)
    drawn = (tmp_path / "elsewhere-found.svg").read_text()
    assert ("#b2182b" in drawn) == (fold_1 == "as it was")


@pytest.mark.parametrize("case", ["as good as at home", "without labels", "unreadable", "few", "one stranger"])
def test_nothing_is_said_against_cells_without_a_reason(case, two, manifest, tmp_path):
    unlabelled, right = ("", CLASSES[0], 0.1, False), ("a", CLASSES[0], 0.1, False)
    rows = {
        "as good as at home": [right] * 60,
        "without labels": [unlabelled] * 30,
        "unreadable": [],
        "few": [right] * 2 + [unlabelled] * 30,
        "one stranger": [right] * 60 + [("young", CLASSES[0], 0.0, False)],
    }[case]
    found = make_prediction(tmp_path / "found", two[0], manifest, rows)
    page = Reader("".join(elsewhere(read_predictions([found], read_runs(two)), tmp_path).parts))
    said = " ".join(page.words)
    assert "Do not trust" not in said
    assert {
        "as good as at home": "Nothing speaks against SMR",
        "without labels": "nobody can tell",
        "unreadable": "None of these images",
        "few": "Too few of these cells",
        "one stranger": "Nothing speaks against SMR",
    }[case] in said
    assert ("knows no class called young" in said) == (case == "one stranger")


def test_wrong_names_are_not_hidden_by_few_labels(two, manifest, tmp_path):
    """Ten of ten wrong: surely worse than at home. Stages of which some cells have no label are drawn all the same."""
    rows = [("a", CLASSES[2], 0.5, False)] * 10 + [("c", CLASSES[2], 0.9, False)] * 2 + [("", "other", 0, False)] * 5
    found = make_prediction(tmp_path / "found", two[0], manifest, rows)
    page = Reader("".join(elsewhere(read_predictions([found], read_runs(two)), tmp_path).parts))
    assert "Do not trust SMR" in " ".join(page.words) and any("ridges of t" in alt for alt in page.alts)
