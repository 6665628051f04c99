"""Searches on a Dask cluster find what they find here; a cluster that is not there is said at once."""

import json
import sys

import pytest
from sklearn.datasets import make_classification

from experiments import baselines, cluster
from experiments.cluster import workers
from experiments.runtime import leave
from smrjax.classical.search import draw, try_sets
from smrjax.errors import InputError
from smrjax.evaluate import m_score


@pytest.fixture
def scheduler():
    """The address of a scheduler in this process with two workers."""
    distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")
    quiet = {"dashboard_address": None, "worker_dashboard_address": None}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", **quiet) as here:
        yield here.scheduler_address


@pytest.mark.filterwarnings("default")
def test_a_cluster_finds_what_one_process_finds(scheduler):
    from distributed import get_worker

    x, y = make_classification(120, 8, n_informative=5, n_classes=3, random_state=0)
    parts = [(list(range(40, 120)), list(range(40))), (list(range(80)), list(range(80, 120)))]
    found = {}

    def score_there(true, predicted):
        get_worker()  # an error anywhere else
        return m_score(true, predicted)

    for address, score in (("", m_score), (scheduler, score_there)):
        with workers(address, 1) as at_once:
            assert at_once == (2 if address else 1)
            found[address] = try_sets(x, y, parts, "rbf", draw("rbf", 3, seed=0), score=score, seed=0)
    strip = [[one["params"], one["scores"]] for one in found[""]]
    assert [[one["params"], one["scores"]] for one in found[scheduler]] == strip
    assert json.loads(json.dumps(strip)) == strip


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_is_not_there(capsys, monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra [dask]")
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    monkeypatch.setattr(sys, "argv", ["baselines", "--scheduler", "127.0.0.1:1", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        leave(baselines.main)
    assert end.value.code == 2 and not list(tmp_path.iterdir())
    assert "--scheduler 127.0.0.1:1: cannot be reached" in capsys.readouterr().err


def test_dask_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'smrjax\[dask\]'"), workers("127.0.0.1:1", 1):
        pass
