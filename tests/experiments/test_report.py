"""The report's page: its numbers against scipy and scikit-learn, strange names, missing pieces, and a real browser."""

import csv
import json
import re
import shutil
import sys
from html import escape
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, precision_recall_fscore_support

from experiments import report as command
from experiments.report import Options, report
from experiments.report_cells import read_images
from experiments.report_compare import Paired, in_words, paired_differences, shared_folds
from experiments.report_explorer import explore
from experiments.report_overview import overview
from experiments.report_reading import TERMS, reading
from experiments.report_runs import read_runs
from experiments.report_scores import comparison
from experiments.report_words import enumerated
from experiments.runtime import leave
from smrjax.errors import InputError
from smrjax.report.page import Html, Section, words
from smrjax.taxonomy import Lineage, Taxonomy
from smrjax.taxonomy.stored import to_json
from tests.experiments.made_up_runs import CLASSES, LINEAGE, PER_CLASS, make_run, write_cells
from tests.experiments.page_reader import Reader


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return write_cells(tmp_path_factory.mktemp("data") / "cells")


@pytest.fixture(scope="module")
def two(tmp_path_factory, manifest) -> list[Path]:
    runs = tmp_path_factory.mktemp("runs")
    return [
        make_run(runs / "smr", manifest, title="SMR & <i>all</i>", seed=1, right=0.8),
        make_run(runs / "tml", manifest, title="TML", seed=2, right=0.3, method="tml"),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory, two) -> tuple[Path, Path]:
    """The page of two runs, and its figures."""
    folder = tmp_path_factory.mktemp("report")
    return report(Options(runs=tuple(two), out=folder / "report.html", figures=folder / "figures")), folder / "figures"


@pytest.fixture(scope="module")
def page(made) -> Reader:
    return Reader(made[0].read_text())


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def fold_scores(run: Path, *path: str) -> np.ndarray:
    out = []
    for fold in range(3):
        value = json.loads((run / f"fold_{fold}" / "result.json").read_text())["scores"]
        for name in path:
            value = value[name]
        out.append(value)
    return np.array(out)


def test_paired_differences_are_those_of_scipy(page, two):
    """Nadeau and Bengio's interval and Wilcoxon's p, by hand; of three folds a third tests and a third trains."""
    rows = page.table("Difference", "p, Holm")
    assert [row[:3] for row in rows] == [
        ["SMR & <i>all</i>", "macro-F", "3"],
        ["SMR & <i>all</i>", "severity of errors", "3"],
    ]
    p_values = []
    for row, score in zip(rows, ("macro_f1", "misclassification_severity"), strict=True):
        d = fold_scores(two[0], score) - fold_scores(two[1], score)
        error = d.std(ddof=1) * np.sqrt(1 / 3 + 1)
        half = stats.t.ppf(0.975, 2) * error
        p_values.append(2 * stats.t.sf(abs(d.mean()) / error, 2))
        assert number(row[3]) == pytest.approx(d.mean(), abs=5.1e-4)
        assert [number(end) for end in row[4].split(" to ")] == pytest.approx(
            [d.mean() - half, d.mean() + half], abs=5.1e-4
        )
        assert number(row[5]) == pytest.approx(p_values[-1], abs=5.1e-4)
        assert number(row[7]) == pytest.approx(stats.wilcoxon(d).pvalue, abs=5.1e-4)
    low, high = sorted(p_values)
    adjusted = {low: min(2 * low, 1), high: min(max(2 * low, high), 1)}
    assert [number(row[6]) for row in rows] == pytest.approx([adjusted[p] for p in p_values], abs=5.1e-4)


def test_scores_of_classes_are_those_of_scikit_learn(page, two):
    table = page.table("Precision", "Recall")
    assert [row[1] for row in table] == list(CLASSES)
    found = []
    for fold in range(3):
        with open(two[0] / f"fold_{fold}" / "predictions.csv") as file:
            rows = list(csv.DictReader(file))
        true, predicted = ([row[name] for row in rows] for name in ("true", "predicted"))
        found.append(precision_recall_fscore_support(true, predicted, labels=CLASSES, zero_division=0))
    for c, row in enumerate(table):
        for place, score in enumerate((0, 1, 2), start=2):
            values = np.array([one[score][c] for one in found])
            mean, half = (number(word) for word in row[place].split(" ± "))
            assert mean == pytest.approx(values.mean(), abs=5.1e-4)
            assert half == pytest.approx(stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3), abs=5.1e-4)
        assert row[5] == str(PER_CLASS)


