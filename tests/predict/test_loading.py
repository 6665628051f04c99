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
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

import smrjax
from smrjax.errors import InputError
from smrjax.evaluate import load_estimator
from smrjax.losses.tsne import init_network
from smrjax.predict import answer, read
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
        {"folds": [0, 0, 2]},
        {"folds": [float("inf")]},
        {"folds": "ab"},
        {"images": {}},
        {"images": {"size": 8}},
        {"severity": [[0, 1], [1, 0]]},
        {"severity": "high"},
        {"severity": [[float("nan")] * 4] * 4},
        {"severity": [[10**400] * 4] * 4},
        {"stain": {"mean": [1, 2, 3]}},
        {"stain": {"mean": [1, 2, 3], "deviation": [1, 0, 1]}},
        {"stain": {"mean": [1, 2], "deviation": [1, 1]}},
        {"files": []},
    ],
    ids=repr,
)
def test_contradictions(exported, change):
    edit(exported, **change)
    refused(exported)


def with_nan(array):
    return np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array).astype(array.dtype)


#: What is done to the arrays of a file of one fold, and words of what is said of it.
MISFITS = {
    "embeddings of other dimensions": ("training", lambda a: {"embeddings": a["embeddings"][:, :2]}, "2 dimensions"),
    "no embeddings": ("training", lambda a: {"embeddings": a["embeddings"][:0]}, "no training embeddings"),
    "embeddings of one cell": ("training", lambda a: {"embeddings": a["embeddings"][0]}, "training embeddings are"),
    "words for embeddings": ("training", lambda a: {"embeddings": a["embeddings"].astype(str)}, "embeddings are"),
    "endless embeddings": ("training", lambda a: {"embeddings": a["embeddings"] + np.inf}, "not finite"),
    "no limit": ("training", lambda a: {"limit": None}, "limit"),
    "a limit that is no number": ("training", lambda a: {"limit": np.array(np.nan)}, "limit nan for unfamiliar"),
    "a limit below zero": ("training", lambda a: {"limit": np.array(-1.0)}, "limit -1.0"),
    "several limits": ("training", lambda a: {"limit": np.ones(2)}, "size"),
    "a word for a limit": ("training", lambda a: {"limit": np.array("far")}, "far"),
    "a class beyond": ("svm", lambda a: {"classes": a["classes"] + 1}, "classes of the SVM beyond the 4"),
    "a class below": ("svm", lambda a: {"classes": a["classes"] - 1}, "classes of the SVM beyond the 4"),
    "a class twice": ("svm", lambda a: {"classes": np.array([0, 1, 1, 3])}, "not ascending"),
    "halves of classes": ("svm", lambda a: {"classes": a["classes"] / 2}, "classes of the SVM are float64[4]"),
    "a number of vectors below zero": (
        "svm",
        lambda a: {"n_support": a["n_support"] + [-999, 999, 0, 0]},
        "numbers of",
    ),
    "halves of vectors": ("svm", lambda a: {"n_support": a["n_support"] * 1.0}, "numbers of support"),
    "gamma below zero": ("svm", lambda a: {"gamma": -a["gamma"]}, "gamma -0.5"),
    "vectors of other dimensions": (
        "svm",
        lambda a: {"support_vectors": a["support_vectors"][:, :2]},
        "SVM of support",
    ),
    "no vector is one": ("svm", lambda a: {"support_vectors": a["support_vectors"][..., None]}, "SVM of support"),
    "no control points": ("curves", lambda a: {"control_abc": a["control_abc"][:, :1]}, "1 pieces of 1 points"),
    "no pieces": ("curves", lambda a: {"control_abc": a["control_abc"][:0]}, "0 pieces"),
    "a curve of too high a degree": (
        "curves",
        lambda a: {"control_abc": np.zeros((1, 2000, 3), "f4")},
        "3 stages of abc",
    ),
    "a curve of other dimensions": ("curves", lambda a: {"control_abc": a["control_abc"][..., :2]}, "in 2 dimensions"),
    "a curve that is none": ("curves", lambda a: {"control_abc": a["control_abc"][0]}, "control points of abc are"),
    "an endless curve": ("curves", lambda a: {"control_abc": with_nan(a["control_abc"])}, "abc are not finite"),
    "no limit of a curve": ("curves", lambda a: {"limit_abc": None}, "limit_abc"),
    "a curve's limit that is no number": ("curves", lambda a: {"limit_abc": np.array(np.nan)}, "limit nan for abc"),
    "another fold has a curve": ("curves", lambda a: {"control_abc": None}, "curves of different lineages"),
    "other targets": ("curves", lambda a: {"targets_abc": np.zeros(2)}, "2 targets for the 3 stages"),
    "endless targets": ("curves", lambda a: {"targets_abc": np.array([0, np.inf, 1])}, "targets of abc are not finite"),
    "labels beyond": ("tested", lambda a: {"labels": a["labels"] + 4}, "labels of test cells beyond"),
    "predictions below": ("tested", lambda a: {"predicted": a["predicted"] - 1}, "predicted of test cells beyond"),
    "labels by name": ("tested", lambda a: {"labels": a["labels"].astype(str)}, "labels of test cells are"),
    "labels of fewer cells": ("tested", lambda a: {"labels": a["labels"][1:]}, "test cells of shapes (2,)"),
    "no test cells": ("tested", lambda a: {name: x[:0] for name, x in a.items()}, "test cells of shapes (0,)"),
    "probabilities of fewer classes": ("tested", lambda a: {"probabilities": a["probabilities"][:, 1:]}, "(3, 3)"),
    "chances beyond one": ("tested", lambda a: {"probabilities": a["probabilities"] * 2}, "beyond 0 and 1"),
    "no chances": ("tested", lambda a: {"probabilities": with_nan(a["probabilities"])}, "not finite"),
    "something else of test cells": ("tested", lambda a: {"more": np.ones(1)}, "more"),
    "other variables": ("variables", lambda a: {"params/dense/bias": None}, "other shapes"),
    "endless variables": ("variables", lambda a: {"params/dense/bias": a["params/dense/bias"] + np.nan}, "not finite"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_arrays_that_do_not_fit(exported, case):
    """They and their digests are changed alike."""
    name, change, words = MISFITS[case]
    with np.load(exported / "fold_2" / f"{name}.npz") as stored:
        arrays = dict(stored)
    data = io.BytesIO()
    np.savez(data, **{key: array for key, array in (arrays | change(arrays)).items() if array is not None})
    forge(exported, f"fold_2/{name}.npz", data.getvalue())
    said = refused(exported)
    assert words in said and ("do not fit together" in said or "other shapes than" in said)


@pytest.mark.parametrize("name", ["support_vectors", "dual_coef", "intercept", "slope", "offset"])
def test_machines_that_are_none(exported, name):
    with np.load(exported / "fold_0" / "svm.npz") as stored:
        arrays = dict(stored)
    for wrong in (with_nan(arrays[name]), np.zeros(0), arrays[name][..., None, None], arrays[name].astype(str)):
        data = io.BytesIO()
        np.savez(data, **arrays | {name: wrong})
        forge(exported, "fold_0/svm.npz", data.getvalue())
        assert "support vector machine" in (said := refused(exported)) or "do not fit together" in said


def test_limits_that_are_none(toy, images, tmp_path):
    """Where validation had no cells, and where all are alike: unusual, and no reason to refuse a model."""
    members = tuple(
        replace(m, reader=replace(m.reader, unfamiliar=np.inf, off_curve={"abc": 0.0})) for m in toy.members
    )
    write_model(tmp_path / "model", replace(toy, members=members), about={})
    found = smrjax.load_model(tmp_path / "model").predict(images)
    assert np.isnan(found.unfamiliar_ratio).all() and not found.unfamiliar.any() and found.off_curve.any()


def reduced(toy, **changes):
    """The toy with its curve in a plane."""
    reducer = jax.tree.map(np.asarray, init_network(jax.random.key(0), 3, widths=(4,))) | changes
    curves = {"abc": np.array([[[0, 0], [1, 0]]], np.float32)}
    members = (replace(m, reader=replace(m.reader, curves=curves, reducer=reducer)) for m in toy.members)
    return replace(toy, members=tuple(members))


REDUCERS = {
    "of other dimensions": {"input": {"shift": np.zeros(5, np.float32), "scale": np.float32(1)}},
    "of no layers": {"layers": []},
    "of a layer without bias": {"layers": [{"kernel": np.zeros((3, 2), np.float32)}]},
    "of layers that are none": {"layers": {"a": np.zeros(3, np.float32)}},
    "into three dimensions": {"layers": [{"kernel": np.eye(3, dtype=np.float32), "bias": np.zeros(3, np.float32)}]},
    "endless": {"output": {"shift": np.full(2, np.nan, np.float32), "scale": np.float32(1)}},
    "of words": {"output": {"shift": np.array(["a", "b"]), "scale": np.float32(1)}},
}


def test_a_reducer_that_fits(toy, images, tmp_path):
    """Or the next test would show nothing."""
    write_model(tmp_path / "model", reduced(toy), about={})
    found = smrjax.load_model(tmp_path / "model").predict(images)
    np.testing.assert_allclose(found.raw_t, reduced(toy).predict(images).raw_t, atol=1e-5)
    assert np.isfinite(found.raw_t).any()


@pytest.mark.parametrize("case", REDUCERS)
def test_reducers_that_do_not_fit(toy, tmp_path, case):
    write_model(tmp_path / "model", reduced(toy, **REDUCERS[case]), about={})
    assert "do not fit together" in refused(tmp_path / "model")


#: JSON as nobody would write it.
ODD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -(10**30), 2**63, 0, -1, 2]),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["A", "abc", "fold_0/svm.npz", "\ud800", "\x00", "x" * 5000]),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places_in(value, path=()):
    """Where something could be changed, in JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, one in inner for place in places_in(one, (*path, key))]


@pytest.fixture(scope="module")
def one_model(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    write_model(folder, replace(toy, severity=1.0 - np.eye(4)), about={})
    return folder, (folder / "model.json").read_text()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_other_model_json_is_refused_or_answers(one_model, data):
    """Types, numbers and words of all kinds, or nothing, in one place or two."""
    folder, text = one_model
    about = json.loads(text)
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(places_in(about)))
        inner = about
        for key in way:
            inner = inner[key]
        if data.draw(st.booleans()):
            inner[last] = data.draw(ODD)
        else:
            del inner[last]
        if not about:
            break
    (folder / "model.json").write_text(json.dumps(about))
    try:
        model = smrjax.load_model(folder)
    except InputError as error:
        assert "\n" not in str(error)
        return
    readings = [read(member.reader, member.reader.training[:3]) for member in model.members]
    assert len(answer(readings, model.taxonomy, severity=model.severity).predicted) == 3
    assert len(model.tested().labels) == 3 * len(model.members)


def test_the_folders_of_whoever_exports_are_not_told(exported):
    """Programs note where their functions were written."""
    for name in ("shared.jax", "own.jax"):
        data = (exported / name).read_bytes()
        assert b"conftest.py" in data and os.getcwd().encode() not in data
