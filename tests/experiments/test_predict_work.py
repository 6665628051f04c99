"""A prediction that was stopped is gone on with by the same job alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.predict_work import Job, open_out
from smrjax.data.listing import Picture
from smrjax.data.stain import StainStatistics
from smrjax.errors import InputError
from smrjax.evaluate.svm_model import constant_model
from smrjax.predict import Model, Reader
from smrjax.predict.model import Judged, Member
from smrjax.taxonomy import Lineage, Ratio
from tests.predict.conftest import TAXONOMY

PICTURES = [Picture("a.png", "a.png", "S1"), Picture("b.png", "b.png", "S2", "A")]


def a_model() -> Model:
    curves = {"abc": np.zeros((1, 2, 3), np.float32)}
    z = np.zeros((2, 3), np.float32)
    reader = Reader(constant_model(0, 3), 4, curves, {}, z, 1.0, {"abc": 2.0})
    judged = Judged(np.zeros(1, int), np.zeros(1, int), np.eye(4)[:1])
    stain = StainStatistics((60.0, 10.0, -8.0), (12.0, 5.0, 6.0))
    member = Member(0, {"params/w": np.ones(2, np.float32)}, reader, judged)
    return Model(Path(), "toy", TAXONOMY, 4, 1 - np.eye(4), stain, (member,), lambda v, x: x, lambda v, x: x)


def changed_member(model: Model, **changes) -> Model:
    return replace(model, members=tuple(replace(member, **changes) for member in model.members))


def changed_reader(model: Model, **changes) -> Model:
    return changed_member(model, reader=replace(model.members[0].reader, **changes))


def with_taxonomy(model: Model, **changes) -> Model:
    return replace(model, taxonomy=replace(model.taxonomy, **changes))


MODELS = {
    "variables": lambda m: changed_member(m, variables={"params/w": np.zeros(2, np.float32)}),
    "another fold": lambda m: changed_member(m, fold=1),
    "a classifier": lambda m: changed_reader(m, svm=constant_model(1, 3)),
    "a limit": lambda m: changed_reader(m, unfamiliar=1.5),
    "a curve": lambda m: changed_reader(m, curves={"abc": np.ones((1, 2, 3), np.float32)}),
    "a reducer": lambda m: changed_reader(m, reducer={"layers": [np.ones(1)]}),
    "a severity": lambda m: replace(m, severity=2 * m.severity),
    "no severities": lambda m: replace(m, severity=None),
    "colours": lambda m: replace(m, stain=replace(m.stain, mean=(60.0, 10.0, -9.0))),
    "no colours": lambda m: replace(m, stain=None),
    "the order of a lineage": lambda m: with_taxonomy(m, lineages=(Lineage("abc", ("C", "B", "A")),)),
    "the name of a lineage": lambda m: with_taxonomy(m, lineages=(Lineage("cba", ("A", "B", "C")),)),
    "a title": lambda m: with_taxonomy(m, titles=("a cell", "X", "B", "C")),
    "artefacts": lambda m: with_taxonomy(m, artefacts=("X",)),
    "ratios": lambda m: with_taxonomy(m, ratios=(Ratio("a : b", ("A",), ("B",)),)),
    "pixels": lambda m: replace(m, image_size=8),
}
OPTIONS = {
    "images of a part": {"rows": 512},
    "a batch": {"batch": 32},
    "borderline": {"borderline": 0.3},
    "stain": {"stain": "reinhard"},
}
LISTS = {
    "fewer images": PICTURES[:1],
    "another order": PICTURES[::-1],
    "another slide": [replace(PICTURES[0], group="S3"), PICTURES[1]],
    "another label": [PICTURES[0], replace(PICTURES[1], true="B")],
}


def a_job(model: Model, pictures=PICTURES, **changes) -> Job:
    return Job.of(model, pictures, **{"rows": 1024, "batch": 128, "borderline": 0.2, "stain": "none"} | changes)


def refused(folder: Path, job: Job) -> None:
    with pytest.raises(InputError, match="choose another --out"):
        open_out(folder, Path("run"), "images", job)


@pytest.fixture
def begun(tmp_path):
    return open_out(tmp_path / "out", Path("run"), "images", a_job(a_model()))


def test_the_same_job_goes_on(begun):
    assert open_out(begun, Path("run"), "images", a_job(a_model(), list(PICTURES))) == begun
    (begun / "summary.json").write_text("{}")
    refused(begun, a_job(a_model()))


@pytest.mark.parametrize("case", MODELS)
def test_another_model_does_not(begun, case):
    refused(begun, a_job(MODELS[case](a_model())))


@pytest.mark.parametrize("case", OPTIONS)
def test_other_options_do_not(begun, case):
    refused(begun, a_job(a_model(), **OPTIONS[case]))


@pytest.mark.parametrize("case", LISTS)
def test_other_images_do_not(begun, case):
    refused(begun, a_job(a_model(), LISTS[case]))
