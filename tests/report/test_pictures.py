"""Every picture on made-up cells: files, colours and words, then the odd inputs."""

import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.report import (
    Readout,
    confusion_figure,
    contact_sheet,
    embedding_figure,
    maturity_figure,
    true_maturity_figure,
)
from tests.report.conftest import check_png, colour_share, svg_words

SHARED = ("labels", "class_names", "colours", "lineages")


def pick(cells, *keys):
    return {key: cells[key] for key in (*SHARED, *keys)}


def thumbs(count, grey=90):
    return np.full((count, 12, 12, 3), grey, dtype=np.uint8)


def test_embedding_shows_classes_curve_and_targets(tmp_path, cells):
    path = tmp_path / "embedding.png"
    title = "An embedding of six classes"
    drawn = embedding_figure(path, title=title, **pick(cells, "embeddings", "curves", "targets"))
    assert drawn == path
    check_png(path, *cells["colours"])
    words = svg_words(path.with_suffix(".svg"))
    for wanted in (
        *cells["class_names"],
        "neutrophil",
        "other classes",
        title,
        "target on the curve",
        "class mean",
    ):
        assert wanted in words, wanted
    # The legend goes by maturity, whatever the order of the indices.
    last = [len(words) - 1 - words[::-1].index(name) for name in ("BLA", "MY", "BNE", "SNE", "EO")]
    assert last == sorted(last)


@pytest.mark.parametrize("case", ["one class", "one cell", "no cells", "no lineage", "flat", "one dimension"])
def test_embedding_of_little(tmp_path, cells, case):
    chosen = pick(cells, "embeddings", "curves", "targets")
    keep = {
        "one class": cells["labels"] == 2,
        "one cell": np.arange(180) == 70,
        "no cells": np.zeros(180, bool),
    }
    mask = keep.get(case, np.ones(180, bool))
    chosen["labels"], chosen["embeddings"] = cells["labels"][mask], cells["embeddings"][mask]
    if case == "no lineage":
        chosen.update(lineages={}, curves={}, targets={})
    if case == "flat":
        chosen.update(embeddings=np.zeros((180, 12)), curves={"neutrophil": np.zeros((5, 12))}, targets={})
    if case == "one dimension":
        chosen.update(embeddings=cells["embeddings"][:, :1], curves={"neutrophil": np.eye(2)[:, :1]}, targets={})
    check_png(embedding_figure(tmp_path / "e.png", title=case, svg=False, **chosen))


def test_embedding_of_21_classes_with_long_names(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(21), 4)
    names = [f"a rather long name of a cell type, number {c}" for c in range(21)]
    path = embedding_figure(
        tmp_path / "e.png",
        embeddings=rng.normal(size=(84, 5)),
        labels=labels,
        class_names=names,
        colours=["#336699"] * 21,
        lineages={"first": [0, 1, 2], "second": [5, 4], "third": [7]},
        curves={},
        targets={},
        title="Many classes in three lineages",
    )
    words = svg_words(path.with_suffix(".svg"))
    assert {str(number) for number in range(1, 22)} <= set(words)
    assert "21  a rather long name of a cell …" in words


def test_embedding_refuses_what_is_not_finite(tmp_path, cells):
    cells["embeddings"][3, 1] = np.nan
    with pytest.raises(InputError, match="1 of 180 embeddings are not finite"):
        embedding_figure(tmp_path / "e.png", title="", **pick(cells, "embeddings", "curves", "targets"))
    with pytest.raises(ValueError, match="do not belong together"):
        embedding_figure(
            tmp_path / "e.png",
            title="",
            **{**pick(cells, "curves", "targets"), "embeddings": np.zeros((3, 2))},
        )


