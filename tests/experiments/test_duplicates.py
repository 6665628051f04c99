"""Duplicates across a split, as a user meets them: a line, a table, a refusal; and what is counted."""

import csv
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from experiments import baselines, duplicates, smr, strategies
from experiments.duplicates import TEST, TRAINING, VALIDATION, counts_of, look_for_duplicates, nested_sides_of, sides_of
from experiments.runtime import leave
from smrjax.data import CellSet
from smrjax.data.folds import split
from smrjax.errors import InputError
from smrjax.files import read_rows
from tests.experiments.test_strategies import work_of
from tests.train.disks import no_file_beyond

WORDS = ["--image-size", "16", "--folds", "3", "--method", "tml", "--epochs", "0", "--encoder", "resnet_tiny"]


def pictures(count: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def cells_of(images: np.ndarray, digest: str, groups: np.ndarray | None = None) -> CellSet:
    labels = np.arange(len(images), dtype=np.int32) % 2
    names = tuple(f"{i}.png" for i in range(len(images)))
    return CellSet(images, labels, names, ("A", "B"), groups, None, None, digest, "some")


@pytest.fixture
def manifest(tmp_path):
    """Two classes of nine images on nine slides; A/3 is a turned copy of A/0, B/5 of A/1; B/8 of its slide's B/7."""
    images = pictures(18).reshape(2, 9, 16, 16, 3)
    images[0, 3] = images[0, 0][::-1]
    images[1, 5] = images[0, 1][:, ::-1]
    images[1, 8] = images[1, 7].swapaxes(0, 1)
    lines = ["path,label,slide"]
    for label, own in zip("AB", images, strict=True):
        (tmp_path / label).mkdir()
        for i, image in enumerate(own):
            Image.fromarray(image).save(tmp_path / label / f"{i}.png")
            lines.append(f"{label}/{i}.png,{label},s{7 if label == 'B' and i == 8 else i}")
    (tmp_path / "cells.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "cells.csv"


def run(monkeypatch, tmp_path, module, *words: str) -> None:
    own = ["--out", str(tmp_path / "runs"), "--name", "run", "--cache", str(tmp_path / "cache"), "--no-pictures"]
    monkeypatch.setattr(sys, "argv", ["it", *words, *own])
    leave(module.main)


def table(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore:classes without a cell", "always:4 of 18 cells")
def test_they_are_told_and_kept(manifest, monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, smr, "--data", str(manifest), *WORDS)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 1
    assert said[0].startswith(
        "warning: 4 of 18 cells have a duplicate on the other side of a split (A/0.png and A/3.png"
    )
    folder = tmp_path / "runs" / "smr" / "run"
    found = table(folder / "duplicates.csv")
    assert [(row["first"], row["second"], row["kind"]) for row in found] == [
        ("A/0.png", "A/3.png", "near"),
        ("A/1.png", "B/5.png", "near"),
        ("B/7.png", "B/8.png", "near"),
    ]
    assert (found[1]["first_class"], found[1]["second_class"]) == ("A", "B")
    assert found[2]["first_slide"] == found[2]["second_slide"] == "7"
    with np.load(folder / "fold_0" / "embeddings.npz") as arrays:
        part = arrays["part"]
    place = {name: row for row, name in enumerate(f"{c}/{i}.png" for c in "AB" for i in range(9))}
    for row in found:
        sides = {int(part[place[row["first"]]]), int(part[place[row["second"]]])}
        for column, between in duplicates.BETWEEN.items():
            assert ("0" in row[column].split()) == (sides == between)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["duplicates"] == {"pairs": 3, "exact": 0, "across": 4, "across_test": 4, "other_class": 1}


@pytest.mark.filterwarnings("ignore:classes without a cell")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        (smr, WORDS),
        (
            baselines,
            ["--task", "all", "--features", "lbp", "--classifiers", "svm", "--folds", "3", "--inner-folds", "3"],
        ),
        (strategies, ["--encoder", "resnet_tiny", "--image-size", "16", "--folds", "3"]),
    ],
    ids=["smr", "baselines", "strategies"],
)
def test_a_strict_split_is_refused(manifest, monkeypatch, tmp_path, capsys, module, words):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, tmp_path, module, "--data", str(manifest), *words, "--strict-split")
    assert end.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(
        "error: --strict-split: 4 of 18 cells have a duplicate on the other side of a split (A/0.png "
    )
    assert not (tmp_path / "runs").exists()
    path = line.removesuffix(" lists them: take all but one of each away, or give them the same slide").split("; ")[-1]
    assert len(table(path)) == 3


