import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smrjax.data import load, load_marrow21
from smrjax.data.marrow21 import CLASSES, COUNTS, find_marrow21, is_marrow21
from smrjax.errors import InputError
from smrjax.taxonomy import load_taxonomy
from tests.data.conftest import picture

# BM, table 5, row by row; the number of monocytes is not printed there.
TABLE_5 = """
NGB 9,968 NGS 29,424 LYT 26,242 EOS 5,883 BAS 441 MMZ 3,055 MYB 6557 PMO 11,994 BLA 11,973 PLM 7,629
KSC 42 OTH 294 ART 19,630 NIF 3,538 PEB 2,740 EBO 27,395 HAC 409 ABE 8 LYI 65 FGC 47
"""

pytestmark = pytest.mark.filterwarnings("ignore:marrow21. other numbers of images than published")


@pytest.fixture
def options(tmp_path):
    return {"size": 16, "cache_dir": tmp_path / "cache", "progress": False}


@pytest.fixture
def published(tmp_path):
    """Two cells of each class, of large classes in two folders of a thousand, as they are published."""
    top = tmp_path / "unpacked" / "BM_cytomorphology_data"
    for k, (code, count) in enumerate(COUNTS.items()):
        for number in (1, 1001):
            folder = top / code / (f"{number:04d}-{number + 999}" if count > 1000 else "")
            folder.mkdir(parents=True, exist_ok=True)
            picture(2 * k + number, (25, 25)).save(folder / f"{code}_{number:05d}.jpg")
    (top / "abbreviations.csv").write_text("ABE;Abnormal eosinophil")
    return top.parent


@pytest.fixture
def archive(published, tmp_path):
    path = tmp_path / "archive" / "marrow.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        for image in sorted(published.rglob("*.*")):
            file.write(image, image.relative_to(published).as_posix())
    return path


def test_numbers_are_the_papers():
    words = TABLE_5.split()
    printed = {code: int(n.replace(",", "")) for code, n in zip(words[::2], words[1::2], strict=True)}
    assert {code: n for code, n in COUNTS.items() if code != "MON"} == printed
    assert COUNTS["MON"] == 4040 and sum(COUNTS.values()) == 171_374 and len(COUNTS) == 21


def test_classes_are_those_of_the_taxonomy_in_the_order_of_the_lineages():
    taxonomy = load_taxonomy("marrow21")
    assert taxonomy.classes == CLASSES and taxonomy.stage()[:8].tolist() == [0, 1, 2, 3, 4, 5, 0, 1]


def test_records_are_sorted_by_class(published):
    records = find_marrow21(published)
    assert [record.label for record in records] == [code for code in CLASSES for _ in range(2)]
    names = [record.name for record in records if record.label in ("ABE", "LYT")]
    assert names == [
        "BM_cytomorphology_data/LYT/0001-1000/LYT_00001.jpg",
        "BM_cytomorphology_data/LYT/1001-2000/LYT_01001.jpg",
        "BM_cytomorphology_data/ABE/ABE_00001.jpg",
        "BM_cytomorphology_data/ABE/ABE_01001.jpg",
    ]


def test_folder_archive_and_name_give_the_same_cells(published, archive, options, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "marrow21").symlink_to(published)
    monkeypatch.setenv("SMRJAX_DATA", str(tmp_path / "data"))
    cells = [load(spec, **options) for spec in ("marrow21", published, archive)]
    cells += [load_marrow21(path, **options) for path in (None, archive.parent)]
    assert cells[0].classes == CLASSES and cells[0].labels.tolist() == [c for c in range(21) for _ in range(2)]
    assert {found.digest for found in cells} == {cells[0].digest} and cells[1].name == "marrow21"
    for name, image in zip(cells[0].names, cells[0].images, strict=True):
        with Image.open(published / name) as photograph:
            expected = np.asarray(photograph.resize((16, 16), Image.Resampling.LANCZOS, reducing_gap=3.0))
        np.testing.assert_array_equal(image, expected)


def test_the_published_folder_itself(published, options):
    assert load(published / "BM_cytomorphology_data", **options).classes == CLASSES


def test_records_keep_the_bytes_and_are_read_without_this_library(published, options, tmp_path):
    import tensorflow_datasets as tfds

    names = load_marrow21(published, **options).names
    (where,) = (tmp_path / "cache" / "records").glob("*/marrow21/1.0.0")
    builder = tfds.builder_from_directory(where)
    assert "Matek" in builder.info.citation and tuple(builder.info.features["label"].names) == CLASSES
    source = builder.as_data_source("train")
    assert [example["image"] for example in source] == [(published / name).read_bytes() for name in names]


