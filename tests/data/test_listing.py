import os
from pathlib import Path

import pytest

from smrjax.data.listing import list_pictures
from smrjax.errors import InputError
from tests.data.conftest import picture


@pytest.fixture
def here(tmp_path, monkeypatch):
    """slides/one/{a.png,b.JPG}, slides/two/c.tif, a hidden file and a text, seen from the folder around them."""
    for name in ("one/a.png", "one/b.JPG", "two/c.tif"):
        (tmp_path / "slides" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(1).save(tmp_path / "slides" / name)
    (tmp_path / "slides" / "notes.txt").write_text("none")
    (tmp_path / "slides" / ".hidden.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_with_the_folders_in_it(here):
    found = list_pictures(["slides"])
    assert [one.name for one in found] == ["slides/one/a.png", "slides/one/b.JPG", "slides/two/c.tif"]
    assert [one.group for one in found] == ["slides/one", "slides/one", "slides/two"]
    assert all(os.path.isfile(one.path) and one.true == "" for one in found)


def test_links_are_followed_and_lead_no_further(here):
    (here / "cells").mkdir()
    (here / "cells" / "linked").symlink_to(here / "slides" / "two")
    (here / "cells" / "linked_back").symlink_to(here / "cells")
    assert [one.name for one in list_pictures(["cells"])] == ["cells/linked/c.tif"]


def test_single_files_and_patterns(here):
    assert [one.name for one in list_pictures(["slides/two/c.tif", "slides/one/a.png"])] == [
        "slides/two/c.tif",
        "slides/one/a.png",
    ]
    assert [one.name for one in list_pictures(["slides/*/*.png"])] == ["slides/one/a.png"]
    assert [one.name for one in list_pictures(["slides/**"])] == [one.name for one in list_pictures(["slides"])]
    # A name with brackets is a name where there is such a file.
    picture(2).save(here / "d[1].png")
    assert [one.name for one in list_pictures(["d[1].png"])] == ["d[1].png"]


def test_what_is_named_twice_is_counted_once(here):
    assert len(list_pictures(["slides", "slides/one/a.png", "./slides/../slides/*/*", str(here / "slides")])) == 3


def test_a_manifest_keeps_its_order_and_what_it_says(here):
    text = "Path; Slide ;label\ntwo/c.tif;S2;B\none/a.png;S1;\nnowhere.png;S1;Z\n"
    (here / "slides" / "list.csv").write_text(text, encoding="utf-8-sig")
    found = list_pictures(["slides/list.csv"])
    assert [(one.name, one.group, one.true) for one in found] == [
        ("two/c.tif", "S2", "B"),
        ("one/a.png", "S1", ""),
        ("nowhere.png", "S1", "Z"),
    ]
    assert os.path.samefile(found[0].path, here / "slides" / "two" / "c.tif")


def test_slides_win_over_patients_and_folders_stand_in_for_both(here):
    (here / "slides" / "list.csv").write_text("path,patient,slide\none/a.png,P,S\n")
    assert list_pictures(["slides/list.csv"])[0].group == "S"
    (here / "slides" / "list.csv").write_text("path,patient\none/a.png,P\n")
    assert list_pictures(["slides/list.csv"])[0].group == "P"
    (here / "slides" / "list.csv").write_text("path\none/a.png\n")
    assert list_pictures(["slides/list.csv"])[0].group == "slides/one"


def test_folders_called_like_classes_tell_the_class(here):
    found = list_pictures(["slides"], classes=["one", "none"])
    assert [(one.true, one.group) for one in found] == [("one", "slides"), ("one", "slides"), ("", "slides/two")]
    # The innermost such folder.
    assert list_pictures(["slides/one"], classes=["slides", "one"])[0].true == "one"
    os.chdir(here / "slides")
    assert list_pictures(["one"], classes=["one"])[0].group == "."


BAD = {
    "not there": (["nowhere"], "nowhere: there is no such"),
    "no such pattern": (["slides/*.gif"], "nothing is called like that"),
    "a pattern of other files": (["slides/*.txt"], "no images"),
    "an empty folder": (["empty"], "empty: there are no images"),
    "one of several": (["slides", "empty"], "empty: there are no images"),
    "no column path": (["no_path.csv"], "no column path"),
    "no rows": (["no_rows.csv"], "no rows"),
    "no path in a row": (["hole.csv"], "hole.csv, row 3: no path"),
    "no slide in a row": (["slide.csv"], "slide.csv, row 2: no slide"),
    "twice": (["twice.csv"], "a.png is listed 2 times"),
    "a comma in a name": (["comma.csv"], "comma.csv, row 3: has 3 cells, and the header 2"),
    "a cell too few": (["few.csv"], "few.csv, row 2: has 2 cells, and the header 3"),
    "not text": (["latin.csv"], "UTF-8"),
    "no such manifest": (["none.csv"], "none.csv: cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_line(case, here):
    (here / "empty").mkdir()
    for name, text in (
        ("no_path.csv", "file\na.png\n"),
        ("no_rows.csv", "path,slide\n"),
        ("hole.csv", "path,slide\na.png,S\n,S\n"),
        ("slide.csv", "path,slide\na.png,\n"),
        ("twice.csv", "path\na.png\na.png\n"),
        ("comma.csv", "path,slide\na.png,S\nb,c.png,S\n"),
        ("few.csv", "path,slide,label\na.png,S\n"),
    ):
        (here / name).write_text(text)
    (here / "latin.csv").write_bytes("path\nä.png\n".encode("latin-1"))
    sources, expected = BAD[case]
    with pytest.raises(InputError, match=expected.replace("*", r"\*")) as error:
        list_pictures(sources)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ["slides", "slides/*"])
def test_folders_that_cannot_be_listed_are_refused(here, monkeypatch, source):
    """Counts would be short of their cells."""
    real = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("two"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"slides/two: cannot be listed \(Permission denied\); check"):
        list_pictures([source])


def test_labels_of_folders_leave_manifests_alone(tmp_path, monkeypatch):
    """Slides are what cells of a manifest are counted by, whatever folders they lie in."""
    monkeypatch.chdir(tmp_path)
    Path("cells.csv").write_text("path,slide\none/1.png,S1\none/2.png,S2\n")
    found = list_pictures(["cells.csv"], classes=["one"])
    assert [(picture.group, picture.true) for picture in found] == [("S1", ""), ("S2", "")]
