"""A model's folder that is damaged, of another version, or meant to harm: one clear line, and nothing is run."""

import hashlib
import io
import json
import os
import shutil
import zipfile
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import smrjax
from smrjax.errors import InputError
from smrjax.evaluate import load_estimator
from smrjax.predict.exporting import write_model
from tests.predict.conftest import SIZE, toy_own, toy_shared, toy_variables


def refused(folder):
    with pytest.raises(InputError) as caught:
        smrjax.load_model(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(folder, **changes):
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | changes))
    return about


def forge(folder, name, data):
    """A file and its digest, changed alike."""
    (folder / name).write_bytes(data)
    about = edit(folder)
    edit(folder, files=about["files"] | {name: hashlib.sha256(data).hexdigest()})


def test_no_model(tmp_path):
    assert "there is no model.json" in refused(tmp_path)
    assert "there is no model.json" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\xff"])
def test_model_json_that_is_none(exported, content):
    (exported / "model.json").write_text(content, encoding="latin-1")
    assert "model.json" in refused(exported)


def test_another_format(exported):
    """Told before anything else is looked at."""
    edit(exported, format=2, files={"gone": ""})
    assert "of format 2, and this version of smrjax reads 1" in refused(exported)


@pytest.mark.parametrize("change", ["flipped", "cut", "gone"])
def test_every_damaged_file_is_named(exported, change):
    names = list(json.loads((exported / "model.json").read_text())["files"])
    assert len(names) == 12
    for name in names:
        whole = (exported / name).read_bytes()
        if change == "gone":
            (exported / name).unlink()
        else:
            middle = len(whole) // 2
            flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
            (exported / name).write_bytes(flipped if change == "flipped" else whole[:middle])
        assert name in refused(exported)
        (exported / name).write_bytes(whole)
    smrjax.load_model(exported)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "fold_0/../../secret", "fold_0/link"])
def test_no_file_outside_is_read(exported, name):
    secret = exported.parent / "secret"
    secret.write_text("x")
    os.symlink(secret, exported / "fold_0" / "link")
    about = edit(exported)
    edit(exported, files=about["files"] | {name: hashlib.sha256(b"x").hexdigest()})
    assert "outside of the folder" in refused(exported)


@pytest.mark.parametrize("name", ["own.jax", "fold_2/training.npz"])
def test_no_file_without_a_digest_is_read(exported, name):
    about = edit(exported)
    edit(exported, files={key: value for key, value in about["files"].items() if key != name})
    assert f"does not name {name}" in refused(exported)


class Harm:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["variables", "svm", "curves", "training", "tested"])
def test_nothing_is_unpickled(exported, tmp_path, name):
    data = io.BytesIO()
    with np.load(exported / "fold_0" / f"{name}.npz") as stored:
        first = list(stored)[0]
        np.savez(data, **dict(stored) | {first: np.array([Harm(tmp_path / "harm")], object)})
    forge(exported, f"fold_0/{name}.npz", data.getvalue())
    assert f"{name}.npz" in refused(exported)
    assert not (tmp_path / "harm").exists()


def harmful_skops():
    """Of a function that no classifier is made of."""
    node = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "os.system"}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("schema.json", json.dumps(node | {"__id__": 1, "protocol": 2, "_skops_version": "0.13"}))
    return data.getvalue()


def test_skops_files_of_a_run_are_looked_into(toy, tmp_path):
    """Before they are handed on."""
    run = tmp_path / "run"
    shutil.copytree(toy.folder, run)
    (run / "fold_2" / "svm.skops").write_bytes(harmful_skops())
    with pytest.raises(InputError, match="not trusted"):
        write_model(tmp_path / "model", replace(toy, folder=run), about={})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_skops_files_are_not_opened(exported):
    """They are for scikit-learn, and `load_estimator` refuses what it does not know."""
    forge(exported, "fold_0/svm.skops", harmful_skops())
    smrjax.load_model(exported)
    with pytest.raises(InputError, match="not trusted"):
        load_estimator(exported / "fold_0" / "svm.skops")


def program(function, *shapes, **how):
    """As bytes; for any batch where a shape has -1."""
    (batch,) = export.symbolic_shape("batch")
    first = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in toy_variables(0).items()}
    given = [jax.ShapeDtypeStruct([batch if n == -1 else n for n in shape], kind) for shape, kind in shapes]
    return export.export(jax.jit(function), platforms=("cpu", "cuda"), **how)(first, *given)