def test_maturity_of_two_readouts(tmp_path, cells):
    near = {c: thumbs(2, 90 + 20 * c) for c in (0, 1, 2, 3)}
    worse = cells["t"] + 0.3 * np.random.default_rng(1).normal(size=180)
    readouts = [
        Readout("line", worse, cells["stages"]),
        Readout("curve", cells["t"], cells["stages"], nearest=near),
    ]
    path = maturity_figure(tmp_path / "m.png", readouts=readouts, title="Maturity", **pick(cells))
    check_png(path, "#b2182b", *(f"#{(90 + 20 * c) * 0x10101:06x}" for c in range(4)))
    words = svg_words(path.with_suffix(".svg"))
    assert {"BLA", "SNE", "MY", "BNE", "neutrophil", "line", "curve", "Maturity", "t = 0"} <= set(words)
    assert "EO" not in words
    numbers = [w for w in words if w.startswith("τ = ")]
    assert len(numbers) == 2 and all("n = 120" in w for w in numbers)
    assert float(numbers[0].split()[2]) < float(numbers[1].split()[2])


@pytest.mark.parametrize("case", ["all nan", "empty class", "one class", "one cell", "one point", "far away"])
def test_maturity_of_little(tmp_path, cells, case):
    t, lineages, stages = cells["t"].copy(), cells["lineages"], cells["stages"]
    if case == "all nan":
        t[:] = np.nan
    if case == "empty class":
        t[cells["labels"] == 2] = np.nan
    if case == "one class":
        lineages, stages = {"single": [2]}, {"single": np.zeros(1)}
    if case == "one cell":
        t[1:] = np.nan
    if case == "one point":
        t[:] = 0.5
    if case == "far away":
        t[:20] = 1e6
    chosen = {**pick(cells), "lineages": lineages}
    path = maturity_figure(tmp_path / "m.png", readouts=[Readout("r", t, stages)], title=case, **chosen)
    check_png(path)
    words = svg_words(path.with_suffix(".svg"))
    assert words.count("no cells") == {"all nan": 4, "empty class": 1, "one cell": 3}.get(case, 0)
    assert any(w.startswith("τ = –") for w in words) == (case in ("all nan", "one class", "one cell", "one point"))


def test_maturity_needs_cells_of_one_length(tmp_path, cells):
    with pytest.raises(ValueError, match="t has shape"):
        readouts = [Readout("r", np.zeros(3), cells["stages"])]
        maturity_figure(tmp_path / "m.png", readouts=readouts, title="", **pick(cells))
    with pytest.raises(ValueError, match="at least one readout"):
        maturity_figure(tmp_path / "m.png", readouts=[], title="", **pick(cells))


