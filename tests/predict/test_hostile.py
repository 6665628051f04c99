"""A prediction of images that somebody damaged: a row for each, and a reason where there is no answer."""

import sys

import pytest
from pyarrow import parquet

from experiments import predict
from experiments.runtime import leave
from tests.data import hostile


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.soak)])
def test_every_image_has_a_row(exported, tmp_path, capsys, count):
    folder = tmp_path / "images"
    names = hostile.write_names(folder / "names", hostile.whole()["rgb.png"])
    bad = {name: hopeless for name, _, hopeless in hostile.damaged(count)}
    for name, data, _ in hostile.damaged(count):
        (folder / name).write_bytes(data)
    bombs = hostile.bombs()
    for name, data in bombs.items():
        (folder / name).write_bytes(data)
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.MonkeyPatch.context() as patch:
        words = ["predict", "--run", str(exported), "--images", str(folder), "--out", str(tmp_path / "out")]
        patch.setattr(sys, "argv", words)
        leave(predict.main)
    rows = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert len(rows) == names + count + len(bombs) + 1
    print(f"{len(rows)} rows, {sum(row['unreadable'] for row in rows)} of them unreadable")
    for row in rows:
        assert row["unreadable"] == bool(row["reason"]) == (row["predicted"] is None)
        name = row["path"].rpartition("/")[2]
        assert row["unreadable"] or not bad.get(name, name in bombs)
        assert not row["unreadable"] or "/names/" not in row["path"]
    assert (tmp_path / "out" / "summary.json").exists() and not (tmp_path / "out" / "parts").exists()
    assert "Traceback" not in capsys.readouterr().err