IMAGES, SEEN = ((-1, SIZE, SIZE, 3), np.uint8), ((1, -1, SIZE, SIZE, 3), np.uint8)


def calling_out(variables, seen):
    out = jax.ShapeDtypeStruct((seen.shape[1], 3), jnp.float32)
    return jax.ffi.ffi_call("unheard_of", out)(seen.astype(jnp.float32))


PROGRAMS = {
    "no program": ("own.jax", lambda: b"no program at all", "not a program"),
    "empty": ("shared.jax", lambda: b"", "not a program"),
    "cut": ("own.jax", lambda: program(toy_own, SEEN).serialize()[:900], "not a program"),
    "of a newer JAX": (
        "own.jax",
        lambda: replace(program(toy_own, SEEN), calling_convention_version=99).serialize(),
        "of a newer JAX: update JAX",
    ),
    "of a newer StableHLO": (
        "own.jax",
        lambda: replace(program(toy_own, SEEN), mlir_module_serialized=b"ML\xefR\x0dStableHLO_v99.0.0\x00").serialize(),
        "not a program",
    ),
    "other images": (
        "shared.jax",
        lambda: program(toy_shared, ((-1, 8, 8, 3), np.uint8)).serialize(),
        "other shapes",
    ),
    "one size of batch": (
        "shared.jax",
        lambda: program(toy_shared, ((7, SIZE, SIZE, 3), np.uint8)).serialize(),
        "other shapes",
    ),
    "other variables": (
        "own.jax",
        lambda: program(lambda v, z: toy_own({"params/dense/bias": 0.0} | v, z)[:, :2], SEEN).serialize(),
        "other shapes",
    ),
    "other arguments": ("own.jax", lambda: program(lambda v, z, w: toy_own(v, z), SEEN, SEEN).serialize(), "other"),
    "out of itself": (
        "own.jax",
        lambda: program(
            calling_out, SEEN, disabled_checks=[export.DisabledSafetyCheck.custom_call("unheard_of")]
        ).serialize(),
        "calls unheard_of",
    ),
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_other_programs_are_refused(exported, case):
    name, made, words = PROGRAMS[case]
    forge(exported, name, bytes(made()))
    said = refused(exported)
    assert words in said and name in said


def test_programs_like_those_that_are_refused_are_not(exported, images):
    """Or the test above would show nothing."""
    before = smrjax.load_model(exported).predict(images)
    forge(exported, "own.jax", bytes(program(toy_own, SEEN).serialize()))
    forge(exported, "shared.jax", bytes(program(toy_shared, IMAGES).serialize()))
    np.testing.assert_array_equal(smrjax.load_model(exported).predict(images).probabilities, before.probabilities)


@pytest.mark.parametrize(
    "change",
    [
        {"taxonomy": {"name": "x"}},
        {"taxonomy": None},
        {"folds": []},
        {"folds": [0, 1]},
        {"folds": "ab"},
        {"images": {}},
        {"images": {"size": 8}},
        {"severity": [[0, 1], [1, 0]]},
        {"severity": "high"},
        {"stain": {"mean": [1, 2, 3]}},
        {"files": []},
    ],
    ids=repr,
)
def test_contradictions(exported, change):
    edit(exported, **change)
    refused(exported)


def test_arrays_that_do_not_fit(exported):
    for name, arrays in (
        ("training", {"embeddings": np.zeros((9, 2), np.float32), "limit": 1.0}),
        ("training", {"limit": 1.0}),
        ("tested", {"labels": np.zeros(2, int)}),
        ("variables", {"params/dense/kernel": np.zeros((3, 3), np.float32)}),
    ):
        path = exported / "fold_2" / f"{name}.npz"
        before, data = path.read_bytes(), io.BytesIO()
        np.savez(data, **arrays)
        forge(exported, f"fold_2/{name}.npz", data.getvalue())
        refused(exported)
        forge(exported, f"fold_2/{name}.npz", before)
    smrjax.load_model(exported)


def test_the_folders_of_whoever_exports_are_not_told(exported):
    """Programs note where their functions were written."""
    for name in ("shared.jax", "own.jax"):
        data = (exported / name).read_bytes()
        assert b"conftest.py" in data and os.getcwd().encode() not in data
