import csv
import io
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smrjax.data.folder import read_bytes, read_folder
from smrjax.errors import InputError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def manifest(tmp_path, text, name="cells.csv"):
    touch(tmp_path, "a.png", "b.png", "c.png")
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_class_folders_in_order(tmp_path):
    touch(tmp_path, "B/2.png", "B/10.PNG", "A/x.jpeg", "A/deep/er/y.tif", "readme.txt", "A/notes.txt")
    records, classes = read_folder(tmp_path)
    assert classes == ("A", "B")
    assert [record.name for record in records] == ["A/deep/er/y.tif", "A/x.jpeg", "B/10.PNG", "B/2.png"]
    assert [record.label for record in records] == ["A", "A", "B", "B"]
    assert list(read_bytes(records))[1] == b"A/x.jpeg"


def test_hidden_things_are_passed_over(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png", "A/._1.png", "A/.thumbs/2.png", ".git/3.png", "__MACOSX/A/4.png")
    records, classes = read_folder(tmp_path)
    assert len(records) == 2 and classes == ("A", "B")


def test_odd_names(tmp_path):
    touch(tmp_path, "über cell/ä ö,\"'.png", "B\n2/日本.jpg", "B\n2/100%.jpg")
    records, classes = read_folder(tmp_path)
    assert classes == ("B\n2", "über cell")
    assert {record.name for record in records} == {"über cell/ä ö,\"'.png", "B\n2/日本.jpg", "B\n2/100%.jpg"}


def test_names_that_are_not_utf8_can_be_written_down(tmp_path):
    (tmp_path / "A").mkdir()
    try:
        with open(os.path.join(os.fsencode(tmp_path), b"A", b"\xff.png"), "wb") as file:
            file.write(b"1")
    except OSError:
        pytest.skip("the file system refuses such names")
    touch(tmp_path, "B/1.png")
    records, _ = read_folder(tmp_path)
    assert records[0].name == "A/\ufffd.png" and records[0].name.encode()
    assert next(read_bytes(records)) == b"1"


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "elsewhere/cells/1.png", "elsewhere/2.png", "data/B/3.png")
    (tmp_path / "data" / "A").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data" / "B" / "4.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    records, _ = read_folder(tmp_path / "data")
    assert [record.name for record in records] == ["A/2.png", "A/cells/1.png", "B/3.png", "B/4.png"]


