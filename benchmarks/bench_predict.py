"""Images a second from files to tables, end to end, and where the time goes; on real cells where they are.

Processor seconds stand beside the clock's: on a machine that others use, too, they say what it would take alone.
"""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import export, predict, smr
from smrjax.data.decode import decode
from smrjax.data.listing import list_pictures
from smrjax.data.reading import read_images
from smrjax.data.synthetic import render
from smrjax.predict import answer, read
from smrjax.predict.members import embedder, fetch, open_model
from smrjax.predict.stream import predict_files

REAL = Path(os.environ.get("SMRJAX_DATA", "../shared/data")) / "pbc"
ENCODER, SIZE, BATCH = "densenet_small", 64, 128


class Spent:
    """Seconds by the clock and of the processors, per image."""

    def __init__(self, images):
        self._images = images

    def __enter__(self):
        self._start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *rest):
        self.clock = time.perf_counter() - self._start[0]
        self.processor = time.process_time() - self._start[1]

    def __str__(self):
        rate = self._images / self.clock
        return f"{rate:.0f} images/s ({1e3 * self.processor / self._images:.2g} ms of a processor each)"


def called(module, *words):
    before, sys.argv = sys.argv, [module.__name__, *map(str, words)]
    try:
        module.main()
    finally:
        sys.argv = before


def images_of(folder):
    if REAL.is_dir():
        return REAL
    (folder / "drawn").mkdir()
    for i in range(1500):
        Image.fromarray(render(i, size=360, seed=0).image).save(folder / "drawn" / f"{i}.jpg", quality=90)
    return folder / "drawn"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Images, and the folder of a run of three folds on rendered cells, one epoch each."""
    folder = tmp_path_factory.mktemp("predict")
    quick = ["--no-pictures", "--epochs", "1", "--only-folds", "0", "1", "2", "--out", folder, "--name", "run"]
    called(smr, "--encoder", ENCODER, "--image-size", SIZE, *quick)
    return images_of(folder), folder / "smr" / "run"


def bench_parts_of_prediction(row, trained):
    source, folder = trained
    paths = [picture.path for picture in list_pictures([str(source)])]
    with Image.open(paths[0]) as first:
        cells = {"images": f"{len(paths)} of {source.name}, {first.height} px"}
    few = min(1024, len(paths))
    with Spent(few) as spent:
        for path in paths[:few]:
            decode(Path(path).read_bytes(), SIZE)
    cells["decoding, one thread"] = str(spent)
    with Spent(len(paths)) as spent:
        images = np.concatenate([batch for batch, _ in read_images(paths, size=SIZE, batch=BATCH)])[: len(paths)]
    cells["decoding, a thread a processor"] = str(spent)

    model = open_model(folder, 0)
    (member,) = model.members
    embed = embedder(model, jax.devices()[:1])
    fetch(embed(images[:BATCH]), BATCH)
    whole = len(images) // BATCH * BATCH
    with Spent(whole) as spent:
        z = np.concatenate([fetch(embed(images[i : i + BATCH]), BATCH)[0] for i in range(0, whole, BATCH)])
    cells["embedding"] = str(spent)
    read(member.reader, z[:BATCH])
    with Spent(len(z)) as spent:
        answer([read(member.reader, z)], model.taxonomy)
    cells["class, maturity, flags"] = str(spent)
    decide = partial(answer, taxonomy=model.taxonomy)
    with Spent(len(paths)) as spent:
        for _ in predict_files(paths, embed, [member.reader], decide, size=SIZE, batch=BATCH, portion=32):
            pass
    cells["files to answers, one fold"] = str(spent)
    row(f"Prediction at {SIZE} px, {ENCODER}: its parts, compiled", cells)


@pytest.mark.parametrize("folds", ["one", "three"])
def bench_prediction(row, trained, tmp_path, monkeypatch, folds):
    """The whole command but for the start of Python: listing, loading, compiling, predicting, tables, counts."""
    source, folder = trained
    # No program is to be found compiled.
    monkeypatch.setattr(predict, "prepare_jax", lambda *rest: None)
    count = len(list_pictures([str(source)]))
    words = ["--fold", "0"] if folds == "one" else []
    with Spent(count) as spent:
        called(predict, "--run", folder, "--images", source, "--out", tmp_path / "out", *words)
    cells = {"networks": folds, "images": str(count), "everything, compiling included": str(spent)}
    row(f"Prediction at {SIZE} px, {ENCODER}: the command", cells)


ALONE = """
import sys, time
import smrjax
model = smrjax.load_model(sys.argv[1])
loaded = time.perf_counter()
import numpy as np
images = np.zeros((128, model.image_size, model.image_size, 3), np.uint8)
seconds = []
for _ in range(2):
    start = time.perf_counter()
    model.predict(images)
    seconds.append(time.perf_counter() - start)
print(loaded - float(sys.argv[2]), *seconds)
"""


def bench_exported_model(row, trained, tmp_path):
    """A process of its own, from the start of Python, and what is compiled kept for a second one or not."""
    called(export, "--run", trained[1], "--out", tmp_path / "model")
    kept = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    cells = {}
    for words, more in (("", {}), (", keeping what is compiled", kept), (", compiled before", kept)):
        start = str(time.perf_counter())
        command = [sys.executable, "-c", ALONE, str(tmp_path / "model"), start]
        done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=True)
        loaded, first, second = map(float, done.stdout.split())
        cells |= {
            f"start and load_model{words}": f"{loaded:.2g} s",
            f"first 128 images{words}": f"{first:.2g} s",
            f"next{words}": f"{second:.2g} s",
        }
    row(f"Exported model of three folds at {SIZE} px, {ENCODER}", cells)
