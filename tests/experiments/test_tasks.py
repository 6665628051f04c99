import numpy as np
import pytest

from experiments.tasks import choose
from smrjax.data import CellSet, select
from smrjax.errors import InputError
from smrjax.taxonomy import Lineage, Taxonomy, for_classes, load_taxonomy

CLASSES = ("ART", "BNE", "LYM", "PMY", "SNE", "DEB")
TAXONOMY = Taxonomy(
    "few",
    CLASSES,
    (Lineage("neutrophil", ("PMY", "BNE", "SNE")),),
    ("#000000", "#111111", "#222222", "#333333", "#444444", "#555555"),
    tuple(code.lower() for code in CLASSES),
    ("ART", "DEB"),
)


@pytest.fixture
def cells() -> CellSet:
    labels = np.array([0, 1, 2, 3, 4, 5, 1, 0], np.int32)
    images = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    groups = np.arange(8, dtype=np.int32) * 10
    return CellSet(images, labels, tuple("abcdefgh"), CLASSES, groups, None, None, "digest", "few")


def seen(cells: CellSet) -> dict[str, str]:
    return dict(zip(cells.names, (cells.classes[label] for label in cells.labels), strict=True))


def test_stages_of_one_lineage_in_their_order(cells):
    chosen, taxonomy = choose(cells, TAXONOMY, "neutrophilic")
    assert chosen.classes == taxonomy.classes == ("PMY", "BNE", "SNE")
    assert seen(chosen) == {"b": "BNE", "d": "PMY", "e": "SNE", "g": "BNE"}
    assert taxonomy.stage().tolist() == [0, 1, 2] and taxonomy.colours == ("#333333", "#111111", "#444444")
    assert chosen.images[:, 0, 0, 0].tolist() == [1, 3, 4, 6] and chosen.groups.tolist() == [10, 30, 40, 60]


def test_all_is_every_class_but_artefacts(cells):
    chosen, taxonomy = choose(cells, TAXONOMY, "all")
    assert chosen.classes == ("BNE", "LYM", "PMY", "SNE") and len(chosen) == 5
    assert taxonomy.lineages == TAXONOMY.lineages and taxonomy.titles == ("bne", "lym", "pmy", "sne")
    # Named by hand, the taxonomy's artefacts do not count.
    assert choose(cells, TAXONOMY, "all", artefacts=["LYM"])[0].classes == ("ART", "BNE", "PMY", "SNE", "DEB")


def test_leukocytes_are_told_from_artefacts(cells):
    chosen, taxonomy = choose(cells, TAXONOMY, "leukocytes")
    assert chosen.classes == ("cell", "artefact") and len(chosen) == 8 and chosen.images is cells.images
    assert [name for name, code in seen(chosen).items() if code == "artefact"] == ["a", "f", "h"]
    assert not taxonomy.lineages and taxonomy.artefacts == ("artefact",)


@pytest.mark.parametrize(
    ("task", "how", "said"),
    [
        ("leukocytes", {"artefacts": CLASSES}, "a cell"),
        ("neutrophilic", {"lineage": "green"}, "--lineage green: there is no such lineage; there are neutrophil"),
        ("all", {"artefacts": CLASSES[:5]}, "the class DEB alone"),
        ("all", {"artefacts": ["X"]}, "--artefacts X"),
    ],
)
def test_what_cannot_be_told_apart(cells, task, how, said):
    with pytest.raises(InputError, match=said):
        choose(cells, TAXONOMY, task, **how)


def test_several_lineages_and_none_by_the_usual_name(cells):
    two = for_classes(CLASSES, [Lineage("a", ("PMY", "BNE")), Lineage("b", ("LYM", "SNE"))])
    with pytest.raises(InputError, match="Say --lineage a or b"):
        choose(cells, two, "neutrophilic")
    assert choose(cells, two, "neutrophilic", lineage="b")[0].classes == ("LYM", "SNE")
    with pytest.raises(InputError, match="--artefacts CODE"):
        choose(cells, two, "leukocytes")


def test_selections_are_known_by_their_content(cells):
    one = select(cells, [["BNE"], ["SNE"]], ["BNE", "SNE"])
    other = select(cells, [["SNE"], ["BNE"]], ["SNE", "BNE"])
    assert len({one.digest, other.digest, cells.digest}) == 3
    assert select(cells, [["BNE"], ["SNE"]], ["BNE", "SNE"]).digest == one.digest
    with pytest.raises(ValueError, match="SNE is in two groups"):
        select(cells, [["SNE"], ["SNE"]], ["A", "B"])


def test_a_taxonomy_file_names_its_artefacts(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text('[[classes]]\ncode = "A"\n[[classes]]\ncode = "DIRT"\nartefact = true\n')
    own = load_taxonomy(path)
    assert own.artefacts == ("DIRT",)
    assert for_classes(["DIRT", "A"], own=own).artefacts == ("DIRT",) and for_classes(["A"], own=own).artefacts == ()


def test_ratios_go_with_their_classes():
    marrow = load_taxonomy("marrow15")
    labels = np.arange(15, dtype=np.int32)
    images = np.zeros((15, 2, 2, 3), np.uint8)
    every = CellSet(images, labels, tuple("abcdefghijklmno"), marrow.classes, labels, None, None, "digest", "every")
    left = choose(every, marrow, "neutrophilic")[1].ratios
    assert [one.name.split()[0] for one in left] == ["immature", "proliferating"]
    assert all({*one.over, *one.under} == set(marrow.lineages[0].classes) for one in left)