def test_dangling_link_is_named(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png")
    (tmp_path / "B" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    records, _ = read_folder(tmp_path)
    with pytest.raises(InputError, match=r"B/gone.png cannot be read"):
        list(read_bytes(records))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x.txt"], "there are no images in it"),
        (["1.png", "2.png"], "lie in no class folder"),
        (["A/1.png", "A/2.png"], "all 2 images are of one class, A"),
        (["A/1.png", "B/1.gif"], r"B: has files, but no images"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message):
        read_folder(tmp_path)


def test_empty_class_folder_is_passed_over(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png")
    (tmp_path / "C").mkdir()
    with pytest.warns(UserWarning, match="C: a class without images; it is left out"):
        assert read_folder(tmp_path)[1] == ("A", "B")


def test_no_such_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "none")


def test_given_classes_order_labels_and_refuse_others(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png")
    assert read_folder(tmp_path, classes=["C", "B", "A"])[1] == ("C", "B", "A")
    with pytest.raises(InputError, match="label 'A' is unknown; there are B, C"):
        read_folder(tmp_path, classes=["B", "C"])


def test_manifest_keeps_its_order(tmp_path):
    path = manifest(tmp_path, "label,path,stain\nY,b.png,x\nX,a.png,\n")
    records, classes = read_folder(path)
    assert [(r.name, r.label, r.group, r.fold) for r in records] == [
        ("b.png", "Y", "", -1),
        ("a.png", "X", "", -1),
    ]
    assert classes == ("X", "Y") and list(read_bytes(records)) == [b"b.png", b"a.png"]


def test_manifest_with_slides_and_folds(tmp_path):
    path = manifest(tmp_path, "path,label,slide,fold\na.png,X,s1,0\nb.png,Y,s2,2\n")
    records, _ = read_folder(path)
    assert [(r.group, r.fold) for r in records] == [("s1", 0), ("s2", 2)]


def test_patient_wins_over_slide(tmp_path):
    path = manifest(tmp_path, "path,label,slide,patient\na.png,X,s1,p\nb.png,Y,s2,p\n")
    assert {record.group for record in read_folder(path)[0]} == {"p"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_of_spreadsheets_and_a_byte_order_mark(tmp_path, delimiter):
    text = "\ufeffPath,Label\r\na.png,X\r\nb.png,Y\r\n".replace(",", delimiter)
    assert len(read_folder(manifest(tmp_path, text))[0]) == 2


def test_empty_cells_beyond_the_header_are_those_of_a_spreadsheet(tmp_path):
    """And so are empty lines, and columns without a name."""
    path = manifest(tmp_path, 'path,label,,\na.png,X,,,, \n\nb.png,"Y, Z",,\n')
    assert [(record.name, record.label) for record in read_folder(path)[0]] == [("a.png", "X"), ("b.png", "Y, Z")]


def cannot_list(monkeypatch, folder, message="Permission denied"):
    """As for a user who may not, whom a superuser's tests cannot play."""
    real = os.scandir

    def refuse(path):
        if os.fspath(path) == str(folder):
            raise PermissionError(13, message, str(folder))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.parametrize("name", ["A", "A/deep", "A/deep/er"])
def test_folders_that_cannot_be_listed_are_refused(tmp_path, monkeypatch, name):
    """Also where others have images: their cells would be missing without a word."""
    touch(tmp_path, "A/1.png", "A/deep/2.png", "A/deep/er/3.png", "B/1.png")
    assert len(read_folder(tmp_path)[0]) == 4
    cannot_list(monkeypatch, tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: cannot be listed \(Permission denied\)"):
        read_folder(tmp_path)


def test_a_folder_that_vanishes_while_it_is_listed(tmp_path, monkeypatch):
    touch(tmp_path, "A/deep/1.png", "B/1.png")
    real = os.path.realpath

    def take_away(path):
        shutil.rmtree(tmp_path / "A" / "deep", ignore_errors=True)
        return real(path)

    monkeypatch.setattr(os.path, "realpath", take_away)
    with pytest.raises(InputError, match=r"A/deep: cannot be listed \(No such file"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("path,label\n", "has no rows"),
        ("file,label\na.png,X\n", "has no column path"),
        ("path,class\na.png,X\n", "has no column label"),
        ("path,label\na.png,X\nb.png,\n", "row 3: no label"),
        ("path,label\na.png,X\nb.png\n", "row 3: has 1 cells, and the header 2"),
        ("path,label\na.png,X\nb, c.png,Y\n", "row 3: has 3 cells, and the header 2; .* those with a ',' in them"),
        ("path;label;slide\na.png;X;1\nb.png;Y\n", "row 3: has 2 cells, and the header 3"),
        ("path\na.png,X\n", "row 2: has 2 cells, and the header 1"),
        ("path,label\n,X\n", "row 2: no path"),
        ("path,label,slide\na.png,X,1\nb.png,Y,\n", "row 3: no slide"),
        ("path,label\na.png,X\nz.png,Y\n", "row 3: there is no file .*z.png"),
        ("path,label\na.png,X\ncells.csv,Y\n", "row 3: cells.csv is not an image"),
        ("path,label\na.png,X\nb.png,Y\na.png,X\n", "a.png is listed 2 times"),
        ("path,label,fold\na.png,X,1\nb.png,Y,two\n", "row 3: fold 'two'"),
        ("path,label,fold\na.png,X,1\nb.png,Y,-1\n", "row 3: fold '-1'"),
        ("path,label\na.png,X\nb.png,X\n", "one class, X"),
    ],
)
def test_broken_manifests_name_the_row(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_folder(manifest(tmp_path, text))
    assert "cells.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_manifest_that_is_no_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"path,label\n\xff\xfe\x00,A")
    with pytest.raises(InputError, match="not UTF-8"):
        read_folder(tmp_path / "x.csv")


def test_some_other_file(tmp_path):
    touch(tmp_path, "x.txt")
    with pytest.raises(InputError, match="neither a folder nor a .csv"):
        read_folder(tmp_path / "x.txt")


# What a field can hold after a spreadsheet program has had it; surrounding spaces go, line breaks stay out.
FIELD = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), min_size=1, max_size=8
).filter(lambda text: text.strip() == text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FIELD, FIELD, st.integers(0, 99)), min_size=2, max_size=6), st.sampled_from(",;\t"))
def test_any_manifest_that_csv_writes_is_read_back(tmp_path, rows, delimiter):
    for i in range(len(rows)):
        touch(tmp_path, f"{i}.png")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["path", "label", "patient", "fold"])
    writer.writerows([f"{i}.png", *row] for i, row in enumerate(rows))
    path = tmp_path / "cells.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    labels = {row[0] for row in rows}
    if len(labels) == 1:
        with pytest.raises(InputError, match="one class"):
            read_folder(path)
        return
    records, classes = read_folder(path)
    assert [(r.label, r.group, r.fold) for r in records] == rows
    assert classes == tuple(sorted(labels))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='path,label;"\n\r\t a.png\x00é', max_size=60))
def test_no_text_makes_the_reader_crash(tmp_path, text):
    path = tmp_path / "cells.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(InputError):
        read_folder(path)
