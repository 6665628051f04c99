"""A run, exported, answers as experiments.predict does, in a process that knows nothing of training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import smrjax
from experiments import export, predict, smr
from experiments.runtime import leave
from smrjax.data import load
from smrjax.predict.members import load_member
from smrjax.predict.run import open_run
from tests.train.disks import enlarge, no_file_beyond, small_disk

pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

ROOT = Path(__file__).parents[2]
FEW = ["--count", "300", "--image-size", "16", "--folds", "3", "--only-folds", "0", "1", "--encoder", "densenet_tiny"]
#: Between them: an ensemble trained in a reduced space, views; stages computed beforehand, severities, free lengths.
RUNS = {
    "reduced": ["--epochs", "1", "--per-class", "1", "--loss", "reduced", "--tta"],
    "frozen": [
        *["--method", "tml", "--epochs", "0", "--frozen-stages", "1", "--precompute", "--no-normalize"],
        *["--decision", "severity"],
    ],
}
#: Packages and folders that train, or read what others wrote for training.
TRAINING = (
    "smrjax.train",
    "smrjax.encoders",
    "optax",
    "flax",
    "orbax",
    "chex",
    "tensorflow_datasets",
    "sklearn",
    "skops",
)


def call(module, *words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__name__, *words])
        leave(module.main)


def refused(capsys, module, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        call(module, *words)
    assert end.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Both, and what they are exported as, beside them."""
    out = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        call(smr, *FEW, *words, "--no-pictures", "--out", str(out), "--name", name)
        call(export, "--run", str(out / "smr" / name), "--out", str(out / "models" / name))
    return out


@pytest.fixture(scope="module")
def labelled():
    """Sixty cells in the order in which folders called like their classes are listed: images, and codes."""
    known = load("synthetic_marrow", size=16, count=300, progress=False)
    codes = np.array(known.classes)[known.labels[:60]]
    order = np.argsort(codes, kind="stable")
    return known.images[:60][order], codes[order]


@pytest.fixture(scope="module")
def cells(labelled):
    return labelled[0]


@pytest.fixture(scope="module")
def slides(labelled, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i, (image, code) in enumerate(zip(*labelled, strict=True)):
        (folder / code).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / code / f"{i:03}.png")
    return folder


def table(out: Path, *words: str) -> list[dict]:
    call(predict, *words, "--out", str(out))
    return parquet.read_table(out / "predictions.parquet").to_pylist()


ALONE = """
import sys
import numpy as np
import smrjax
assert not [name for name in sys.modules if name.startswith("smrjax.") or name == "jax"], "import smrjax is light"
model = smrjax.load_model(sys.argv[1])
images = np.load(sys.argv[2])
for fold in (None, 1):
    np.savez(sys.argv[3] + str(fold) + ".npz", **vars(model.predict(images, fold=fold, batch=32)))
print([name for name in sys.argv[4:] if name in sys.modules])
"""


