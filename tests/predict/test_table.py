import csv

import numpy as np
import pytest
from hypothesis import given, settings
from pyarrow import parquet

from smrjax.data.listing import Picture
from smrjax.errors import InputError
from smrjax.predict import Readings, answer
from smrjax.predict.table import join_parts, read_columns, read_part, to_table, write_part
from tests.mutations import changed_bytes
from tests.predict.conftest import TAXONOMY


def a_table(start, reasons):
    pictures = [Picture(f"{start + i}, with a comma.png", "", "slide é", "A" * (i % 2)) for i in range(len(reasons))]
    n = sum(not reason for reason in reasons)
    p = np.random.default_rng(start).dirichlet(np.ones(4), n)
    one = Readings(p, {"abc": p[:, 0] - 0.3}, {"abc": p[:, 1]}, {"abc": 3 * p[:, 1]}, 2 * p[:, 2])
    answers = answer([one], TAXONOMY)
    return to_table(pictures, reasons, answers, TAXONOMY), answers


@pytest.fixture
def written(tmp_path):
    reasons = [["", "", "broken", ""], ["gone"], ["", 'no "image"', ""]]
    made = [a_table(10 * i, words) for i, words in enumerate(reasons)]
    paths = [tmp_path / f"{i}.parquet" for i in range(3)]
    for path, (table, _) in zip(paths, made, strict=True):
        write_part(path, table)
    join_parts(paths, tmp_path / "all", images=[4, 1, 3])
    return tmp_path / "all", [reason for words in reasons for reason in words], [answers for _, answers in made]


def test_csv_and_parquet_say_the_same(written):
    stem, _, _ = written
    table = parquet.read_table(stem.with_suffix(".parquet"))
    with open(stem.with_suffix(".csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == table.column_names and len(rows) == table.num_rows == 8
    for name in table.column_names:
        for row, value in zip(rows, table.column(name).to_pylist(), strict=True):
            if value is None:
                assert row[name] == ""
            elif isinstance(value, bool):
                assert row[name] == str(value).lower()
            elif isinstance(value, float):
                assert np.float32(row[name]) == np.float32(value)
            else:
                assert row[name] == value


def test_rows_are_those_of_the_answers(written):
    stem, reasons, answers = written
    rows = parquet.read_table(stem.with_suffix(".parquet")).to_pylist()
    good = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    assert [row["reason"] or "" for row in rows] == reasons
    assert [row["unreadable"] for row in rows] == [bool(reason) for reason in reasons]
    for name in ("predicted", "second"):
        labels = np.concatenate([getattr(one, name) for one in answers])
        assert [row[name] for row in good] == [TAXONOMY.classes[label] for label in labels]
    for i, code in enumerate(TAXONOMY.classes):
        expected = np.concatenate([one.probabilities[:, i] for one in answers])
        np.testing.assert_allclose([row[f"p_{code}"] for row in good], expected, rtol=1e-6)
    home = {"A": "abc", "B": "abc", "C": "abc", "X": "alone"}
    for row, t in zip(good, np.concatenate([one.t for one in answers]), strict=True):
        assert row["lineage"] == home[row["predicted"]]
        assert row["t"] == (None if np.isnan(t) else pytest.approx(t, abs=1e-6))
    bad = next(row for row, reason in zip(rows, reasons, strict=True) if reason)
    known = {"path", "group", "true", "unreadable", "reason"}
    assert all(value is None for name, value in bad.items() if name not in known)


def test_the_warning_is_part_of_the_file(written):
    metadata = parquet.read_schema(written[0].with_suffix(".parquet")).metadata
    assert b"research use only" in metadata[b"warning"]


def test_columns_are_typed(written):
    schema = parquet.read_schema(written[0].with_suffix(".parquet"))
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    assert kinds["path"] == kinds["predicted"] == "string" and kinds["p_A"] == kinds["t"] == "float"
    assert kinds["borderline"] == kinds["unreadable"] == "bool"
    found = read_columns(written[0].with_suffix(".parquet"), ["predicted", "unreadable"])
    assert found["predicted"][2] is None and found["unreadable"].sum() == 3


@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.soak)])
def test_damaged_parts_are_not_joined(tmp_path, count):
    """Of a stopped prediction: what the checksums do not cover is the form of the table, which its images tell."""
    path = tmp_path / "0.parquet"
    table, _ = a_table(0, ["", "", "broken", ""])
    write_part(path, table)
    content = path.read_bytes()
    assert read_part(path).equals(table)

    @settings(max_examples=count, deadline=None, database=None)
    @given(changed_bytes(content))
    def check(changed):
        path.write_bytes(changed)
        try:
            found = read_part(path)
        except InputError as error:
            assert str(path) in str(error) and "take it away" in str(error) and "\n" not in str(error)
        else:
            assert found.schema != table.schema or found.equals(table)

    check()


def test_parts_of_other_images_are_not_joined(tmp_path):
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for path in paths:
        write_part(path, a_table(0, ["", "", ""])[0])
    (tmp_path / "all.csv").write_text("before")
    with pytest.raises(InputError, match="1.parquet: is not of these images; take it away"):
        join_parts(paths, tmp_path / "all", images=[3, 2])
    write_part(paths[1], a_table(0, ["", "", ""])[0].drop_columns(["reason"]))
    with pytest.raises(InputError, match="1.parquet: is not of these images; take it away"):
        join_parts(paths, tmp_path / "all", images=[3, 3])
    assert {path.name for path in tmp_path.iterdir()} == {"0.parquet", "1.parquet", "all.csv"}
    assert (tmp_path / "all.csv").read_text() == "before"