def test_brier_score_is_that_of_scikit_learn(page, two):
    values = []
    for fold in range(3):
        with open(two[0] / f"fold_{fold}" / "predictions.csv") as file:
            rows = list(csv.DictReader(file))
        p = np.array([[float(row[f"p_{c}"]) for c in CLASSES] for row in rows])
        hit = np.array([[row["true"] == c for c in CLASSES] for row in rows])
        values.append(sum(brier_score_loss(hit[:, c], p[:, c]) for c in range(len(CLASSES))))
    row = page.table("Brier score")[0]
    assert number(row[3].split(" ± ")[0]) == pytest.approx(np.mean(values), abs=5.1e-4)


def test_tau_and_stages_are_read_by_lineage(page, two):
    rows = page.table("Lineage", "own curve")
    tau = fold_scores(two[0], "readouts", LINEAGE, "own", "kendall_tau_stage")
    assert rows[0][:2] == ["SMR & <i>all</i>", LINEAGE]
    assert number(rows[0][2].split(" ± ")[0]) == pytest.approx(tau.mean(), abs=5.1e-4)
    assert rows[1][2] == "–"  # triplets alone have no curve of their own
    near = fold_scores(two[1], "lineages", LINEAGE, "conditional", "off_by_one_accuracy")
    counted = [row for row in page.table("Counted") if row[0] == "TML" and row[2] == "in the lineage"]
    assert number(counted[0][3].split(" ± ")[0]) == pytest.approx(near.mean(), abs=5.1e-4)


def test_what_was_taught_is_said_of_those_to_whom_it_was(page, two, tmp_path):
    text = " ".join(page.words)
    assert "Order between classes was taught to SMR & <i>all</i> by the labels" in text
    assert "TML has no curve of its own" in text and "what order TML shows, its embedding has by itself" in text
    assert "The lineage is that of the labelled class; of new cells" in text
    for folder, taught in zip(two, (True, False), strict=True):
        runs = read_runs([folder])
        said = " ".join(Reader("".join(command.maturity(runs, runs[0], read_images(runs), tmp_path).parts)).words)
        assert ("Order between classes was taught by the labels" in said) == taught
        assert ("Triplets alone teach no order" in said) != taught