def test_a_set_to_pre_train_on_has_copies_of_cells_that_are_tested(tmp_path, monkeypatch, capsys):
    """Of another laboratory's folder, in which a cell of ours stands turned, under another label."""
    ours, theirs = np.split(pictures(30), [18])
    theirs[4] = ours[2][::-1, ::-1]
    theirs[9] = theirs[1][::-1]  # which is no matter of ours
    for folder, images, labels in (("ours", ours, "AB"), ("theirs", theirs, "CD")):
        for i, image in enumerate(images):
            place = tmp_path / folder / labels[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i:02}.png")
    words = ["--data", str(tmp_path / "ours"), "--encoder", "resnet_tiny", "--image-size", "16", "--folds", "3"]
    words += ["--init", "theirs", "--pretrain", f"theirs={tmp_path / 'theirs'}", "--epochs", "1", "--lr", "0.01"]
    pair = "(A/02.png and theirs: C/04.png)"
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, tmp_path, strategies, *words, "--strict-split")
    line = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and not (tmp_path / "runs").exists()
    assert line.startswith(
        f"error: --strict-split: 2 of 30 cells have a duplicate on the other side of a split {pair}; "
    )
    assert line.endswith("take all but one of each away, or, within the set that is tested, give them the same slide")
    with pytest.warns(UserWarning, match=f"^2 of 30 cells .*{re.escape(pair)}"):
        found = work_of(*words, "--cache", str(tmp_path / "cache")).repeated
    (row,) = found.rows
    assert (row["first_class"], row["second_class"], row["second_slide"]) == ("A", "C", "")
    # Each fold of ours trains on it, tests it or chooses the epoch by it; theirs is trained on before any.
    assert len(row["train_test"].split()) == 1 and not row["validation_test"]
    assert counts_of(found) == {"pairs": 1, "exact": 0, "across": 2, "across_test": 2, "other_class": 1}


