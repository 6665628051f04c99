"""The report's explorer of a run with several folds: each by itself, all turned alike."""

import json
import re

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from experiments.report_cells import Images, read_images
from experiments.report_explorer import explore
from experiments.report_runs import read_runs
from tests.experiments.made_up_runs import CLASSES, LINEAGE, PER_CLASS, make_run, write_cells


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("data") / "cells")


@pytest.fixture(scope="module")
def run(tmp_path_factory, manifest):
    return read_runs([make_run(tmp_path_factory.mktemp("runs") / "smr", manifest, title="SMR", seed=1)])[0]


def embedded(section):
    text = "".join(section.parts)
    return text, json.loads(re.search(r'class="data">(.*?)</script>', text, re.S)[1])


def test_every_fold_is_a_scene_of_its_own_test_cells(run):
    text, data = embedded(explore(run, read_images([run])["SMR"], "pca"))
    assert "36 test cells of 3 folds" in text and text.count('<template class="sheet">') == 3
    assert [scene["fold"] for scene in data["scenes"]] == [0, 1, 2]
    places = []
    for fold, scene in zip(run.folds, data["scenes"], strict=True):
        own = slice(scene["first"], scene["first"] + scene["count"])
        names = data["names"][own]
        assert sorted(names) == sorted(fold.names) and scene["count"] == len(CLASSES) * PER_CLASS // 3
        order = [fold.names.index(name) for name in names]
        np.testing.assert_array_equal(data["predicted"][own], fold.embeddings["predicted"][_test(fold)][order])
        points = np.stack([data["x"][own], data["y"][own]], 1)
        # As scikit-learn projects this fold alone, turned or mirrored.
        flat = PCA(2, svd_solver="full").fit(fold.embeddings["embeddings"][_test(fold)])
        np.testing.assert_allclose(pdist(points), pdist(flat.transform(_embeddings(fold)[order])), atol=2e-3)
        # The curve is turned with its cells: its ends are as far from them as in the plane of scikit-learn.
        ends = fold.curves[f"control_{LINEAGE}"][0, [0, -1]]
        curve = np.stack([scene["curves"][0]["x"], scene["curves"][0]["y"]], 1)[[0, -1]]
        found = np.linalg.norm(points[:, None] - curve, axis=-1)
        expected = np.linalg.norm(flat.transform(_embeddings(fold)[order])[:, None] - flat.transform(ends), axis=-1)
        np.testing.assert_allclose(found, expected, atol=2e-3)
        labels = np.array(data["labels"][own])
        means = np.stack([points[labels == c].mean(axis=0) for c in range(len(CLASSES))])
        places.append(means - means.mean(axis=0))
    for means in places[1:]:
        # No turn by a degree, and no reflection, brings the classes nearer to those of the first fold.
        apart = ((means - places[0]) ** 2).sum()
        for angle in np.radians(np.arange(360)):
            c, s = np.cos(angle), np.sin(angle)
            for turn in ([[c, s], [-s, c]], [[c, s], [s, -c]]):
                assert ((means @ turn - places[0]) ** 2).sum() > apart - 1e-3


def _test(fold):
    return fold.embeddings["part"] == 2


def _embeddings(fold):
    return fold.embeddings["embeddings"][_test(fold)]


def test_one_fold_is_no_choice(tmp_path, manifest):
    (alone,) = read_runs([make_run(tmp_path / "one", manifest, title="One", seed=2, folds=(1,))])
    text, data = embedded(explore(alone, Images(None, "they are gone."), "pca"))
    assert "12 test cells of fold 1" in text and '<select name="fold">' not in text and "mirrored" not in text
    assert "they are gone" in text and [scene["fold"] for scene in data["scenes"]] == [1]


def test_folds_without_embeddings_are_left_out(tmp_path, manifest):
    folder = make_run(tmp_path / "part", manifest, title="Part", seed=3)
    (folder / "fold_0" / "embeddings.npz").unlink()
    (part,) = read_runs([folder])
    _, data = embedded(explore(part, Images(None, "no"), "pca"))
    assert [scene["fold"] for scene in data["scenes"]] == [1, 2]
    for fold in (1, 2):
        (folder / f"fold_{fold}" / "embeddings.npz").unlink()
    (none,) = read_runs([folder])
    assert explore(none, Images(None, "no"), "pca").parts == []


def test_of_a_large_fold_a_sample_is_shown_and_said(run, monkeypatch):
    monkeypatch.setattr("experiments.report_explorer.MOST", 10)
    text, data = embedded(explore(run, read_images([run])["SMR"], "pca"))
    assert [scene["count"] for scene in data["scenes"]] == [10, 10, 10]
    assert "Of more than 10 test cells of a fold, a sample is shown" in text and "36 test cells" in text