def test_terms_are_explained_where_they_occur(made, page):
    """On the whole page all of them but those of no section; of a few sections, those alone."""
    text = made[0].read_text()
    named = [term for term, _ in re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", text[text.index("How to read") :])]
    explained = [name for name, _, _ in TERMS]
    assert [escape(name) for name in explained if escape(name) in named] == [escape(name) for name in explained]
    assert page.headings[-2:] == ["How to read this page", "How the runs were made"]
    few = reading([Section("Scores", [words("Macro-F 0.5")]), Section("Training", [])])
    assert "Macro-F" in few.parts[0] and few.parts[0].count("<dt>") == 1
    hidden = Html('<figure><img src="data:ECE" alt="κ"></figure><script>const Holm = "m-score";</script>')
    assert reading([Section("x", [hidden])]).parts == []


def test_names_of_strangers_stay_words(made, page):
    text = made[0].read_text()
    assert "<script>alert" not in text and "<i>all" not in text and "line <b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert page.scripts == 3  # the drawing library, the explorer's data and the explorer


def test_nothing_is_fetched(made, page):
    assert page.addresses
    assert [one[:60] for one in page.addresses if not one.startswith(("data:", "#"))] == []
    style = "".join(re.findall(r"<style>(.*?)</style>", made[0].read_text(), re.S))
    assert "@import" not in style and not re.search(r"url\((?!['\"]?data:)", style)


def test_every_picture_has_words_for_it_and_is_kept(made, page):
    drawn = {path.stem for path in made[1].glob("*.png")}
    assert len(drawn) > 9 and drawn == {path.stem for path in made[1].glob("*.svg")}
    assert sum(len(alt) > 30 for alt in page.alts) == len(drawn)


def test_sections_say_what_they_must(page):
    text = " ".join(page.words)
    for wanted in (
        "For research use only",
        "3 folds",
        "Folds 0, 1, 2: flat",
        "python -m experiments.smr",
        "Explorer",
        "SMR & <i>all</i> beside TML",
        "2 × abacus, 2 processes",
        "0af0af0af0af and changes since",
    ):
        assert wanted in text or wanted.replace("Folds", "Fold") in text, wanted
    # Where it was computed is said by the device; how its processes met is no setting of the method.
    assert "node1:1234" not in text and "process_id" not in text


def test_sentences_claim_no_more_than_the_interval():
    def pair(low, high, p=0.01, score="macro_f1"):
        difference = {"mean": (low + high) / 2, "low": low, "high": high}
        return Paired("New", score, 6, difference, p, p)

    unsure = in_words(pair(-0.01, 0.03), "Old", family=2)
    assert "do not tell New and Old apart in macro-F" in unsure and "−0.010 to +0.030" in unsure
    assert "do not tell" in in_words(pair(0.0, 0.03), "Old", family=1)
    clear = in_words(pair(0.01, 0.03), "Old", family=2)
    assert "higher macro-F" in clear and "the better value" in clear and "it stands" in clear
    assert "may be chance" in in_words(pair(0.01, 0.03, p=0.06), "Old", family=2)
    assert "the worse value" in in_words(pair(0.1, 0.3, score="misclassification_severity"), "Old", family=1)
    assert "the better value" in in_words(pair(-0.3, -0.1, score="misclassification_severity"), "Old", family=1)


def test_other_folds_are_shown_and_not_paired(two, manifest, tmp_path):
    """A run whose folds hold other cells, one that shares a single fold, and one that is not finished."""
    other = make_run(tmp_path / "other", manifest, title="Other folds", seed=3, shift=1)
    short = make_run(tmp_path / "short", manifest, title="x", seed=4, folds=(1,), finished=False)
    runs = read_runs([two[1], other, short])
    assert [run.title for run in runs] == ["TML", "Other folds", "short"]
    assert [run.finished for run in runs] == [True, True, False]
    assert [len(shared_folds(run, runs[0])) for run in runs[1:]] == [0, 1]
    assert paired_differences(runs, runs[0]) == []
    shown = overview(runs, runs[0], {}, tmp_path / "figures")
    assert "short is not finished: shown are its finished folds, so far 1." in " ".join(
        Reader("".join(shown.parts)).words
    )
    words = Reader("\n".join(comparison(runs, runs[0], [], tmp_path / "figures").parts)).words
    text = " ".join(words)
    assert "Not paired with TML" in text and "Other folds. Their scores" in text
    assert "One shared fold allows no interval: short" in text


def on_another_set(run: Path, folder: Path, data: str, *folds: int) -> Path:
    """The same run as if it were of other data, with these folds alone."""
    shutil.copytree(run, folder)
    for fold in {0, 1, 2} - set(folds):
        shutil.rmtree(folder / f"fold_{fold}")
    config = json.loads((folder / "config.json").read_text())
    config["data"]["data"] = data
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "sets, tested",
    [
        (["cells.csv"], "It was trained and tested in 3 folds of a cross-validation: every prediction"),
        (["pcam"], "It was trained and tested in 2 folds of a cross-validation: every prediction"),
        (["bloodmnist official"], "It was trained and tested on the official parts of bloodmnist: every"),
        (
            ["bloodmnist official", "pcam official"],
            "Each was trained and tested on the official parts of bloodmnist and pcam: every",
        ),
        (
            ["a", "b", "pcam official"],
            "pcam was trained and tested on the official parts of pcam, the others under cross-validation: every",
        ),
        (["a", "b", "c"], "Each was trained and tested under cross-validation: every"),
    ],
)
def test_the_overview_says_on_what_it_was_tested(sets, tested, two, tmp_path):
    folders = []
    for one in sets:
        name, official, _ = one.partition(" official")
        folds = (0,) if official else (0, 1) if name == "pcam" else (0, 1, 2)
        folders.append(on_another_set(two[0], tmp_path / name, name, *folds))
    runs = read_runs(folders)
    text = " ".join(Reader("".join(overview(runs, runs[0], {}, tmp_path).parts)).words)
    assert tested in text
    assert f" on {enumerated([one.split()[0] for one in sets])}. " in text


