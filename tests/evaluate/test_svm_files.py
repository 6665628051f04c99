"""What is saved is what was fitted, and a file from a stranger runs no code."""

import json
import zipfile

import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.evaluate import Grid, fit_svm, fit_svm_at, load_estimator, load_svm, save_svm
from smrjax.evaluate.svm_model import CHUNK, predict, probabilities, squared_distances


@pytest.fixture(params=[1, 2, 5], ids="{} classes".format)
def fitted(request):
    rng = np.random.default_rng(request.param)
    z = rng.normal(size=(60, 4)).astype(np.float32)
    result = fit_svm(z, np.arange(60) % request.param + 3, grid=Grid(C=(2.0,), gamma=(0.7,)))
    return result, rng.normal(size=(90, 4))


def test_both_files_give_the_same_predictions(fitted, tmp_path):
    result, new = fitted
    skops, plain = save_svm(tmp_path / "svm.best", result)
    assert (skops.name, plain.name) == ("svm.best.skops", "svm.best.npz")
    model, estimator = load_svm(tmp_path / "svm.best"), load_estimator(skops)
    np.testing.assert_array_equal(predict(model, new), result.estimator.predict(new))
    np.testing.assert_array_equal(estimator.predict(new), result.estimator.predict(new))
    np.testing.assert_array_equal(probabilities(model, new), result.probabilities(new))


def test_arrays_alone_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="fit_svm"):
        save_svm(tmp_path / "x", fit_svm_at(np.eye(2), np.array([0, 1]), C=1.0, gamma=1.0))


def test_foreign_types_are_refused(tmp_path):
    path = tmp_path / "x.skops"
    node = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "FunctionNode",
        "content": "os.system",
        "__id__": 1,
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(node | {"protocol": 2, "_skops_version": "0.13"}))
    with pytest.raises(InputError, match="not trusted"):
        load_estimator(path)


@pytest.mark.parametrize("content", [None, b"", b"not a zip"])
def test_broken_files_are_one_clear_line(content, tmp_path):
    for suffix, load in (
        (".npz", lambda: load_svm(tmp_path / "x")),
        (".skops", lambda: load_estimator(tmp_path / "x.skops")),
    ):
        if content is not None:
            (tmp_path / f"x{suffix}").write_bytes(content)
        with pytest.raises(InputError) as caught:
            load()
        assert "\n" not in str(caught.value)


def test_incomplete_arrays_are_refused(fitted, tmp_path):
    result, _ = fitted
    save_svm(tmp_path / "x", result)
    with np.load(tmp_path / "x.npz") as stored:
        arrays = dict(stored)
    pairs = len(arrays["slope"])
    changes = [{"offset": np.zeros(pairs + 1)}, {"intercept": np.zeros(99)}, {"gamma": np.array(np.nan)}]
    if pairs:
        changes.append({"slope": np.zeros(pairs)})
    for change in changes:
        np.savez(tmp_path / "x.npz", **arrays | change)
        with pytest.raises(InputError, match="whole"):
            load_svm(tmp_path / "x")
    np.savez(tmp_path / "x.npz", **{k: v for k, v in arrays.items() if k != "classes"})
    with pytest.raises(InputError, match="cannot read"):
        load_svm(tmp_path / "x")
    np.savez(tmp_path / "x.npz", **arrays | {"classes": np.array([print], dtype=object)})
    with pytest.raises(InputError, match="cannot read"):
        load_svm(tmp_path / "x")


def test_wrong_dimension_is_refused(fitted):
    with pytest.raises(ValueError, match="expected"):
        fitted[0].predict(np.zeros((2, 5)))


def test_more_cells_than_a_chunk():
    rng = np.random.default_rng(0)
    result = fit_svm(rng.normal(size=(30, 2)), np.arange(30) % 3, grid=Grid(C=(1.0,), gamma=(1.0,)))
    new = rng.normal(size=(CHUNK + 5, 2))
    np.testing.assert_array_equal(result.predict(new), result.estimator.predict(new))
    assert result.predict(np.zeros((0, 2))).shape == (0,)


def test_distances_hold_far_from_the_origin():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5)), rng.normal(size=(30, 5))
    direct = ((x[:, None] - y) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared_distances(x + 1e6, y + 1e6), direct, rtol=1e-8)