@pytest.mark.filterwarnings("ignore")  # of what TFDS imports
def test_the_builder_takes_the_manual_dir_of_tfds(published, tmp_path):
    import tensorflow_datasets as tfds

    from smrjax.data.cells import Marrow21

    builder = Marrow21(data_dir=tmp_path / "tfds")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=published))
    assert [example["label"] for example in builder.as_data_source("train")] == [c for c in range(21) for _ in range(2)]
    with pytest.raises(AssertionError, match="BM_cytomorphology_data"):
        Marrow21(data_dir=tmp_path / "other").download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / "nowhere")
        )


@pytest.mark.filterwarnings("default:marrow21. other numbers of images than published")
def test_an_incomplete_download_is_told_in_one_line(published, options):
    with pytest.warns(UserWarning, match="other numbers") as caught:
        load_marrow21(published, **options)
    (message,) = [str(warning.message) for warning in caught]
    assert "BLA (2 of 11,973), PMO (2 of 11,994)" in message and "and 17 more" in message and "\n" not in message


def test_a_whole_class_is_not_told(published, options):
    for number in range(2, 8):
        picture(900 + number, (25, 25)).save(published / "BM_cytomorphology_data" / "ABE" / f"ABE_{number:05d}.jpg")
    with pytest.warns(UserWarning, match="and 16 more"):
        load_marrow21(published, **options)


def test_the_whole_set_is_taken_without_a_word(monkeypatch, published, options):
    monkeypatch.setattr("smrjax.data.marrow21.COUNTS", dict.fromkeys(CLASSES, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_marrow21(published, **options)) == 42


def test_copies_are_told_and_kept(published, options):
    top = published / "BM_cytomorphology_data"
    (top / "KSC" / "KSC_00009.jpg").write_bytes((top / "ABE" / "ABE_00001.jpg").read_bytes())
    with pytest.warns(UserWarning, match="1 images are exact copies of others"):
        assert len(load_marrow21(published, **options)) == 43


def test_grey_images_are_repeated_in_three_channels(published, options):
    top = published / "BM_cytomorphology_data" / "ABE"
    with Image.open(top / "ABE_00001.jpg") as image:
        image.convert("L").save(top / "ABE_00001.jpg")
    cells = load_marrow21(published, **options)
    image = cells.images[CLASSES.index("ABE") * 2]
    assert (image == image[..., :1]).all() and not (cells.images[0] == cells.images[0][..., :1]).all()


def test_damaged_image_is_named(published, options):
    image = published / "BM_cytomorphology_data" / "ABE" / "ABE_00001.jpg"
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(InputError, match=r"ABE/ABE_00001.jpg: cannot be read as an image"):
        load_marrow21(published, **options)


def test_damaged_archive(archive, options):
    data = bytearray(archive.read_bytes())
    data[200:500] = bytes(300)  # within the first image
    archive.write_bytes(data)
    with pytest.raises(InputError, match=r"ABE/ABE_00001.jpg cannot be read") as caught:
        load_marrow21(archive, **options)
    assert "\n" not in str(caught.value)
    archive.write_bytes(data[:3000])
    with pytest.raises(InputError, match="not a whole zip archive"):
        load_marrow21(archive, **options)
    assert not is_marrow21(archive)


def test_nothing_there(tmp_path, options, monkeypatch):
    monkeypatch.delenv("SMRJAX_DATA", raising=False)
    (tmp_path / "cats").mkdir()
    for path, message in ((None, "set SMRJAX_DATA"), (tmp_path / "x", "no such folder"), (tmp_path / "cats", "BLA_")):
        with pytest.raises(InputError, match=message) as caught:
            load_marrow21(path, **options)
        assert re.search("TCIA.AXH3-T579.*BM_cytomorphology_data", str(caught.value)) and "\n" not in str(caught.value)


def test_six_kinds_of_real_cells_by_both_ways(real_data, options, tmp_path):
    from smrjax.taxonomy import for_classes

    small = tmp_path / "few"
    for source in sorted(Path(real_data / "marrow").iterdir()):
        (small / source.name).mkdir(parents=True)
        for image in sorted(source.iterdir())[:2]:
            (small / source.name / image.name).symlink_to(image)
    whole, plain = load_marrow21(small, **options), load(small, **options)
    assert [whole.classes[c] for c in whole.labels] == [
        code for code in ("BLA", "PMO", "NGS", "EOS", "MON", "LYT") for _ in range(2)
    ]
    taxonomy = for_classes(plain.classes, name=plain.name)
    assert plain.classes == ("BLA", "EOS", "LYT", "MON", "NGS", "PMO") and taxonomy.name == "marrow21"
    assert taxonomy.stage().tolist() == [0, -1, -1, -1, 2, 1]
