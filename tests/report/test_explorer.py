import json
import re
import weakref
from html.parser import HTMLParser

import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.report.explorer import MOST, Scene, explorer, plotly_script, script_json, stratified

HOSTILE = [
    "</script><script>window.hacked=1</script>",
    "<!--",
    "a&amp;b",
    "\u2028\"'\\",
    "\udcff.png",
    "<img src=x onerror=alert(1)>",
]


LOOK = {
    "classes": ["A", "B", "C"],
    "titles": ["Alpha", "Beta", "Gamma"],
    "colours": ["#dccbea", "#4d1a75", "#31a354"],
    "title": "Some cells",
}


def cells(count=60, *, fold=0, **changes):
    rng = np.random.default_rng(fold)
    labels = rng.integers(0, 3, count)
    columns = {
        "points": rng.normal(size=(count, 2)),
        "names": [f"cell {i}" for i in range(count)],
        "labels": labels,
        "predicted": np.where(rng.random(count) < 0.7, labels, rng.integers(0, 3, count)),
        "t": np.where(labels < 2, rng.random(count), np.nan),
        "curves": {"line": np.array([[0.0, 0.0], [1.0, 1.0]])},
    }
    return Scene(**{"fold": fold, **columns, **changes})


def made(*scenes, **look):
    return explorer(scenes, **{**LOOK, **look})


class Scripts(HTMLParser):
    """What an HTML parser takes for the scripts of a page, and for its elements."""

    def __init__(self, page):
        super().__init__()
        self.scripts, self.tags, self.inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        self.inside = tag == "script"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def embedded(page):
    return json.loads(Scripts(page).scripts[0])


def test_every_cell_is_in_the_page_with_what_belongs_to_it():
    given = cells()
    data = embedded(made(given))
    rows = [given.names.index(name) for name in data["names"]]
    assert sorted(rows) == list(range(60)) and rows != sorted(rows)
    np.testing.assert_allclose(np.stack([data["x"], data["y"]], 1), given.points[rows], atol=5e-4)
    for column in ("labels", "predicted"):
        assert data[column] == getattr(given, column)[rows].tolist()
    t = [np.nan if value is None else value for value in data["t"]]
    np.testing.assert_allclose(t, given.t[rows], atol=5e-5)


def test_scenes_stand_one_after_another_each_with_its_own():
    given = [
        cells(7, fold=4, names=[f"four {i}" for i in range(7)], images=np.zeros((7, 16, 16, 3), np.uint8)),
        cells(0, fold=2),
        cells(5, fold=0, names=[f"none {i}" for i in range(5)], curves={}, points=1e-3 * np.ones((5, 2))),
    ]
    page = made(*given)
    data = embedded(page)
    assert [(s["fold"], s["first"], s["count"]) for s in data["scenes"]] == [(4, 0, 7), (2, 7, 0), (0, 7, 5)]
    assert [len(s["curves"]) for s in data["scenes"]] == [1, 1, 0]
    assert [s["sheet"] is None for s in data["scenes"]] == [False, True, True]
    assert sorted(data["names"][:7]) == sorted(given[0].names) and sorted(data["names"][7:]) == sorted(given[2].names)
    assert data["x"][7:] == [1e-3] * 5  # rounded to the scale of its own scene
    tags = Scripts(page).tags
    assert '<select name="fold"><option>4</option><option>2</option><option>0</option></select>' in page
    assert sum(tag == "template" for tag, _ in tags) == 1
    assert '<select name="fold">' not in made(given[0])  # one scene is no choice
    assert made(*given) == explorer(iter(given), **LOOK)


def test_scenes_may_be_made_one_by_one():
    """An iterator makes the next one when the images of the last one are needed no more."""
    seen = []

    def scenes():
        for fold in range(3):
            assert all(images() is None for images in seen)
            images = np.zeros((60, 8, 8, 3), np.uint8)
            seen.append(weakref.ref(images))
            yield cells(fold=fold, images=images)
            del images

    explorer(scenes(), **LOOK)
    assert len(seen) == 3


@pytest.mark.parametrize("folds", [(), (1, 1), (0, 2, 0)])
def test_folds_that_cannot_be_chosen(folds):
    with pytest.raises(ValueError, match="each of another fold"):
        made(*(cells(fold=fold) for fold in folds))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_points_keep_their_places_at_any_scale(scale):
    points = cells().points * scale
    data = embedded(made(cells(points=points)))
    span = np.ptp(points, axis=0).max()
    found = np.sort(np.array(data["x"]))
    np.testing.assert_allclose(found, np.sort(points[:, 0]), atol=1e-4 * span)


def test_hostile_names_stay_names():
    given = cells(6, names=HOSTILE, curves={HOSTILE[0]: np.zeros((1, 2))})
    page = made(given, title=HOSTILE[0], titles=HOSTILE[:3])
    parsed = Scripts(page)
    assert len(parsed.scripts) == 2  # the data, and the explorer's own
    data = json.loads(parsed.scripts[0])
    assert sorted(data["names"]) == sorted(HOSTILE) and data["titles"] == HOSTILE[:3]
    assert data["scenes"][0]["curves"][0]["name"] == HOSTILE[0]
    assert "<!--" not in page and "hacked=1</script>" not in page
    page.encode()  # a name that is no Unicode can be written nevertheless