def test_the_title_names_every_data_set_once(two, tmp_path):
    other = on_another_set(two[1], tmp_path / "other", "elsewhere/blood", 0, 1, 2)
    third = on_another_set(two[1], tmp_path / "third", "blood", 0, 1, 2)
    page = Reader(report(Options(runs=(two[0], other, third), out=tmp_path / "r.html", detail=1)).read_text())
    assert page.headings[0] == "3 runs on cells.csv and blood"


def test_cells_that_changed_are_not_pictured(tmp_path):
    from PIL import Image

    manifest = write_cells(tmp_path / "cells")
    run = make_run(tmp_path / "run", manifest, title="One", seed=0)
    (only,) = read_runs([run])
    assert read_images([only])["One"].cells is not None
    Image.new("RGB", (16, 16), "#123456").save(tmp_path / "cells" / "1-0.png")
    images = read_images([only])["One"]
    assert images.cells is None and "have changed since" in images.reason
    shutil.rmtree(tmp_path / "cells")
    assert read_images([only])["One"].cells is None


def test_a_page_of_a_run_with_predictions_alone(two, tmp_path):
    """As of a classifier of descriptors: no embeddings, no probabilities, no history; the data are gone, too."""
    bare = tmp_path / "set" / "hog-svm"
    shutil.copytree(two[0], tmp_path / "set")
    (tmp_path / "set" / "summary.json").write_text(
        json.dumps({"methods": {"hog-svm": {"group": "hog", "title": "SVM"}}, "versions": {}})
    )
    bare.mkdir()
    for fold in range(3):
        here = tmp_path / "set" / f"fold_{fold}"
        (bare / here.name).mkdir()
        with open(here / "predictions.csv") as file:
            rows = list(csv.DictReader(file))
        with open(bare / here.name / "predictions.csv", "w", newline="") as out:
            writer = csv.DictWriter(out, ["path", "true", "predicted"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        result = json.loads((here / "result.json").read_text())
        (bare / here.name / "result.json").write_text(json.dumps({"fold": fold, "scores": result["scores"]}))
        shutil.rmtree(here)
    config = json.loads((tmp_path / "set" / "config.json").read_text())
    config["data"]["data"] = str(tmp_path / "gone.csv")
    (tmp_path / "set" / "config.json").write_text(json.dumps(config))
    page = Reader(report(Options(runs=(tmp_path / "set",), out=tmp_path / "bare.html")).read_text())
    text = " ".join(page.words)
    assert "HOG, SVM" in text and "No cells of gone.csv are pictured" in text
    assert page.headings[:3] == ["HOG, SVM", "Contents", "Overview"]
    for absent in ("Explorer", "Training", "Maturity along the curves", "Probabilities and calibration"):
        assert absent not in page.headings
    assert page.scripts == 0


def test_runs_in_detail_and_others(two, tmp_path):
    """One of two in detail, the baseline not among them: it is compared with all the same."""
    page = Reader(report(Options(runs=tuple(two), out=tmp_path / "short.html", detail=1)).read_text())
    text = " ".join(page.words)
    assert "Shown in detail: SMR & <i>all</i>" in text and "--detail 2" in text
    assert [row[0] for row in page.table("Macro-F", "Folds")] == ["SMR & <i>all</i>", "TML (baseline)"]
    assert {row[0] for row in page.table("Counted")} == {"SMR & <i>all</i>"}
    assert len(page.table("Difference")) == 2 and "SMR & <i>all</i> beside TML" in text


def test_the_learnt_space_is_shown_where_there_is_one(two, manifest, tmp_path):
    flat, other = read_runs([make_run(tmp_path / "flat", manifest, title="Flat", seed=0, reduced=True), two[0]])
    images = read_images([flat, other])
    for layout in ("reducer", "pca"):
        assert "Flat" in "".join(explore(flat, images["Flat"], layout).parts)
    with pytest.raises(InputError, match="no space of two dimensions"):
        explore(other, images[other.title], "reducer")


@pytest.mark.soak
def test_umap_lays_out_cells_and_curves(two):
    """UMAP compiles for half a minute."""
    (run, _) = read_runs(two)
    assert "neighbours" in "".join(explore(run, read_images([run])[run.title], "umap").parts)


def test_runs_of_one_name_keep_their_own(two, tmp_path):
    """Folders that differ far up in their paths; and the taxonomy that a run has kept."""
    for where in ("a", "b"):
        shutil.copytree(two[0], tmp_path / where / "smr" / "mine")
    runs = read_runs([tmp_path / where / "smr" / "mine" for where in ("a", "b")])
    assert [run.title for run in runs] == ["a/smr/mine", "b/smr/mine"]
    kept = Taxonomy("kept", CLASSES, (Lineage("other line", CLASSES[2:]),), ("#010203",) * 4, ("w", "x", "y", "z"))
    (tmp_path / "b" / "smr" / "mine" / "taxonomy.json").write_text(json.dumps(to_json(kept)))
    (run,) = read_runs([tmp_path / "b" / "smr" / "mine"])
    assert dict(zip(run.taxonomy.classes, run.taxonomy.titles, strict=True)) == dict(zip(CLASSES, "wxyz", strict=True))
    assert list(run.lineages) == ["other line"]


@pytest.mark.parametrize("what", ["no name", "nothing", "empty", "no fold", "damaged", "several"])
def test_bad_input_is_one_line(what, two, tmp_path, capsys, monkeypatch):
    folder, more = tmp_path / "run", []
    if what not in ("nothing", "no name"):
        folder.mkdir()
    if what == "no fold":
        (folder / "config.json").write_text("{}")
    if what == "damaged":
        shutil.copytree(two[0], folder, dirs_exist_ok=True)
        (folder / "fold_1" / "predictions.csv").write_text("path,true,predicted\nx,A,Z\n")
    if what == "several":
        folder = two[0]
        more = ["--baseline", str(two[0].parent)]
    named = [] if what == "no name" else [str(folder)]
    monkeypatch.setattr(sys, "argv", ["report", *named, "--out", str(tmp_path / "x.html"), *more])
    with pytest.raises(SystemExit) as stop:
        leave(command.main)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1
    wanted = {
        "no name": "name the folder of a run",
        "nothing": "there is no such folder",
        "empty": "is not the folder of a run",
        "no fold": "no fold of this run is finished",
        "damaged": "is damaged ('Z')",
        "several": "holds several runs",
    }
    assert wanted[what] in said
    assert not (tmp_path / "x.html").exists()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no Chromium here")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_in_a_browser(made, browser, width, tmp_path):
    """From the file system: no error, no request, nothing wider than the screen, and something to see."""
    from PIL import Image

    tab = browser.new_page(viewport={"width": width, "height": 800})
    errors, requests = [], []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(made[0].as_uri())
    tab.wait_for_function("document.querySelector('.js-plotly-plot') !== null")
    assert errors == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [made[0].as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    tab.screenshot(path=tmp_path / "page.png")
    assert np.asarray(Image.open(tmp_path / "page.png").convert("L")).std() > 10
    if width == 1280:
        tab.emulate_media(media="print")
        assert not tab.is_visible("section.screen")
        assert tab.is_visible("section:not(.screen) table")
    tab.close()


#: Of the page's own boxes: whether it scrolls, is a stop of the keyboard, and what it is called.
BOXES = """[...document.querySelectorAll(".picture, .scroll")].map(box => ({
  html: box.outerHTML.slice(0, 300), scrolls: box.scrollWidth > box.clientWidth + 1,
  stop: box.hasAttribute("tabindex"), name: box.getAttribute("aria-label")}))"""


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_boxes_that_scroll_are_reached_and_named(made, browser, width):
    """Every box that scrolls takes the focus, and screen readers find it as a region by its first words."""
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.goto(made[0].as_uri())
    boxes = tab.evaluate(BOXES)
    assert any(box["scrolls"] for box in boxes) == (width < 1280)
    assert [box for box in boxes if box["scrolls"] and not box["stop"]] == []
    seen = tab.locator("main").aria_snapshot()
    # A region without a name is none to a screen reader.
    assert sum(box["stop"] for box in boxes) == sum(
        f"- region {json.dumps(box['name'], ensure_ascii=False)}" in seen for box in boxes
    )
    for name in ("Class by class", "Stage errors per lineage, mean over folds", "Run less baseline on the same folds"):
        assert f'- region "{name}' in seen
    assert all(len(box["name"] or "") <= 82 for box in boxes)
    tab.close()