def test_one_slide_keeps_them_together(tmp_path):
    """Duplicates within a slide are listed and pass a strict split."""
    images = pictures(12)
    images[7] = images[1][::-1]
    groups = np.arange(12, dtype=np.int32) % 6
    sides = sides_of([split(groups // 2, k) for k in range(3)], 12)
    found = look_for_duplicates(cells_of(images, "slides", groups), sides, (), others={}, cache=tmp_path, strict=True)
    assert [(row["first"], row["second"]) for row in found.rows] == [("1.png", "7.png")]
    assert found.counts.pairs == 1 and found.counts.across == 0


def test_no_name_is_a_formula(tmp_path):
    images = pictures(6)
    images[3] = images[0][::-1]
    names = ("=cmd|' /C calc'!A0", *(f"{i}.png" for i in range(1, 6)))
    cells = replace(cells_of(images, "formula"), names=names)
    found = look_for_duplicates(cells, np.zeros((1, 6), np.int8), (), others={}, cache=tmp_path, strict=False)
    duplicates.write_rows(tmp_path / "duplicates.csv", found.rows)
    assert table(tmp_path / "duplicates.csv")[0]["first"] == f"'{names[0]}"
    assert read_rows(tmp_path / "duplicates.csv")[0]["first"] == names[0]


def test_cells_are_counted_by_the_parts_of_the_folds_that_are_trained(tmp_path):
    """Three copies of one cell, against a count by hand; a copy of a copy counts."""
    images = pictures(9)
    images[4], images[8] = images[0], images[0]
    sides = np.zeros((3, 9), np.int8)
    sides[0, [0, 4]] = VALIDATION  # 8 to train on: across, but not across a test
    sides[1, 8] = TEST  # 0 and 4 to train on
    sides[2, [0, 4, 8]] = TEST
    cells = cells_of(images, "three")
    with pytest.warns(UserWarning, match="3 of 9 cells .*0.png and 8.png.: scores"):
        every = look_for_duplicates(cells, sides, (), others={}, cache=tmp_path, strict=False)
    assert (every.counts.pairs, every.counts.exact) == (2, 2)
    assert (every.counts.across, every.counts.across_test, every.counts.other_class) == (3, 3, 0)
    assert [row["train_test"] for row in every.rows] == ["", "1"]
    assert [row["train_validation"] for row in every.rows] == ["", "0"]
    with pytest.warns(UserWarning, match="3 of 9"):
        assert look_for_duplicates(cells, sides, (0,), others={}, cache=tmp_path, strict=False).counts.across_test == 0
    assert look_for_duplicates(cells, sides, (2,), others={}, cache=tmp_path, strict=True).counts.across == 0


def test_parts_of_nested_folds():
    nested = np.array([[-1, 0, 1, 2]])
    assert nested_sides_of(nested).tolist() == [[TEST, VALIDATION, TRAINING, TRAINING]]


def test_pairs_are_found_once(tmp_path, monkeypatch):
    """They come from the cache the second time; a damaged cache is as good as none."""
    images = pictures(6)
    images[5] = images[2]
    sides = sides_of([split(np.arange(6) % 3, k) for k in range(3)], 6)[:, [0, 1, 2, 3, 4, 2]]
    calls = []
    search = duplicates.find_duplicates
    monkeypatch.setattr(duplicates, "find_duplicates", lambda *a, **k: calls.append(1) or search(*a, **k))

    def look(digest: str):
        return look_for_duplicates(cells_of(images, digest), sides, (), others={}, cache=tmp_path, strict=True)

    assert look("one") == look("one") and len(calls) == 1
    (kept,) = tmp_path.glob("duplicates-*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    assert look("one").counts.pairs == 1 and len(calls) == 2
    look("two")
    assert len(calls) == 3


def test_the_first_pairs_are_named(tmp_path):
    images = np.tile(pictures(3), (2, 1, 1, 1))
    sides = sides_of([split(np.arange(6) // 2, k) for k in range(3)], 6)
    with pytest.raises(InputError, match=r"6 of 6 cells .*\(0.png and 3.png; 1.png and 4.png; …\); .*csv lists them"):
        look_for_duplicates(cells_of(images, "all"), sides, (), others={}, cache=tmp_path, strict=True)


def test_a_full_disk_leaves_no_list_by_halves(manifest, monkeypatch, tmp_path, capsys):
    """Of pairs in the cache, and of pairs for the user; what was there before stays."""
    cells = cells_of(np.concatenate([pictures(4), pictures(4)]), "0" * 64)
    sides, cache = sides_of([tuple(np.split(np.arange(8), [4, 6]))], 8), tmp_path / "cache"
    with no_file_beyond(100), pytest.raises(InputError, match="duplicates-.*npz: cannot be written .*File too large"):
        look_for_duplicates(cells, sides, [0], others={}, cache=cache, strict=False)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]
    with pytest.raises(InputError, match="--strict-split") as said:
        look_for_duplicates(cells, sides, [0], others={}, cache=cache, strict=True)
    (listed,) = cache.glob("*.csv")
    before = listed.read_bytes()
    assert str(listed) in str(said.value) and len(table(listed)) == 4
    listed.write_text("the list before")
    with no_file_beyond(100), pytest.raises(InputError, match="duplicates-.*csv: cannot be written .*untouched"):
        look_for_duplicates(cells, sides, [0], others={}, cache=cache, strict=True)
    assert listed.read_text() == "the list before"
    assert not list(cache.glob(".*"))
    with pytest.raises(InputError, match="--strict-split"):
        look_for_duplicates(cells, sides, [0], others={}, cache=cache, strict=True)
    assert listed.read_bytes() == before
