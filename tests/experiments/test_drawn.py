"""Reports of folders whose files were changed: drawn, or said in one line with the file, and never half a page."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from experiments import report
from smrjax.errors import InputError, one_line
from smrjax.report import figures
from tests.experiments import made_up_runs
from tests.experiments.made_up_runs import CLASSES
from tests.experiments.test_report_predictions import make_prediction
from tests.mutations import changed_arrays, changed_bytes, changed_json, changed_table

# Of what is drawn of odd numbers; whoever is to mend a file is told by the reader.
pytestmark = pytest.mark.filterwarnings("ignore")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63606060600000000500"
    "01a5f645400000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two runs, one of which predicted cells from elsewhere."""
    place = tmp_path_factory.mktemp("drawn")
    manifest = made_up_runs.write_cells(place / "cells")
    run = made_up_runs.make_able(made_up_runs.make_run(place / "run", manifest, title="SMR", seed=0))
    made_up_runs.make_run(place / "tml", manifest, title="TML", seed=1, method="tml")
    rows = [(["young", "a", "c", ""][k % 4], CLASSES[k % 4], k / 20, k % 3 == 0) for k in range(40)]
    make_prediction(place / "found", run, manifest, rows)
    return place


@pytest.fixture(scope="module", autouse=True)
def only_laid_out():
    """Figures are laid out as ever; painting them would take most of the time."""

    def lay_out(figure, path, **how):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            figure.draw_without_rendering()
            path.write_bytes(PIXEL)
        else:
            path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt"/>')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_save", lay_out)
        yield


#: What is changed -> how, and what is drawn of it.
FILES = {
    "run/fold_1/result.json": (changed_json, "both"),
    "run/fold_1/predictions.csv": (changed_table, "run"),
    "run/fold_1/embeddings.npz": (changed_arrays, "both"),
    "run/fold_0/embeddings.npz": (changed_arrays, "found"),
    "run/fold_1/curves.npz": (changed_arrays, "run"),
    "run/fold_0/curves.npz": (changed_arrays, "found"),
    "run/summary.json": (changed_json, "run"),
    "run/run.json": (changed_json, "found"),
    "run/config.json": (changed_json, "run"),
    "run/taxonomy.json": (changed_json, "run"),
    "found/summary.json": (changed_json, "found"),
    "found/predictions.csv": (changed_table, "found"),
}


def draw(place: Path, what: str) -> Path:
    runs = (place / "run", place / "tml") if what == "both" else (place / "run",)
    predictions = (place / "found",) if what == "found" else ()
    return report.report(report.Options(runs=runs, predictions=predictions, out=place / "page.html"))


@pytest.mark.parametrize("count", [2, pytest.param(1000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", FILES)
def test_any_file(place, name, count):
    how, what = FILES[name]
    path, page = place / name, place / "page.html"
    content = path.read_bytes()
    changes = how(json.loads(content) if how is changed_json else content)
    # That of the run is told by the prediction's network that reads it, too.
    others = (place / "run", place / "found", "--predictions")

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changes | changed_bytes(content) if count > 2 else changes)
    def check(changed):
        page.write_text("the page before")
        path.write_bytes(changed)
        try:
            draw(place, what)
            assert page.read_text(encoding="utf-8").endswith("</html>\n")
        except InputError as error:
            said = one_line(str(error))
            assert any(str(one) in said for one in (path, *others)), said
            assert page.read_text() == "the page before"
        finally:
            path.write_bytes(content)
        assert not list(place.glob(".*.part*"))

    check()
