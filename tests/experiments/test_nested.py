"""What a search may see: never the outer test part, and of the inner folds only its own."""

import json

import jax
import numpy as np
import pytest
from tqdm import tqdm

from experiments import nested, networks
from experiments.config import TrainOptions
from experiments.nested import seed_of
from experiments.outcome import Judged
from smrjax.data import CellSet
from smrjax.data.folds import nested_folds
from smrjax.errors import InputError
from smrjax.taxonomy import for_classes
from smrjax.train.loop import Diverged


@pytest.fixture
def judged() -> Judged:
    labels = np.arange(90, dtype=np.int32) % 3
    images = np.zeros((90, 4, 4, 3), np.uint8)
    cells = CellSet(images, labels, tuple(map(str, range(90))), ("A", "B", "C"), None, None, None, "digest", "few")
    folds = nested_folds(labels, inner_folds=3)
    return Judged(cells, for_classes(cells.classes), folds, None)


def bar():
    return tqdm(total=100, disable=True)


def never():
    return False


def search(folder, described, judged, *, sets=3):
    nested.search_fold(folder, "rbf", described, judged, 1, sets=sets, together=2, seed=0, bar=bar(), should_stop=never)
    return json.loads((folder / "search.json").read_text()), json.loads((folder / "result.json").read_text())


def test_the_outer_test_part_changes_no_search(judged, tmp_path):
    rng = np.random.default_rng(0)
    plain, copy = (rng.normal(size=(90, 5)) + np.eye(3, 5)[judged.cells.labels] for _ in range(2))
    test = judged.nested[1] < 0
    tried, result = search(tmp_path / "one", [plain, copy], judged)
    noise = [np.where(test[:, None], 1e3 * rng.normal(size=(90, 5)), values) for values in (plain, copy)]
    judged.cells.labels[test] = 0
    again, other = search(tmp_path / "two", noise, judged)
    strip = [[(one["params"], one["scores"]) for one in some] for some in (tried, again)]
    assert strip[0] == strip[1] and result["params"] == other["params"]
    assert result["scores"]["macro_f1"] > other["scores"]["macro_f1"] + 0.2


def test_a_search_goes_on_after_what_was_tried(judged, tmp_path):
    """Two of four sets first, then all four: the sets and scores of a search in one go."""
    plain = np.random.default_rng(0).normal(size=(90, 5)) + np.eye(3, 5)[judged.cells.labels]
    whole, _ = search(tmp_path / "whole", [plain], judged, sets=4)
    search(tmp_path / "parts", [plain], judged, sets=2)
    parts, _ = search(tmp_path / "parts", [plain], judged, sets=4)
    assert [(one["params"], one["scores"]) for one in parts] == [(one["params"], one["scores"]) for one in whole]


OPTIONS = TrainOptions(epochs=2)


class Trainings:
    """In place of trainings: notes what each was given, and names every cell A."""

    def __init__(self, diverging=()):
        self.splits, self.diverging = {}, diverging

    def __call__(self, learner, judged, options, target, batch, split, bar, should_stop):
        self.splits["/".join(target.parts[-2:])] = split
        if target.name in self.diverging or target.parent.name in self.diverging:
            raise Diverged("said")
        target.mkdir(parents=True, exist_ok=True)
        return np.zeros(len(split[2]), int), 1


def search_network(folder, judged, monkeypatch, trainings, sets=2):
    monkeypatch.setattr(networks, "_train_and_predict", trainings)
    learner = networks.learner_of(None, {}, 3, OPTIONS, jax.devices()[:1])
    how = {"sets": sets, "parts": 3, "bar": bar(), "should_stop": never}
    networks.search_fold(folder, learner, judged, 2, OPTIONS, **how)


def test_networks_train_stop_and_judge_on_their_own_folds(judged, monkeypatch, tmp_path):
    trainings = Trainings()
    search_network(tmp_path / "net", judged, monkeypatch, trainings)
    inner = judged.nested[2]
    assert len(trainings.splits) == 7
    for name, parts in trainings.splits.items():
        assert sorted(np.concatenate(parts)) == sorted(np.flatnonzero(inner >= (-1 if "best" in name else 0)))
        train, held, asked = (set(np.unique(inner[rows])) for rows in parts)
        if "best" in name:
            assert (train, held, asked) == ({1, 2}, {0}, {-1})
        else:
            part = int(name[-1])
            assert (held, asked) == ({(part + 1) % 3}, {part}) and train == {0, 1, 2} - held - asked


def test_a_best_set_that_diverges_gives_way_to_the_next(judged, monkeypatch, tmp_path):
    trainings = Trainings(diverging=["best_0"])
    search_network(tmp_path / "net", judged, monkeypatch, trainings)
    tried = json.loads((tmp_path / "net" / "search.json").read_text())
    assert json.loads((tmp_path / "net" / "result.json").read_text())["params"] == tried[1]["params"]
    assert {"net/best_0", "net/best_1"} <= set(trainings.splits)


def test_only_diverging_sets_are_said(judged, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="every set of hyper-parameters diverged"):
        search_network(tmp_path / "net", judged, monkeypatch, Trainings(diverging=["set_0", "best_0"]), sets=1)
    tried = json.loads((tmp_path / "net" / "search.json").read_text())
    assert tried[0]["score"] == pytest.approx(3 * np.log(0.01))


@pytest.mark.parametrize("seed", [0, 7, 20261122, 2**40])
def test_any_seed_gives_searches_of_their_own(seed):
    seeds = [seed_of(seed, fold) for fold in range(3)] + [seed_of(seed + 1, 0)]
    assert len(set(seeds)) == 4 and all(0 <= one < 2**32 for one in seeds)