def test_json_of_anything_ends_no_script():
    value = {"".join(map(chr, range(32, 128))): HOSTILE}
    text = script_json(value)
    assert json.loads(text) == value and not set(text) & set("<>&")


def test_a_page_fetches_nothing():
    images = np.zeros((60, 16, 16, 3), np.uint8)
    page = made(cells(images=images), cells(fold=1, images=images))
    assert all(attrs.get("src", "data:").startswith("data:") and "href" not in attrs for _, attrs in Scripts(page).tags)
    assert not re.findall(r"https?:|//[a-z]+\.|url\(|@import|fetch\(", re.sub(r'src="data:[^"]*"', "", page))


def test_the_script_of_plotly_is_one_element():
    script = plotly_script()
    assert script.startswith("<script>") and script.endswith("</script>") and script.count("</script") == 1
    assert len(script) > 1e6 and "<!--" not in script and "window.Plotly" in script


@pytest.mark.parametrize("count", [0, 1])
def test_few_cells(count):
    data = embedded(made(cells(count, images=np.zeros((count, 8, 8, 3), np.uint8))))
    assert len(data["names"]) == count and (data["scenes"][0]["sheet"] is None) == (count == 0)


def test_a_sample_of_many_cells_is_drawn_and_said():
    count = 4 * MOST + 3
    labels = np.zeros(count, int)
    labels[:8], labels[8:4000] = 1, -1
    given = cells(count, labels=labels, predicted=np.full(count, 2), t=np.full(count, np.nan))
    page = made(given)
    data = embedded(page)
    assert f"A sample of 5,000 of {count:,} cells" in data["scenes"][0]["note"] and len(set(data["names"])) == MOST
    # Of N = 20,003 cells in three strata, 1 + (n - 1) 4997 / 20,000 of each, up or down.
    assert [data["labels"].count(c) for c in (0, 1, -1)] == pytest.approx([3998.9, 2.75, 998.2], abs=1)
    assert page == made(given)
    assert embedded(made(given, seed=1))["names"] != data["names"]
    assert embedded(made(cells()))["scenes"][0]["note"] == ""


@pytest.mark.parametrize("count", [5, 17, 100, 333, 1000])
def test_strata_have_their_shares(count):
    rng = np.random.default_rng(1)
    strata = rng.permutation(np.repeat([7, -3, 0, 2, 9], [1, 2, 97, 300, 600]))
    rows = stratified(strata, count, seed=3)
    assert len(set(rows.tolist())) == count and (np.diff(rows) > 0).all()
    for value in np.unique(strata):
        share = 1 + ((strata == value).sum() - 1) * (count - 5) / 995
        assert abs((strata[rows] == value).sum() - share) < 1 + 1e-9
    np.testing.assert_array_equal(rows, stratified(strata, count, seed=3))


def test_a_sample_is_drawn_at_random_within_a_stratum():
    strata = np.zeros(1000, int)
    seen = np.concatenate([stratified(strata, 100, seed=seed) for seed in range(40)])
    # 4,000 draws of a uniform variable: the mean has a standard error of 289 / sqrt(4000) = 4.6.
    assert abs(seen.mean() - 499.5) < 20 and len(set(seen.tolist())) > 900


def test_samples_that_cannot_be_had():
    for count in (1, 5):
        with pytest.raises(ValueError, match=f"{count} rows of 4 in 2 strata"):
            stratified(np.array([0, 0, 1, 1]), count, seed=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"points": np.zeros((60, 3))}, ValueError, r"points \(60, 3\)"),
        ({"names": ["a"]}, ValueError, r"names \(1,\) do not belong"),
        ({"t": np.zeros(59), "labels": np.zeros((60, 1))}, ValueError, r"labels \(60, 1\), t \(59,\)"),
        ({"images": np.zeros((59, 8, 8, 3), np.uint8)}, ValueError, r"images \(59,\)"),
        ({"images": np.zeros((60, 8, 8, 3))}, ValueError, "a sheet of images float64"),
        ({"predicted": np.full(60, 3)}, ValueError, "run from 0 to 3"),
        ({"predicted": np.full(60, -1)}, ValueError, "run from -1"),
        ({"titles": ["a"]}, ValueError, "1 titles for 3 classes"),
        ({"colours": ["#000000"]}, ValueError, "1 colours for 3 classes"),
        ({"lineages": {"a": [0, 5]}}, ValueError, "at most once"),
        ({"curves": {"x": np.zeros((4, 3))}}, ValueError, r"curve x \(4, 3\)"),
        ({"points": np.full((60, 2), np.nan)}, InputError, "fold 0, points: 60 of 60 places are not finite"),
        ({"curves": {"x": np.array([[0.0, np.inf]])}}, InputError, "fold 0, curve x: 1 of 1"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        look = {name: changes.pop(name) for name in list(changes) if name in {*LOOK, "lineages"}}
        made(cells(**changes), **look)
