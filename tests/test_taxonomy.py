import itertools
import json

import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.taxonomy import (
    BUNDLED,
    Lineage,
    Ratio,
    Taxonomy,
    counterparts,
    default_colours,
    for_classes,
    left_ratios,
    load_taxonomy,
    parse_lineages,
)
from smrjax.taxonomy.stored import from_json, to_json

# What a screen colour looks like without one kind of cone: Machado, Oliveira and Fernandes 2009, severity 1.0,
# on linear RGB.
CONES = {
    "all": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colours, cones):
    """CIE L*a*b* (D65) of screen colours as seen with some cones."""
    srgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.asarray(CONES[cones]).T, 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = linear @ np.array(to_xyz).T / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_marrow15_is_the_paper():
    marrow = load_taxonomy("marrow15")
    assert marrow.classes == tuple("BLA PMY MYE MMY BNE SNE PEB BEB PCE OCE BAS EOS LYM PMO MON".split())
    assert marrow.lineage_index().tolist() == [0] * 6 + [1] * 4 + [-1] * 5
    assert marrow.stage().tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3] + [-1] * 5
    assert [line.name for line in marrow.lineages] == ["neutrophil", "erythroid"]


def test_pbc():
    pbc = load_taxonomy("pbc")
    assert pbc.lineages == (Lineage("neutrophil", ("PMY", "MY", "MMY", "BNE", "SNE")),)
    assert len(pbc.classes) == 10 and pbc.stage().dtype == np.int32


def test_marrow21():
    marrow = load_taxonomy("marrow21")
    assert marrow.lineages == (
        Lineage("neutrophil", ("BLA", "PMO", "MYB", "MMZ", "NGB", "NGS")),
        Lineage("erythroid", ("PEB", "EBO")),
    )
    assert len(marrow.classes) == 21 and marrow.artefacts == ("KSC", "ART")


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("cones", CONES)
def test_colours_stay_apart_for_every_kind_of_colour_vision(name, cones):
    seen = lab(load_taxonomy(name).colours, cones)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > (8 if cones == "all" else 5)  # 2.3 is just noticeable side by side


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("cones", CONES)
def test_a_lineage_gets_darker_with_maturity(name, cones):
    taxonomy = load_taxonomy(name)
    lightness = lab(taxonomy.colours, cones)[:, 0]
    for line in taxonomy.lineages:
        steps = np.diff([lightness[taxonomy.classes.index(code)] for code in line.classes])
        assert (steps < -5).all()


def test_default_colours_are_what_the_files_say():
    for name in BUNDLED:
        taxonomy = load_taxonomy(name)
        assert default_colours(taxonomy.classes, taxonomy.lineages) == taxonomy.colours


def test_default_colours_differ_for_many_classes():
    classes = [f"C{i}" for i in range(21)]
    assert len(set(default_colours(classes, [Lineage("a", tuple(classes[:5]))]))) == 21


def test_for_classes_keeps_the_order_given_and_knows_the_lineages():
    taxonomy = for_classes(["BA", "BNE", "MMY", "PMY"])
    assert taxonomy.classes == ("BA", "BNE", "MMY", "PMY")
    assert taxonomy.stage().tolist() == [-1, 2, 1, 0]
    assert taxonomy.titles[0] == "Basophil"


def test_for_classes_finds_six_kinds_of_marrow21_in_a_folder():
    taxonomy = for_classes(["BLA", "EOS", "LYT", "MON", "NGS", "PMO"])
    assert taxonomy.name == "marrow21" and taxonomy.titles[-1] == "Promyelocyte"
    assert taxonomy.lineages == (Lineage("neutrophil", ("BLA", "PMO", "NGS")),)


def test_a_code_that_means_different_cells_is_told_or_settled_by_the_name_of_the_data():
    # PMO is a promonocyte of marrow15, a promyelocyte of marrow21.
    with pytest.warns(UserWarning, match="PMO is taken for promonocyte, as in taxonomy marrow15; .* marrow21"):
        assert for_classes(["MON", "PMO"]).lineages == ()
    assert for_classes(["MON", "PMO"], name="marrow21").lineages == (Lineage("neutrophil", ("PMO",)),)
    # No word where they agree, or where the user has said it.
    assert for_classes(["BLA", "EOS"]).name == "marrow15"
    assert for_classes(["MON", "PMO"], own=load_taxonomy("marrow21")).titles[1] == "Promyelocyte"