@pytest.mark.parametrize("count", [1, 5, 21])
def test_confusion_writes_its_counts(tmp_path, count):
    rng = np.random.default_rng(count)
    counts = rng.integers(1, 40, size=(count, count)) + 1200 * np.eye(count, dtype=int)
    counts = np.triu(np.tril(counts, 1), -1)  # neighbours alone, for speed
    counts[count // 2] = 0  # a class that nobody labelled
    names = [f"type {c} of many cells" for c in range(count)]
    path = confusion_figure(
        tmp_path / "c.png",
        counts=counts,
        class_names=names,
        colours=["#4d1a75"] * count,
        lineages={"only": [count - 1]},
        title="Confusion",
    )
    check_png(path)
    words = svg_words(path.with_suffix(".svg"))
    written = sorted(int(w.replace(",", "")) for w in words if w.replace(",", "").isdigit() and w != "0")
    # Support of the empty row is "0"; "50" on the colour scale is no count.
    expected = sorted([*counts[counts > 0].tolist(), 50])
    assert written == expected
    assert words.count(names[-1]) == 2
    for c in range(count):
        total = counts[c].sum()
        side = f"{total:,} · {100 * counts[c, c] / total:.0f} %" if total else "0"
        assert side in words


def test_confusion_shades_by_row(tmp_path):
    full = {"class_names": "ab", "colours": ["#111111"] * 2, "lineages": {}, "title": "", "svg": False}
    pure = confusion_figure(tmp_path / "a.png", counts=np.diag([5, 5000]), **full)
    mixed = confusion_figure(tmp_path / "b.png", counts=np.full((2, 2), 7), **full)
    # Both rows of the first are right throughout, so five cells are as dark as five thousand.
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    dark = to_hex(colormaps["Blues"](1 / 1.15))
    assert colour_share(pure, dark) > 0.05
    assert colour_share(mixed, dark) < 0.01
    with pytest.raises(ValueError, match="for 2 classes"):
        confusion_figure(tmp_path / "c.png", counts=np.zeros((3, 3)), **full)


def test_true_maturity_names_tau_within_classes(tmp_path, cells):
    # Whole stages recovered, nothing within: tau over all is high, within each class undefined or about zero.
    stage = np.full(6, np.nan)
    stage[[0, 2, 3, 1]] = np.arange(4)
    recovered = {"exact": cells["truth"], "stage alone": stage[cells["labels"]]}
    kept = pick(cells)
    path = true_maturity_figure(
        tmp_path / "t.png", recovered=recovered, truth=cells["truth"], title="True maturity", **kept
    )
    check_png(path, *[cells["colours"][c] for c in (0, 2)])
    words = svg_words(path.with_suffix(".svg"))
    assert "τ = 1.00 · within classes 1.00" in words
    assert any(w.startswith("τ = 0.") and w.endswith("within classes –") for w in words)
    assert {"exact", "stage alone", "true maturity", "BLA", "SNE"} <= set(words)


@pytest.mark.parametrize("case", ["nothing known", "one cell", "three readouts"])
def test_true_maturity_of_little(tmp_path, cells, case):
    truth = cells["truth"].copy()
    truth[{"nothing known": 0, "one cell": 1}.get(case, 180) :] = np.nan
    names = "abc" if case == "three readouts" else "a"
    recovered = {name: cells["t"] for name in names}
    kept = pick(cells)
    check_png(true_maturity_figure(tmp_path / "t.png", recovered=recovered, truth=truth, title=case, svg=False, **kept))
    with pytest.raises(ValueError, match="at least one readout"):
        true_maturity_figure(tmp_path / "t.png", recovered={}, truth=truth, title=case, **kept)
    with pytest.raises(ValueError, match="same number of cells"):
        true_maturity_figure(tmp_path / "t.png", recovered={"a": truth[:3]}, truth=truth, title=case, **kept)


def test_contact_sheet_spreads_over_the_cells_of_a_class(tmp_path, cells):
    labels = cells["labels"]
    images = np.zeros((180, 8, 8, 3), dtype=np.uint8)
    images[:] = (40 + np.arange(180) % 30 * 5)[:, None, None, None]  # within each class 40, 45, … 185
    labels = np.where(labels == 5, 4, labels)  # no lymphocyte
    kept = {**pick(cells), "labels": labels}
    path = contact_sheet(tmp_path / "s.png", images=images, title="Cells", per_class=3, svg=True, **kept)
    check_png(path, *cells["colours"])
    shares = [colour_share(path, f"#{grey * 0x10101:06x}") for grey in (40, 185)]
    assert min(shares) > 0.02  # first and last of five classes
    words = svg_words(path.with_suffix(".svg"))
    assert words.count("no cells") == 1 and {"neutrophil", "other classes", "Cells", "LY"} <= set(words)


def test_contact_sheet_of_little(tmp_path, cells):
    kept = {**pick(cells), "labels": np.array([2])}
    check_png(contact_sheet(tmp_path / "s.png", images=thumbs(1), title="One cell", **kept))
    kept["labels"] = np.zeros(0, dtype=int)
    check_png(contact_sheet(tmp_path / "s.png", images=thumbs(0), title="No cell", **kept))
    with pytest.raises(ValueError, match="no contact sheet"):
        contact_sheet(tmp_path / "s.png", images=thumbs(2), title="", **kept)
