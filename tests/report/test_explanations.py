"""The page of heat maps and the plain images, on made-up cells."""

import numpy as np
import pytest
from PIL import Image

from smrjax.errors import InputError
from smrjax.report import by_outcome, explanations_figure, write_overlays
from smrjax.report.overlays import OPACITY, coloured, overlay
from tests.report.conftest import check_png, colour_share, svg_words

NAMES = ("Promyelocyte", "Myelocyte", "Segmented neutrophil")
#: Both ends of viridis.
COLD, HOT = "#440154", "#fde725"


def cells(count, shape=(12, 12), heat=1.0):
    images = np.full((count, *shape, 3), 90, np.uint8)
    images[..., 0] = 60
    maps = np.zeros((count, *shape), np.float32)
    maps[:, : shape[0] // 2] = heat
    return {"images": images, "maps": maps, "class_names": NAMES}


def test_page_shows_cells_heat_and_both(tmp_path):
    labels, predicted = np.array([0, 1, 2, 2, 1, 2]), np.array([0, 1, 1, 2, 1, 1])
    notes = [f"p = 0.{k}" for k in range(1, 7)]
    path = explanations_figure(
        tmp_path / "e.png", title="Where", labels=labels, predicted=predicted, notes=notes, **cells(6)
    )
    over = (1 - OPACITY) * np.array([60, 90, 90]) + OPACITY * np.array([253, 231, 37])
    check_png(path, "#3c5a5a", COLD, HOT, "#{:02x}{:02x}{:02x}".format(*np.rint(over).astype(int)))
    words = svg_words(path.with_suffix(".svg"))
    assert {"Where", "correct", "image", "heat map", "overlay", *notes} <= set(words)
    assert " ".join(words).count("wrong: labelled Segmented neutrophil, taken for") == 1
    assert words.count("true Segmented neutrophil") == 3 and words.count("pred. Segmented neutrophil") == 1
    # Captions keep the cells' order within their groups: four correct ones, then two mistakes.
    assert [word for word in words if word.startswith("p = ")] == [f"p = 0.{k}" for k in (1, 2, 4, 5, 3, 6)]


def test_groups_flow_over_the_columns_and_go_on_below(tmp_path):
    path = explanations_figure(
        tmp_path / "e.png",
        title="",
        labels=np.zeros(8, int),
        groups={"first": range(5), "second": [6], "third": [7]},
        columns=3,
        **cells(8),
    )
    words = svg_words(path.with_suffix(".svg"))
    heads = [word for word in words if word in ("first", "first (continued)", "second", "third")]
    assert heads == ["first", "first (continued)", "second", "third"]
    # Cell 5 is in no group; rows of 3, of 2 and 1, and of 1.
    assert words.count("true Promyelocyte") == 7 and words.count("overlay") == 3


@pytest.mark.parametrize("case", ["no cells", "one cell", "no heat", "wide", "tall and large", "long names"])
def test_page_of_little(tmp_path, case):
    count = {"no cells": 0, "one cell": 1}.get(case, 2)
    chosen = cells(
        count, {"wide": (4, 20), "tall and large": (400, 220)}.get(case, (8, 8)), 0 if case == "no heat" else 1
    )
    labels = np.full(count, 2)
    if case == "long names":
        chosen["class_names"] = ("a", "b", "a rather long name of a cell type that nobody has seen")
    path = explanations_figure(tmp_path / "e.png", title=case, labels=labels, predicted=labels, **chosen)
    if count:
        check_png(path, COLD)
        assert (colour_share(path, HOT) < 0.005) == (case == "no heat")
    words = svg_words(path.with_suffix(".svg"))
    assert any(w.startswith("true a rather long") and w.endswith("…") for w in words) == (case == "long names")


def test_cold_places_look_as_they_did_and_hot_ones_show_through():
    image = np.random.default_rng(0).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    heat = np.array([[0, 0.5], [1, 0]])
    found = overlay(image, heat)
    np.testing.assert_array_equal(found[heat == 0], image[heat == 0])
    hot = np.array([0xFD, 0xE7, 0x25])
    np.testing.assert_allclose(coloured(np.array([0.0, 1.0])), [[0x44, 0x01, 0x54], hot], atol=1)
    np.testing.assert_allclose(found[1, 0], (1 - OPACITY) * image[1, 0] + OPACITY * hot, atol=1.5)


def test_outcomes_name_every_cell_once():
    groups = by_outcome(np.array([2, 0, 1, 2]), np.array([1, 0, 1, 1]), NAMES)
    assert groups == {"correct": [1, 2], "wrong: labelled Segmented neutrophil, taken for Myelocyte": [0, 3]}
    assert by_outcome(np.zeros(0, int), np.zeros(0, int), NAMES) == {}


@pytest.mark.parametrize(("size", "factor"), [(5, 4), (20, 1), (30, 1)])
def test_plain_images_have_whole_pixels(tmp_path, size, factor):
    chosen = cells(2, (size, size - 1))
    chosen["images"][:] = np.random.default_rng(0).integers(0, 256, chosen["images"].shape)
    names = ["SNE/SNE_1.jpg", "cell 7.5"]
    paths = write_overlays(tmp_path / "new", names=names, images=chosen["images"], maps=chosen["maps"], smallest=20)
    stems = [f"{stem}{suffix}.png" for stem in ("SNE_SNE_1", "cell 7.5") for suffix in ("", "_heat", "_overlay")]
    assert [path.name for path in paths] == stems
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(stems)
    wanted = (lambda i: chosen["images"][i], lambda i: coloured(chosen["maps"][i]))
    wanted += (lambda i: overlay(chosen["images"][i], chosen["maps"][i]),)
    for k, path in enumerate(paths):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        assert pixels.shape == (factor * size, factor * (size - 1), 3)
        for row in range(factor):
            np.testing.assert_array_equal(pixels[row::factor, row::factor], wanted[k % 3](k // 3))


def test_names_that_meet_are_refused(tmp_path):
    chosen = cells(2)
    del chosen["class_names"]
    with pytest.raises(InputError, match="a/b.png: another cell's pictures"):
        write_overlays(tmp_path, names=["a/b.png", "a_b.jpg"], **chosen)
    # Its heat map would overwrite the first one's.
    with pytest.raises(InputError, match="a: another cell's pictures"):
        write_overlays(tmp_path, names=["a", "a_heat"], **chosen)
    with pytest.raises(ValueError, match="1 names for 2 images"):
        write_overlays(tmp_path, names=["a"], **chosen)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write the picture"):
        write_overlays(tmp_path / "file", names=["a", "b"], **chosen)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arrays_that_do_not_belong_together_are_refused(tmp_path):
    full = {"path": tmp_path / "e.png", "title": "", "labels": np.zeros(2, int)}
    with pytest.raises(ValueError, match="heat runs from 0.0 to 3.0; bring it to 0..1 with evaluate.rescale"):
        explanations_figure(**full, **cells(2, heat=3.0))
    with pytest.raises(ValueError, match="heat runs from nan"):
        explanations_figure(**full, **cells(2, heat=np.nan))
    with pytest.raises(ValueError, match="no picture of explanations"):
        explanations_figure(**full, **cells(3))
    with pytest.raises(ValueError, match="no picture of explanations"):
        explanations_figure(**full, columns=0, **cells(2))
    wrong = cells(2)
    wrong["images"] = wrong["images"].astype(float)
    with pytest.raises(ValueError, match="images float64"):
        explanations_figure(**full, **wrong)
