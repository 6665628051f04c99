"""A model answers for images as its networks and readers do one by one, and what was exported answers alike."""

import json
from dataclasses import replace

import numpy as np
import pytest

import smrjax
from smrjax.errors import InputError
from smrjax.predict import answer, exporting, read
from smrjax.predict.exporting import write_model
from tests.predict.conftest import SIZE, TAXONOMY, toy_variables


def by_hand(images, folds, reader, **how):
    """Embeddings in float64 without JAX."""
    colours = images.astype(np.float64).mean((1, 2)) / 255
    readings = []
    for fold in folds:
        variables = toy_variables(fold)
        z = colours @ variables["params/dense/kernel"].astype(np.float64) + variables["params/dense/bias"]
        readings.append(read(reader, z.astype(np.float32)))
    return answer(readings, TAXONOMY, **how)


def assert_same(found, expected):
    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-5, err_msg=name)


def test_answers_are_those_of_its_parts(toy, images, reader):
    """All folds and one; fewer images than a batch, more, and a number that no batch divides."""
    for batch in (128, 4, 1):
        assert_same(toy.predict(images, batch=batch), by_hand(images, (0, 2), reader))
    assert_same(toy.predict(images[:1], fold=2), by_hand(images[:1], (2,), reader))


def test_an_exported_model_answers_alike(toy, exported, images, reader):
    model = smrjax.load_model(exported)
    for fold, folds in ((None, (0, 2)), (2, (2,))):
        assert_same(model.predict(images, fold=fold, batch=4), by_hand(images, folds, reader))
    doubtful = model.predict(images, borderline=1.0)
    assert doubtful.borderline.tolist() == by_hand(images, (0, 2), reader, borderline=1.0).borderline.tolist()
    assert doubtful.borderline.any()
    assert (model.taxonomy, model.image_size, model.title, model.stain) == (TAXONOMY, SIZE, "a toy", toy.stain)
    for old, new in zip(toy.members, model.members, strict=True):
        assert old.fold == new.fold
        for name, value in vars(old.tested).items():
            np.testing.assert_array_equal(getattr(new.tested, name), value)


def test_severities_and_colours_that_are_not_there(toy, images, reader, tmp_path):
    severity = np.ones((4, 4)) - np.eye(4)
    severity[:, 3] = 0
    write_model(tmp_path / "model", replace(toy, severity=severity, stain=None), about={})
    model = smrjax.load_model(tmp_path / "model")
    assert_same(model.predict(images), by_hand(images, (0, 2), reader, severity=severity))
    assert set(model.predict(images).predicted) == {3} and model.stain is None


def test_no_images(toy, exported):
    for model in (toy, smrjax.load_model(exported)):
        found = model.predict(np.zeros((0, SIZE, SIZE, 3), np.uint8))
        assert found.predicted.shape == (0,) and found.probabilities.shape == (0, 4)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, SIZE, SIZE + 1, 3), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.uint8),
        np.zeros((2, SIZE, SIZE, 3), np.float32),
        np.zeros((2, SIZE, SIZE), np.uint8),
    ],
    ids=["another size", "one image", "floats", "grey"],
)
def test_other_images_are_refused(toy, images):
    with pytest.raises(InputError, match=rf"uint8\[n, {SIZE}, {SIZE}, 3\].*smrjax.data.decode.decode\(bytes, {SIZE}\)"):
        toy.predict(images)


def test_what_cannot_be_asked(toy, images):
    with pytest.raises(InputError, match="fold 1: .* has 0, 2"):
        toy.predict(images, fold=1)
    with pytest.raises(InputError, match="batch 0"):
        toy.predict(images, batch=0)


def test_model_json_is_enough_for_another_program(toy, exported):
    """What a program without this library reads: sizes, classes, limits, and every array by its name."""
    about = json.loads((exported / "model.json").read_text())
    assert about["images"]["shape"] == ["batch", SIZE, SIZE, 3] and "research use only" in about["warning"]
    assert about["taxonomy"]["classes"] == list("AXBC") and about["stain"]["mean"] == [60.0, 10.0, -8.0]
    expected = np.zeros((4, 4), int)
    np.add.at(expected, ([0, 1, 2, 0, 1, 2], [0, 1, 0, 0, 1, 2]), 1)
    assert about["confusion"] == expected.tolist()
    assert set(about["files"]) == {
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    } - {"model.json"}
    with np.load(exported / "fold_2" / "curves.npz") as curves:
        assert curves["targets_abc"].tolist() == [0, 0.5, 1] and curves["control_abc"].shape == (1, 2, 3)
        assert float(curves["limit_abc"]) == toy.members[0].reader.off_curve["abc"]
    with np.load(exported / "fold_2" / "variables.npz") as variables:
        assert list(variables) == ["params/dense/bias", "params/dense/kernel"]


def test_a_folder_that_is_there_is_left_alone(toy, exported):
    before = {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="choose another --out"):
        write_model(exported, toy, about={})
    assert {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()} == before


def test_nothing_half_written_is_left(toy, tmp_path, monkeypatch):
    def full(path, *rest):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_json", full)
        with pytest.raises(InputError, match="No space left"):
            write_model(tmp_path / "model", toy, about={})
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_model(tmp_path / "file" / "model", toy, about={})