@pytest.mark.parametrize("name", RUNS)
def test_answers_are_those_of_experiments_predict(name, runs, cells, slides, tmp_path):
    """To 1e-5, of all folds and of one, from a process of its own."""
    np.save(tmp_path / "images.npy", cells)
    words = [str(runs / "models" / name), str(tmp_path / "images.npy"), str(tmp_path) + "/", *TRAINING]
    compiled = os.environ | {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    done = subprocess.run([sys.executable, "-c", ALONE, *words], cwd=ROOT, capture_output=True, text=True, env=compiled)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    run = open_run(runs / "smr" / name)
    lineages = [line.name for line in run.taxonomy.lineages]
    for fold, more in ((None, []), (1, ["--fold", "1"])):
        expected = table(
            tmp_path / f"of {fold}", "--run", str(run.folder), "--images", str(slides), "--batch", "32", *more
        )
        found = np.load(tmp_path / f"{fold}.npz")
        assert len(expected) == len(found["predicted"]) == 60
        codes = np.array(run.taxonomy.classes)
        for column in ("predicted", "second"):
            assert codes[found[column]].tolist() == [row[column] for row in expected]
        assert [lineages[i] if i >= 0 else None for i in found["lineage"]] == [row["lineage"] for row in expected]
        for i, code in enumerate(codes):
            np.testing.assert_allclose(found["probabilities"][:, i], [row[f"p_{code}"] for row in expected], atol=1e-5)
        for column in ("t", "raw_t", "distance", "off_curve_ratio", "unfamiliar_ratio"):
            own = np.array([np.nan if row[column] is None else row[column] for row in expected])
            np.testing.assert_allclose(found[column], own, atol=1e-5, rtol=1e-5, err_msg=column)
        for column in ("borderline", "off_curve", "unfamiliar"):
            assert found[column].tolist() == [row[column] for row in expected]
        assert np.isfinite(found["t"]).any()


@pytest.mark.parametrize("name", RUNS)
def test_prediction_takes_a_model_for_a_run(name, runs, slides, labelled, tmp_path):
    """The same table on all devices there are, and the same of labels, the test cells and the run itself."""
    places = {"run": runs / "smr" / name, "model": runs / "models" / name}
    words = ["--images", str(slides), "--labels", "run", "--stain", "reinhard", "--fold", "0"]
    one, other = (table(tmp_path / key, "--run", str(place), *words) for key, place in places.items())
    assert one == other and [row["true"] for row in one] == labelled[1].tolist()
    of_run, of_model = (json.loads((tmp_path / key / "summary.json").read_text()) for key in places)
    for part in ("test_cells", "flags", "labelled"):
        assert of_run[part] == of_model[part]
    right = np.mean([row["true"] == row["predicted"] for row in one])
    assert of_model["labelled"]["cells"] == 60 and of_model["labelled"]["accuracy"] == pytest.approx(right)
    for part in ("title", "digest", "folds", "decision"):
        assert of_run["run"][part] == of_model["run"][part]
    assert (tmp_path / "run" / "counts.csv").read_text() == (tmp_path / "model" / "counts.csv").read_text()


def test_what_is_exported_is_said(runs):
    run = open_run(runs / "smr" / "frozen")
    about = json.loads((runs / "models" / "frozen" / "model.json").read_text())
    assert about["decision"] == "least expected severity" and np.shape(about["severity"]) == (15, 15)
    assert about["encoder"]["encoder"] == "densenet_tiny" and about["run"]["name"] == "frozen"
    assert about["images"]["size"] == 16 and about["folds"] == [0, 1] and "jax" in about["versions"]
    with np.load(runs / "models" / "frozen" / "fold_1" / "variables.npz") as stored:
        variables = load_member(run, 1).variables
        assert set(stored) == set(variables)
        for name, array in variables.items():
            np.testing.assert_array_equal(stored[name], array)


def test_one_fold(runs, tmp_path, capsys):
    call(export, "--run", str(runs / "smr" / "frozen"), "--out", str(tmp_path / "deep" / "model"), "--fold", "1")
    said = capsys.readouterr().out
    assert "fold 1," in said and "research use only" in said
    assert json.loads((tmp_path / "deep" / "model" / "model.json").read_text())["folds"] == [1]
    assert not (tmp_path / "deep" / "model" / "fold_0").exists()


def test_bad_input_is_said_in_one_line(runs, slides, tmp_path, capsys):
    run, model = str(runs / "smr" / "frozen"), str(runs / "models" / "frozen")
    out = str(tmp_path / "out")
    assert "there is no run" in refused(capsys, export, "--run", str(tmp_path), "--out", out)
    assert "which are 0, 1" in refused(capsys, export, "--run", run, "--out", out, "--fold", "2")
    assert "exported model already" in refused(capsys, export, "--run", model, "--out", out)
    assert "choose another --out" in refused(capsys, export, "--run", run, "--out", str(slides))
    assert not (tmp_path / "out").exists()
    said = refused(capsys, predict, "--run", model, "--images", str(slides), "--fold", "2", "--out", out)
    assert "fold 2" in said and "0, 1" in said


def test_onnx_is_the_network(runs, tmp_path):
    """By ONNX Runtime, for batches of any size."""
    pytest.importorskip("jax2onnx")
    runtime = pytest.importorskip("onnxruntime")
    for name in RUNS:
        out = tmp_path / name
        call(export, "--run", str(runs / "smr" / name), "--out", str(out), "--fold", "1", "--onnx")
        session = runtime.InferenceSession(out / "fold_1" / "encoder.onnx")
        stored = np.load(runs / "smr" / name / "fold_1" / "embeddings.npz")["embeddings"]
        cells = load("synthetic_marrow", size=16, count=300, progress=False).images
        for rows in (slice(0, 1), slice(7, 20)):
            (found,) = session.run(None, {"images": cells[rows]})
            np.testing.assert_allclose(found, stored[rows], atol=1e-5)


def test_onnx_that_is_not_installed(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    words = ["--run", str(runs / "smr" / "frozen"), "--out", str(tmp_path / "out"), "--onnx"]
    assert "pip install 'smrjax[onnx]'" in refused(capsys, export, *words)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_of_a_model(runs, tmp_path, capsys):
    """Programs, arrays, model.json: whichever does not fit; and then it is written after all."""
    out, run = tmp_path / "model", runs / "smr" / "reduced"
    whole = sorted(path.stat().st_size for path in (runs / "models" / "reduced").rglob("*") if path.is_file())
    for size in sorted({whole[0] - 1, whole[len(whole) // 2], whole[-1] - 1}):
        with no_file_beyond(size):
            said = refused(capsys, export, "--run", str(run), "--out", str(out))
        assert said.startswith(f"error: {out}") and "File too large" in said
        assert not list(tmp_path.iterdir())
    call(export, "--run", str(run), "--out", str(out))
    assert smrjax.load_model(out).image_size == 16


def test_a_disk_that_a_model_does_not_fit_onto(runs, tmp_path, capsys):
    run = runs / "smr" / "reduced"
    with small_disk(tmp_path / "disk", "64k") as disk:
        said = refused(capsys, export, "--run", str(run), "--out", str(disk / "model"))
        assert said.startswith(f"error: {disk / 'model'}") and "No space left" in said
        assert not list(disk.iterdir())
        enlarge(disk, "64m")
        call(export, "--run", str(run), "--out", str(disk / "model"))
        assert smrjax.load_model(disk / "model").image_size == 16
