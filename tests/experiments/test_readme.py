"""The README's three commands, word for word, from a folder of images to a report."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.runtime import leave
from smrjax.data import load

pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

README = Path(__file__).parents[2] / "README.md"


def commands(heading: str) -> list[list[str]]:
    """The lines of the first block below a heading that call a module of experiments."""
    block = re.search(rf"^## {heading}\n.*?^```\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if " -m experiments." in line]


def test_three_commands_lead_from_images_to_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = load("synthetic_marrow", size=64, count=700, progress=False)
    # As many of each class as six folds need, and two more.
    kept = np.concatenate([np.flatnonzero(cells.labels == label)[:8] for label in range(len(cells.classes))])
    for k, row in enumerate(kept):
        for folder in (Path("cells") / cells.classes[cells.labels[row]], Path("slides") / f"slide {k % 2}"):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(cells.images[row]).save(folder / f"{cells.names[row]}.png")
    asked = commands("From a folder of images to a report")
    assert [words[2] for words in asked] == ["experiments.smr", "experiments.predict", "experiments.report"]
    for python, flag, module, *words in asked:
        assert (python, flag) == (".venv/bin/python", "-m")
        monkeypatch.setattr(sys, "argv", [module, *words])
        leave(import_module(module).main)
    page = Path("report.html").read_text(encoding="utf-8")
    for section in ("Scores", "Cells in order of maturity", "Cells from elsewhere", "Explorer"):
        assert f"<h2>{section}</h2>" in page
    assert len(Path("found/predictions.csv").read_text().splitlines()) == 1 + len(kept)
