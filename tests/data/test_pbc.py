import zipfile

import numpy as np
import pytest

from smrjax.data import load_pbc
from smrjax.data.pbc import CLASSES, find_pbc
from smrjax.errors import InputError
from tests.data.conftest import picture

# The folders of the published archive, with the kinds of file names in each.
PUBLISHED = {
    "basophil": ["BA"],
    "eosinophil": ["EO"],
    "erythroblast": ["ERB"],
    "ig": ["IG", "MMY", "MY", "PMY"],
    "lymphocyte": ["LY"],
    "monocyte": ["MO"],
    "neutrophil": ["BNE", "NEUTROPHIL", "SNE"],
    "platelet": ["PLATELET"],
}


@pytest.fixture
def published(tmp_path):
    top = tmp_path / "unpacked" / "PBC_dataset_normal_DIB"
    number = 0
    for folder, kinds in PUBLISHED.items():
        (top / folder).mkdir(parents=True)
        for kind in kinds:
            for _ in range(2):
                number += 1
                picture(number, (36, 33)).save(top / folder / f"{kind}_{number}.jpg")
    (top / "ig" / ".DS_169665.jpg").write_bytes(b"junk")
    return top.parent


@pytest.fixture
def archive(published, tmp_path):
    path = tmp_path / "archive" / "PBC_dataset_normal_DIB.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        for image in sorted(published.rglob("*.jpg")):
            name = image.relative_to(published).as_posix()
            file.write(image, name)
            file.writestr(f"__MACOSX/{name}", b"junk")
    return path


def test_stages_are_told_by_file_names(published):
    records = find_pbc(published)
    assert [record.label for record in records] == [code for code in CLASSES for _ in range(2)]
    assert all(f"/{record.label}_" in record.name for record in records)


def test_archive_gives_the_same_cells(published, archive, tmp_path):
    options = {"size": 16, "cache_dir": tmp_path / "cache", "progress": False}
    unpacked, zipped, of_folder = (load_pbc(path, **options) for path in (published, archive, archive.parent))
    assert unpacked.classes == CLASSES and unpacked.labels.tolist() == [c for c in range(10) for _ in range(2)]
    assert unpacked.names == zipped.names and unpacked.digest == zipped.digest == of_folder.digest
    np.testing.assert_array_equal(unpacked.images, zipped.images)


def test_archive_alone_is_enough(archive, tmp_path):
    assert len(load_pbc(archive, size=16, cache_dir=tmp_path / "cache", progress=False)) == 20


def test_place_from_the_environment(published, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pbc").symlink_to(published)
    monkeypatch.setenv("SMRJAX_DATA", str(tmp_path / "data"))
    assert len(load_pbc(size=16, cache_dir=tmp_path / "cache", progress=False)) == 20


def test_copies_are_left_out(published, tmp_path):
    original = next(published.rglob("MY_*.jpg"))
    (original.parent / "MY_9999.jpg").write_bytes(original.read_bytes())
    cells = load_pbc(published, size=16, cache_dir=tmp_path / "cache", progress=False)
    assert len(cells) == 20 and not any("9999" in name for name in cells.names)


def test_damaged_archive(archive):
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a whole zip archive"):
        find_pbc(archive)


def test_some_other_folder(tmp_path):
    (tmp_path / "cats").mkdir()
    picture(0).save(tmp_path / "cats" / "tom.png")
    with pytest.raises(InputError, match="doi.org"):
        find_pbc(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_pbc(tmp_path / "none")
