"""Pages of what an embedding looks at."""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import embedding_explain, smr
from experiments.explanation_pages import in_turn, right_and_wrong
from experiments.runtime import leave
from smrjax.train.step import unit

pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

FEW = ["--count", "360", "--image-size", "16", "--folds", "3", "--encoder", "densenet_tiny", "--only-folds", "1"]


def test_pages_show_the_network_that_was_trained(monkeypatch, tmp_path):
    """With a stage computed beforehand, which is no part of the training's state."""
    seen, trained = [], embedding_explain._trained

    def noted(blocks, prepared, *rest):
        seen.append((prepared, trained(blocks, prepared, *rest)))
        return seen[-1][1]

    monkeypatch.setattr(embedding_explain, "_trained", noted)
    words = ["--frozen-stages", "1", "--precompute"]
    run = ["--epochs", "1", "--per-class", "1", "--no-pictures", "--explain", "--explain-stage", "block1"]
    monkeypatch.setattr(sys, "argv", ["smr", *FEW, *run, *words, "--out", str(tmp_path), "--name", "r"])
    leave(smr.main)
    folder = tmp_path / "smr" / "r"

    prepared, (model, variables, _) = seen[0]
    raw, _ = model.clone(axis_name=None).apply(variables, jnp.asarray(prepared.cells.images, jnp.float32))
    stored = np.load(folder / "fold_1" / "embeddings.npz")
    # Features computed beforehand are kept in float16.
    np.testing.assert_allclose(unit(raw), stored["embeddings"], atol=5e-3)

    lineages = [line.name for line in prepared.taxonomy.lineages if len(line.classes) > 1]
    pages = ["explained", *(f"explained_{name}_{word}" for name in lineages for word in ("older", "younger"))]
    assert sorted(path.stem for path in (folder / "pictures").glob("*.png")) == sorted(pages)
    for name in pages:
        assert np.asarray(Image.open(folder / "pictures" / f"{name}.png")).std() > 5
        assert 2 <= len(list((folder / "pictures" / name).glob("*_overlay.png"))) <= 10


def test_cells_of_a_page_are_of_as_many_classes_as_there_are():
    labels = np.repeat(np.arange(6), [50, 20, 10, 3, 2, 1])
    predicted = np.where(np.arange(len(labels)) % 2, labels, (labels + 1) % 6)
    chosen = right_and_wrong(labels, predicted, seed=3)
    right = labels[chosen] == predicted[chosen]
    assert right.tolist() == [True] * 5 + [False] * 5
    assert len(set(labels[chosen[:5]])) == len(set(labels[chosen[5:]])) == 5
    assert len(set(chosen.tolist())) == 10
    np.testing.assert_array_equal(chosen, right_and_wrong(labels, predicted, seed=3))
    assert right_and_wrong(labels[:0], predicted[:0], seed=0).size == 0
    turns = labels[in_turn(labels, np.arange(len(labels)), 0)]
    assert sorted(turns[:6]) == list(range(6)) and sorted(turns[6:11]) == list(range(5))


BAD = {
    "no such stage": (["--explain", "--explain-stage", "block7"], "stem, block1, block2"),
    "no such class": (["--explain", "--explain-classes", "Z"], "--explain-classes Z"),
    "for nothing": (["--explain-stage", "stem"], "--explain-stage is for --explain"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_before_anything_is_trained(case, capsys, monkeypatch, tmp_path: Path):
    words, expected = BAD[case]
    monkeypatch.setattr(sys, "argv", ["smr", *FEW, *words, "--out", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as end:
        leave(smr.main)
    assert end.value.code == 2 and expected in capsys.readouterr().err and not (tmp_path / "runs").exists()