def test_for_classes_with_lineages_replaces_the_known_ones():
    taxonomy = for_classes(["BA", "PMY", "MY"], parse_lineages(["odd=MY,BA"]))
    assert taxonomy.lineage_index().tolist() == [0, -1, 0]
    assert taxonomy.stage().tolist() == [1, -1, 0]


def test_for_classes_of_strangers_has_no_lineages():
    taxonomy = for_classes(["cat", "dog"])
    assert taxonomy.lineages == () and taxonomy.titles == ("cat", "dog")


def test_several_lineages():
    lines = parse_lineages(["a=x,y", " b = z , w "])
    assert lines == (Lineage("a", ("x", "y")), Lineage("b", ("z", "w")))


@pytest.mark.parametrize("text", ["", "a", "a=", "=x,y", "a=x,,y", "a:x,y"])
def test_lineages_of_another_form(text):
    with pytest.raises(InputError, match="NAME=YOUNGEST"):
        parse_lineages([text])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["n=PMY,XXX"], r"no class XXX; there are PMY, MY, BA"),
        (["n=PMY,MY", "m=BA,MY"], r"lineage m: class MY is in lineage n too"),
        (["n=PMY,MY,PMY"], r"class PMY is twice in it"),
        (["n=PMY,MY", "n=BA"], r"lineage n is given twice"),
    ],
)
def test_lineages_that_do_not_fit(texts, message):
    with pytest.raises(InputError, match=message):
        for_classes(["PMY", "MY", "BA"], parse_lineages(texts))


def test_ratios_of_a_laboratory():
    marrow = {one.name: one for one in load_taxonomy("marrow15").ratios}
    assert list(marrow)[0] == "myeloid : erythroid"
    both = marrow["myeloid : erythroid"]
    assert both.under == ("PEB", "BEB", "PCE", "OCE")
    # All cells of the marrow but lymphocytes.
    assert set(load_taxonomy("marrow15").classes) - {*both.over, *both.under} == {"LYM"}
    neutrophils = ("BLA", "PMY", "MYE", "MMY", "BNE", "SNE")
    for name, before in (("immature : mature neutrophils", 4), ("proliferating : maturing neutrophils", 3)):
        assert (marrow[name].over, marrow[name].under) == (neutrophils[:before], neutrophils[before:])
    assert marrow["immature : mature erythroblasts"].over == ("PEB", "BEB")
    assert marrow["proliferating : maturing erythroblasts"].under == ("OCE",)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_ratio_within_a_lineage_is_cut_at_one_stage(name):
    taxonomy = load_taxonomy(name)
    stage = dict(zip(taxonomy.classes, taxonomy.stage(), strict=True))
    within = [one for one in taxonomy.ratios if one.name != "myeloid : erythroid"]
    assert within
    for one in within:
        # Faggot cells are promyelocytes in no lineage.
        above, below = ([stage[code] for code in side if code != "FGC"] for side in (one.over, one.under))
        assert sorted(above) + sorted(below) == list(range(len(above) + len(below)))


def test_ratios_of_fewer_classes():
    # Every side with what is left of it; none without a side.
    few = for_classes(["BLA", "EOS", "LYT", "MON", "NGS", "PMO"])
    assert few.ratios == (
        Ratio("immature : mature neutrophils", ("BLA", "PMO"), ("NGS",)),
        Ratio("proliferating : maturing neutrophils", ("BLA", "PMO"), ("NGS",)),
    )
    assert for_classes(["EOS", "MON"]).ratios == for_classes(["cat", "dog"]).ratios == left_ratios((), ["EOS"]) == ()
    # What classes are counts here, not which lineages the user makes of them.
    marrow = load_taxonomy("marrow15")
    assert for_classes(marrow.classes, parse_lineages(["odd=SNE,BLA"])).ratios == marrow.ratios


