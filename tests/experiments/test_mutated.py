"""Files that were changed, byte by byte or value by value: what cannot be right is said in one line with its file."""

import json
import warnings
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import smr
from experiments.checks import check_options
from experiments.config import read_config, to_json
from experiments.rendezvous import ProcessOptions
from experiments.report_runs import read_runs
from experiments.runs import check_same
from smrjax.data.folder import read_folder
from smrjax.data.listing import list_pictures
from smrjax.errors import InputError, one_line
from smrjax.files import read_flat
from smrjax.guides import read_matrix
from smrjax.predict.run import judged_cells, open_run
from smrjax.predict.stains import read_stain
from smrjax.taxonomy import load_taxonomy
from smrjax.taxonomy.files import _FOLDER
from tests.experiments import made_up_runs
from tests.mutations import changed_bytes, changed_json

QUICK, SOAK = 25, 1000
HOW = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}
COUNTS = [QUICK, pytest.param(SOAK, marks=pytest.mark.soak)]
#: What became of the files, for whoever records it.
TRIED = Counter[str]()


@pytest.fixture(autouse=True)
def counted():
    TRIED.clear()
    yield
    print(f"{TRIED.total():,} changed files, {TRIED['refused']:,} of them refused by name")


def survives(read, path, original, changed, others=()):
    """Read a file after a change: whatever it was, the reader answers, or says in one line what is wrong with it."""
    path.write_bytes(changed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
        TRIED["read"] += 1
    except InputError as error:
        TRIED["refused"] += 1
        said = one_line(str(error))
        assert any(str(name) in said for name in (path, *others)), said
        assert len(said) < 12 * 1500
    finally:
        path.write_bytes(original)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run with everything that resuming, predicting and reporting read, and its manifest."""
    place = tmp_path_factory.mktemp("mutated")
    manifest = made_up_runs.write_cells(place / "cells")
    run = made_up_runs.make_run(place / "run", manifest, title="a run", seed=0)
    config = to_json(smr.resolved(smr.Config()))
    about = json.loads((run / "run.json").read_text())
    (run / "config.json").write_text(json.dumps(config))
    (run / "run.json").write_text(json.dumps(about | {"resume": "again", "folds": "0" * 64}))
    taxonomy = {"name": "four", "classes": made_up_runs.CLASSES, "titles": made_up_runs.CLASSES, "artefacts": []}
    taxonomy |= {"colours": ["#112233"] * 4, "ratios": [{"name": "r", "over": ["A"], "under": ["other"]}]}
    taxonomy["lineages"] = [{"name": made_up_runs.LINEAGE, "classes": made_up_runs.CLASSES[:3]}]
    (run / "taxonomy.json").write_text(json.dumps(taxonomy))
    (run / "stain.json").write_text(json.dumps({"mean": [60.0, 1.0, 2.0], "deviation": [9.0, 3.0, 3.0]}))
    return run


def resume(folder):
    config = smr.resolved(read_config(smr.Config, folder, {"together": ProcessOptions()}))
    check_options(config.data, config.encoder, config.train)
    smr.method_of(config.smr, load_taxonomy("pbc"))


MANIFEST = "path,label,slide,fold\n" + "".join(f"{i}.png,{'AB'[i % 2]},s{i // 2},{i // 2}\n" for i in range(6))
CLASSES = ("PMY", "MY", "MMY", "BNE", "SNE", "ERB", "EOS", "BAS", "MON", "LYM")


def words(tmp_path, name):
    """A file of words in a folder of its own: (path, content, reader)."""
    for i in range(6):
        (tmp_path / f"{i}.png").touch()
    path = tmp_path / ("file.toml" if name == "taxonomy" else "file.csv")
    content = {
        "training manifest": MANIFEST,
        "prediction manifest": MANIFEST,
        "matrix": (_FOLDER / "pbc_severity.csv").read_text(),
        "taxonomy": (_FOLDER / "pbc.toml").read_text(),
    }[name].encode()
    classes = load_taxonomy("pbc").classes
    readers = {
        "training manifest": lambda: read_folder(path),
        "prediction manifest": lambda: list_pictures([str(path)], classes=["A"]),
        "matrix": lambda: read_matrix(path, classes),
        "taxonomy": lambda: load_taxonomy(path),
    }
    path.write_bytes(content)
    readers[name]()
    return path, content, readers[name]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", ["training manifest", "prediction manifest", "matrix", "taxonomy"])
def test_files_of_words(tmp_path, name, count):
    path, content, read = words(tmp_path, name)

    @settings(max_examples=2 * count, **HOW)
    @given(changed_bytes(content))
    def check(changed):
        survives(read, path, content, changed)

    check()


@st.composite
def toml(draw):
    """A taxonomy whose values are of the right or of a wrong kind."""
    value = st.sampled_from(
        ['"A"', '"B"', '""', "1", "-1", "1e400", "nan", "[]", "{}", "true", "1979-05-27", '"\\u0000"', '"#12345g"']
    )
    some = st.lists(value, max_size=3).map(lambda words: "[" + ", ".join(words) + "]")
    lines = [f"name = {draw(value)}"]
    keys = {
        "classes": ["code", "title", "colour", "artefact"],
        "lineages": ["name", "classes"],
        "ratios": ["name", "over", "under"],
    }
    for table in keys:
        if draw(st.integers(0, 5)) == 0:
            lines.append(f"{table} = {draw(value | some)}")
            continue
    for table, inner in keys.items():
        for _ in range(draw(st.integers(0, 3))):
            lines.append(f"[[{table}]]")
            lines += [f"{key} = {draw(value | some)}" for key in inner if draw(st.booleans())]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("count", COUNTS)
def test_taxonomies_of_any_values(tmp_path, count):
    path, content, read = words(tmp_path, "taxonomy")

    @settings(max_examples=2 * count, **HOW)
    @given(toml())
    def check(changed):
        survives(read, path, content, changed)

    check()


READERS = {
    "config.json to resume": ("config.json", resume),
    "run.json to resume": ("run.json", lambda folder: check_same(folder, {"cells": "1", "folds": "2"})),
    "config.json to report": ("config.json", lambda folder: read_runs([folder])),
    "run.json to report": ("run.json", lambda folder: read_runs([folder])),
    "summary.json to report": ("summary.json", lambda folder: read_runs([folder])),
    "result.json to report": ("fold_1/result.json", lambda folder: read_runs([folder])),
    "taxonomy.json to report": ("taxonomy.json", lambda folder: read_runs([folder])),
    "config.json to predict": ("config.json", open_run),
    "run.json to predict": ("run.json", open_run),
    "summary.json to predict": ("summary.json", open_run),
    "taxonomy.json to predict": ("taxonomy.json", open_run),
    "stain.json to predict": ("stain.json", read_stain),
}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", READERS)
def test_files_of_a_run(folder, name, count):
    file, read = READERS[name]
    path = folder / file
    content = path.read_bytes()
    # A number out of its range is told by its flag, as on the command line.
    others = [folder, "--"] if name == "config.json to resume" else [folder]
    if name != "run.json to resume":  # whose digests are of other cells
        read(folder)

    @settings(max_examples=count, **HOW)
    @given(changed_json(json.loads(content)) | changed_bytes(content))
    def check(changed):
        survives(lambda: read(folder), path, content, changed, others=others)

    check()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", ["report", "predict"])
def test_predictions_of_a_fold(folder, name, count):
    path = folder / "fold_1" / "predictions.csv"
    content = path.read_bytes()
    run = open_run(folder)
    read = {"report": lambda: read_runs([folder]), "predict": lambda: judged_cells(run, [1])}[name]

    @settings(max_examples=count, **HOW)
    @given(changed_bytes(content))
    def check(changed):
        survives(read, path, content, changed, others=[folder])

    check()


@pytest.mark.parametrize("count", COUNTS)
def test_arrays(folder, count):
    path = folder / "fold_1" / "embeddings.npz"
    content = path.read_bytes()

    @settings(max_examples=count, **HOW)
    @given(changed_bytes(content))
    def check(changed):
        survives(lambda: read_flat(path), path, content, changed)

    check()
