"""The runs of SMR's rows: all are checked before one is made, and what they share is computed once."""

from dataclasses import replace

import pytest

from experiments import sweep_smr
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.smr import Config
from experiments.sweep_rows import SWEEPS
from smrjax.errors import InputError
from smrjax.files import read_json
from tests.experiments.test_strategies import cell_folder

# A few hundred cells leave the rarest class out of a fold.
pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

CONFIG = Config(
    data=DataOptions(count=360, folds=3, only_folds=(0,), image_size=16),
    encoder=EncoderOptions(encoder="densenet_tiny"),
    train=TrainOptions(epochs=1, per_class=1, devices=1),
    run=RunOptions(pictures=False, compile_cache=False),
)
ROWS = {name: SWEEPS["smr-figure3"].rows[name] for name in ("tml", "fixed-uniform-normal", "svd-frequency-reduced")}


def test_what_all_rows_share_is_hashed_once(tmp_path, monkeypatch):
    times = dict.fromkeys(("identity_of", "severity_of"), 0)

    def counted(name, function):
        def call(*given):
            times[name] += 1
            return function(*given)

        return call

    for name in times:
        monkeypatch.setattr(sweep_smr, name, counted(name, getattr(sweep_smr, name)))
    tasks = sweep_smr.begin(CONFIG, ROWS, tmp_path, "the command")
    assert times == {"identity_of": 1, "severity_of": 1}
    assert [one.name for one in tasks] == [f"{row}, {what}" for row in ROWS for what in ("fold 0", "summary")]
    runs = [read_json(tmp_path / "smr" / row / "run.json") for row in ROWS]
    assert runs[0]["weights"] == runs[2]["weights"] and len(runs[0]["weights"]) == 64


def test_a_row_that_does_not_fit_is_said_before_a_folder_is_made(tmp_path):
    cells = cell_folder(tmp_path / "cells", ("A", "B", "C"), 0)
    without_lineages = replace(CONFIG, data=replace(CONFIG.data, data=str(cells)))
    # The first row fits: triplets need no lineage.
    with pytest.raises(InputError, match="SMR needs a lineage of two or more classes"):
        sweep_smr.begin(without_lineages, ROWS, tmp_path / "out", "the command")
    assert not (tmp_path / "out").exists()