def test_own_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        '[[classes]]\ncode = "a"\ncolour = "#010203"\n[[classes]]\ncode = "b"\n'
        '[[lineages]]\nname = "line"\nclasses = ["b", "a"]\n'
    )
    own = load_taxonomy(path)
    assert own.name == "own" and own.stage().tolist() == [1, 0]
    assert own.colours[0] == "#010203" and own.titles == ("a", "b") and own.ratios == ()
    path.write_text(path.read_text() + '[[ratios]]\nname = "b to a"\nover = ["b"]\nunder = ["a"]\n')
    assert load_taxonomy(path).ratios == (Ratio("b to a", ("b",), ("a",)),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes = [", "is not TOML"),
        ('name = "x"', "'classes' is missing"),
        ("[[classes]]\ntitle = 'x'", "'code' is missing"),
        ("classes = 3", "out of place"),
        ("[[classes]]\ncode='a'\n[[classes]]\ncode='a'", "class a is listed twice"),
        ("[[classes]]\ncode='a'\ncolour='red'", "colour 'red'"),
        ("[[classes]]\ncode='a'\n[[lineages]]\nname='l'\nclasses=['b']", "no class b"),
        ("[[classes]]\ncode='a'\n[[lineages]]\nname='l'\nclasses=[]", "at least one class"),
        ("[[classes]]\ncode='a'\n[[ratios]]\nname='r'\nover=['a']", "'under' is missing"),
        ("[[classes]]\ncode='a'\n[[ratios]]\nname='r'\nover=['a']\nunder=[]", "ratio 'r' needs .* at least one class"),
        ("[[classes]]\ncode='a'\n[[ratios]]\nname='r'\nover=['a']\nunder=['b']", "ratio r: there is no class b"),
        ("[[classes]]\ncode='a'\n[[ratios]]\nname='r'\nover=['a']\nunder=['a']", "ratio r: class a is listed twice"),
        ("[[classes]]\ncode='a'\n[[ratios]]\nname=''\nover=['a']\nunder=['a']", "needs a name"),
    ],
)
def test_broken_files(tmp_path, text, message):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_taxonomy(path)
    assert "broken.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_no_file():
    with pytest.raises(InputError, match="no_such"):
        load_taxonomy("no_such")


def test_a_ratio_is_given_once():
    twice = (Ratio("r", ("a",), ("b",)), Ratio("r", ("b",), ("a",)))
    with pytest.raises(InputError, match="ratio r is given twice"):
        Taxonomy("t", ("a", "b"), (), ("#000000",) * 2, ("a", "b"), (), twice)


def test_parts_of_different_length():
    with pytest.raises(InputError, match="one colour"):
        Taxonomy("t", ("a", "b"), (), ("#000000",), ("a", "b"))


@pytest.mark.parametrize("name", BUNDLED)
def test_a_stored_taxonomy_comes_back_whole(name):
    taxonomy = load_taxonomy(name)
    found = from_json(json.loads(json.dumps(to_json(taxonomy))))
    assert found == taxonomy and hash(found) == hash(taxonomy)
    for broken in ({}, [], None, to_json(taxonomy) | {"lineages": [{"name": "x"}]}):
        with pytest.raises(InputError, match="another version"):
            from_json(broken)


def test_namesakes_are_found_by_title_whatever_their_codes():
    """PMO is a promyelocyte in one taxonomy and a promonocyte in the other."""
    marrow21, marrow15, pbc = (load_taxonomy(name) for name in ("marrow21", "marrow15", "pbc"))
    found = counterparts(marrow21, pbc)
    assert found["PMO"] == "PMY" and found["NGS"] == "SNE" and found["EOS"] == "EO" and "BLA" not in found
    assert counterparts(marrow21, marrow15)["PMO"] == "PMY"
    assert counterparts(pbc, pbc) == {code: code for code in pbc.classes}
    alike = for_classes(["a", "A", "b"])
    assert counterparts(alike, alike) == {"a": "a", "A": "A", "b": "b"}
    assert counterparts(for_classes(["A", "b"]), alike) == {"b": "b"}
    assert counterparts(for_classes(["basophil", "x"]), pbc) == {"basophil": "BA"}
