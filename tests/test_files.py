"""Tables and archives that this library writes and reads: words come back as they were, and bombs do not go off."""

import csv
import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smrjax.errors import InputError
from smrjax.files import (
    MAX_TEXT,
    atomic,
    beside,
    cell,
    read_arrays,
    read_flat,
    read_json,
    read_object,
    read_rows,
    take_away_parts,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("'=+-@\t\n a\",;é"), max_size=6), min_size=1, max_size=4))
def test_words_come_back_and_none_is_a_formula(tmp_path_factory, words):
    path = tmp_path_factory.getbasetemp() / "words.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"p_{i}" for i in range(len(words))] + ["last"])
        writer.writerow([*map(cell, words), "0"])
    # What a spreadsheet sees: the cell's first character decides.
    with open(path, newline="", encoding="utf-8") as file:
        (_, seen) = csv.reader(file)
    assert not any(word[:1] in ("=", "+", "-", "@", "\t", "\r") for word in seen if word)
    (row,) = read_rows(path)
    assert list(row.values())[:-1] == words


@pytest.mark.parametrize("text", ["a,b\n1\n", "a,b\n1,2,3\n", 'a,b\n1,"2\n', "a\n" + "x" * 200_000 + "\n", "a\n\xff\n"])
def test_damaged_tables(tmp_path, text):
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="t.csv: is damaged"):
        read_rows(tmp_path / "t.csv")


def test_processes_of_several_hosts_do_not_share_a_temporary_name(tmp_path, monkeypatch):
    """Whatever their numbers are; and what a killed one left is found."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "fold_0" / "result.v1.json"
    path.parent.mkdir()
    with atomic(path) as one, atomic(path) as other:
        assert one != other and {one.suffix, other.suffix} == {".json"}
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]
    for name in ("a.json", "b.npz", "no suffix", ".hidden"):
        beside(path.with_name(name)).write_text("half")
    take_away_parts(path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_text_without_end_is_not_read(tmp_path):
    with open(tmp_path / "long.json", "wb") as file:
        file.truncate(MAX_TEXT + 1)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    for name in ("long.json", "pipe.json", "device.json", "gone.json"):
        with pytest.raises(InputError, match=f"{name}: cannot be read"):
            read_json(tmp_path / name)


def test_objects_have_what_is_asked_for(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert read_object(path, "a") == {"a": 1}
    with pytest.raises(InputError, match="a.json: has no 'b'"):
        read_object(path, "a", "b")
    path.write_text("[]")
    with pytest.raises(InputError, match="a.json: holds no JSON object"):
        read_object(path)


def test_archives_that_would_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(2**24))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", zeros.getvalue())
    assert path.stat().st_size < 2**18
    with pytest.raises(InputError, match="bomb.npz: is damaged .* would become 128 MB"):
        read_flat(path)
    # What a training packs is read: labels that are all alike, and numbers that are not.
    np.savez_compressed(path, labels=np.zeros(10_000, int), z=np.random.default_rng(0).normal(size=(1000, 9)))
    assert read_flat(path)["z"].shape == (1000, 9)


def test_an_array_within_an_array(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a": np.zeros(2), "a/b": np.zeros(2)})
    with pytest.raises(InputError, match="a.npz: is damaged"):
        read_arrays(tmp_path / "a.npz")
