"""The explorer as a browser shows it; places are compared with Plotly's own axes."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from smrjax.report.explorer import Scene, explorer, plotly_script

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")

COUNT, MORE = 210, 70
HOSTILE = "</script><img src=x onerror=window.hacked=1>"
LOOK = {
    "classes": ["A", "B", "C"],
    "titles": ["Alpha", "Beta", "Gamma"],
    "colours": ["#86abfc", "#263864", "#22b988"],
    "lineages": {"line": [1, 0]},
    "title": f"Cells {HOSTILE}",
}


def cells(count, seed, folder):
    """A grid of cells, each with a colour of its own."""
    rng = np.random.default_rng(seed)
    index = np.arange(count)
    labels = rng.integers(-1, 3, count)
    colour = np.stack([index % 15 * 17, index // 15 * 17, np.full(count, 128 * (1 - seed))], 1).astype(np.uint8)
    return {
        "points": np.stack([index % 15, index // 15], 1) + 0.25 * rng.random((count, 2)),
        "names": [f"{folder}_{i % 4}/cell {i}.png" for i in range(count)],
        "labels": labels,
        "predicted": np.where(rng.random(count) < 0.6, np.maximum(labels, 0), rng.integers(0, 3, count)),
        "t": np.where(labels == 2, np.nan, rng.uniform(-0.2, 1.2, count)),
        "curves": {"line <b>": np.stack([np.linspace(0, 14, 30), 7 + 3 * np.sin(np.linspace(0, 3, 30))], 1)},
        "targets": {"line <b>": np.array([[0.0, 7.0]])},
        "images": np.broadcast_to(colour[:, None, None], (count, 32, 32, 3)),
    }


CELLS = cells(COUNT, 0, "slide")
CELLS["points"][-2:] = 20, 3  # two lie at one place
CELLS["names"][-1] = HOSTILE
# Another fold, elsewhere and of another scale, and one without curves and images.
OTHER = cells(MORE, 1, "other")
OTHER |= {"points": 40 * OTHER["points"] - 300, "curves": {"line <b>": np.array([[-300.0, -300.0], [200.0, -200.0]])}}
LAST = {**cells(9, 2, "last"), "curves": {}, "targets": {}, "images": None}
LAST["points"] = np.stack([np.arange(9), np.arange(9)], 1)  # up into the corner
NAMES = CELLS["names"] + OTHER["names"] + LAST["names"]
POINTS = np.concatenate([CELLS["points"], OTHER["points"], LAST["points"]])
KNOWN = CELLS["labels"] >= 0
RIGHT = KNOWN & (CELLS["labels"] == CELLS["predicted"])


class Shown:
    """A page with two explorers, of which the first is worked with."""

    def __init__(self, page):
        self.page, self.one = page, page.locator(".smr-explorer").first
        self.stage, self.card, self.said = (self.one.locator(part) for part in (".stage", ".card", ".said"))
        self.fold = self.one.get_by_role("combobox", name="Fold")
        data = json.loads(self.one.locator("script.data").text_content())
        self.row = [NAMES.index(name) for name in data["names"]]  # of each cell of the page

    def drawn(self, which=0):
        """The rows of the cells that Plotly has to draw."""
        self.page.wait_for_timeout(60)  # changes of the form are gathered until the next frame
        own = self.page.evaluate(
            "k => document.querySelectorAll('.chart')[k].data.flatMap(trace => [...trace.customdata])", which
        )
        return sorted(self.row[i] for i in own)

    def place(self, row):
        """Where on the screen Plotly has a cell, by its own axes."""
        return self.page.evaluate(
            """([x, y]) => {
              const chart = document.querySelector('.chart'), box = chart.getBoundingClientRect();
              const { xaxis, yaxis } = chart._fullLayout;
              return [box.left + xaxis.l2p(x), box.top + yaxis.l2p(y)];
            }""",
            POINTS[row].tolist(),
        )

    def colour(self, where):
        """The colour in the middle of a cell's image, once it is drawn."""
        code = """canvas => {
          const middle = canvas.width / 2;
          return [...canvas.getContext('2d').getImageData(middle, middle, 1, 1).data];
        }"""
        for _ in range(50):
            colour = where.locator("canvas").evaluate(code)
            if colour[3]:
                return colour[:3]
            self.page.wait_for_timeout(40)
        return None

    def only(self, name, values):
        for box in self.one.locator(f"[name={name}]").all():
            box.set_checked(box.get_attribute("value") in values)

    def status(self):
        return self.one.locator(".status").inner_text()

    def counted(self, name):
        """What a box says of the cells that it shows or would show."""
        return int(self.one.get_by_label(name).locator("xpath=..").locator("output").inner_text())

    def pinned(self):
        return self.one.locator(".tray li .name").all_text_contents()


@pytest.fixture(scope="module")
def heard():
    """Whatever the page complains of, and what it fetches."""
    return {"errors": [], "requests": []}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    unknown = {"images": None, "labels": np.full(COUNT, -1)}
    several = [Scene(fold=2, **CELLS), Scene(fold=5, **OTHER), Scene(fold=7, **LAST)]
    parts = [explorer(several, **LOOK), explorer([Scene(fold=2, **CELLS | unknown)], **LOOK | {"lineages": None})]
    path = tmp_path_factory.mktemp("page") / "page.html"
    # Plotly's script stands last: the explorers wait for it.
    body = "".join(parts) + plotly_script()
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    path.write_text(f"{head}<title>Cells</title><body>{body}</body></html>")
    return path.as_uri()


def listen(page, heard):
    page.on("pageerror", lambda error: heard["errors"].append(str(error)))
    page.on("console", lambda message: message.type == "error" and heard["errors"].append(message.text))
    page.on("request", lambda request: heard["requests"].append(request.url))
    return page


def opened(page, address):
    page.goto(address)
    page.wait_for_function("[...document.querySelectorAll('.chart')].every(chart => chart.data)")
    return Shown(page)


@pytest.fixture(scope="module")
def first_page(browser, address, heard):
    page = listen(browser.new_page(viewport={"width": 1200, "height": 900}), heard)
    yield opened(page, address)
    page.close()


@pytest.fixture
def shown(first_page):
    page = first_page.page
    page.mouse.move(1, 1)
    first_page.fold.select_option("2")
    first_page.one.get_by_role("button", name="Reset").click()
    if first_page.pinned():
        first_page.one.get_by_role("button", name="Remove all").click()
    assert first_page.drawn() == list(range(COUNT))
    return first_page


@pytest.mark.parametrize("row", [0, 7, 100, 150])
def test_pointing_at_a_cell_shows_it(shown, row):
    x, y = shown.place(row)
    shown.page.mouse.move(x + 3, y - 2)
    text = shown.card.inner_text()
    assert f"cell {row}.png" in text and "fold 2" in text
    t = CELLS["t"][row]
    assert ("t none" if np.isnan(t) else f"t {t:.2f}".replace("-", "−")) in text
    titles = [*LOOK["titles"], "unknown"]
    named = shown.card.locator("dd").all_inner_texts()
    assert named == [titles[CELLS["labels"][row]], titles[CELLS["predicted"][row]]]
    assert ("right" in text, "wrong" in text) == (RIGHT[row], KNOWN[row] and not RIGHT[row])
    assert np.abs(np.subtract(shown.colour(shown.card), CELLS["images"][row, 0, 0])).max() <= 8
    ring = shown.one.locator(".marks .ring").bounding_box()
    assert (ring["x"], ring["y"]) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))
    shown.page.mouse.move(1, 1)
    assert not shown.card.is_visible()


def test_the_plot_is_no_empty_page(shown):
    pixels = np.asarray(Image.open(io.BytesIO(shown.stage.screenshot())).convert("RGB")).astype(int)
    for colour in LOOK["colours"]:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        # Markers let a little of what is below them through.
        assert (np.abs(pixels - wanted).max(-1) < 30).mean() > 5e-4, colour
    assert pixels.std() > 10


def test_boxes_choose_cells(shown):
    shown.only("class", ["0", "-1"])
    assert shown.drawn() == np.flatnonzero(np.isin(CELLS["labels"], (0, -1))).tolist()
    shown.only("outcome", ["right"])
    assert shown.drawn() == np.flatnonzero(RIGHT & (CELLS["labels"] == 0)).tolist()
    assert f"{(RIGHT & (CELLS['labels'] == 0)).sum()} of {COUNT} cells" in shown.status()
    # A box counts what it would show: the others that are right.
    assert shown.counted("Beta") == (RIGHT & (CELLS["labels"] == 1)).sum()
    shown.only("class", [])
    assert shown.drawn() == [] and shown.drawn(which=1) == list(range(COUNT))


def test_wrong_cells_have_a_shape_of_their_own(shown):
    shapes = shown.page.evaluate(
        "document.querySelector('.chart').data.map(d => [d.marker.symbol, d.customdata.length])"
    )
    assert len({symbol for symbol, _ in shapes}) == 3
    assert sorted(count for _, count in shapes) == sorted([RIGHT.sum(), (KNOWN & ~RIGHT).sum(), (~KNOWN).sum()])


def test_another_fold_is_another_picture(shown):
    first, curves = shown.place(0), "document.querySelector('.chart').layout.shapes[0].path"
    path = shown.page.evaluate(curves)
    shown.fold.select_option("5")
    assert shown.drawn() == list(range(COUNT, COUNT + MORE))
    assert shown.status() == f"{MORE} of {MORE} cells shown"
    assert shown.said.text_content() == f"Fold 5: {MORE} cells."
    assert shown.stage.get_attribute("aria-label") == "Scatter of cells of fold 5"
    assert shown.page.evaluate(curves) != path and "-300" in shown.page.evaluate(curves)
    # Counts are of this fold, and the whole of it lies inside the stage.
    right = OTHER["labels"] == OTHER["predicted"]
    assert shown.counted("right") == right.sum()
    assert shown.counted("Gamma") == (OTHER["labels"] == 2).sum()
    assert shown.counted("cells without t") == np.isnan(OTHER["t"]).sum()
    stage = shown.stage.bounding_box()
    for row in range(COUNT, COUNT + MORE):
        x, y = shown.place(row)
        assert 0 < x - stage["x"] < stage["width"] and 0 < y - stage["y"] < stage["height"]
    shown.page.mouse.move(*shown.place(COUNT + 33))
    assert shown.card.locator(".name").inner_text() == NAMES[COUNT + 33] and "fold 5" in shown.card.inner_text()
    assert np.abs(np.subtract(shown.colour(shown.card), OTHER["images"][33, 0, 0])).max() <= 8
    # What was chosen in one fold stays chosen in the next.
    shown.only("outcome", ["right"])
    shown.fold.select_option("2")
    assert shown.drawn() == np.flatnonzero(RIGHT).tolist() and shown.place(0) == pytest.approx(first)
    # Of a fold without images, cards have words alone; a fold stays when all else is reset.
    shown.fold.select_option("7")
    shown.one.get_by_role("button", name="Reset").click()
    assert shown.drawn() == list(range(COUNT + MORE, COUNT + MORE + 9))
    shown.page.mouse.move(*shown.place(COUNT + MORE + 4))
    assert shown.card.locator(".name").inner_text() == "last_0/cell 4.png"
    assert shown.card.locator("canvas").count() == 0
    assert shown.page.locator(".smr-explorer").last.locator("[name=fold]").count() == 0


def test_pins_stay_when_the_fold_changes(shown):
    shown.page.mouse.click(*shown.place(20))
    before = shown.colour(shown.one.locator(".tray li"))
    shown.fold.focus()
    shown.page.keyboard.press("ArrowDown")
    shown.drawn()
    assert shown.fold.evaluate("e => e === document.activeElement") and not shown.card.is_visible()
    assert shown.pinned() == [NAMES[20]] and "fold 2" in shown.one.locator(".tray li").inner_text()
    assert shown.one.locator(".marks span").count() == 0 and shown.one.locator(".tray .unseen").count() == 1
    shown.page.mouse.click(*shown.place(COUNT + 5))
    assert shown.pinned() == [NAMES[20], NAMES[COUNT + 5]]
    assert shown.one.locator(".marks .pin b").all_inner_texts() == ["2"]
    assert np.abs(np.subtract(shown.colour(shown.one.locator(".tray li").last), OTHER["images"][5, 0, 0])).max() <= 8
    assert shown.colour(shown.one.locator(".tray li").first) == before
    # Where a pinned cell of another fold would be is nothing to be shown.
    shown.one.locator(".tray li").first.hover()
    assert shown.one.locator(".marks .ring").count() == 0
    shown.fold.select_option("2")
    shown.drawn()
    assert shown.one.locator(".marks .pin b").all_inner_texts() == ["1"]
    shown.one.get_by_role("button", name=f"Remove {NAMES[COUNT + 5]}").click()
    assert shown.pinned() == [NAMES[20]] and shown.one.locator(".tray .unseen").count() == 0


def test_images_are_decoded_when_their_fold_is_chosen(browser, address, heard):
    page = listen(browser.new_page(viewport={"width": 1200, "height": 900}), heard)
    page.add_init_script("""
        window.decoded = [];
        const decode = window.createImageBitmap;
        window.createImageBitmap = (file) => { decoded.push(file.size); return decode(file); };
    """)
    shown = opened(page, address)
    sheets = "[...document.querySelectorAll('template.sheet')]"
    letters = page.evaluate(f"{sheets}.map(sheet => sheet.content.firstChild.getAttribute('src').split(',')[1])")
    sizes = [len(base64.b64decode(one)) for one in letters]
    assert len(sizes) == 2 and page.evaluate("decoded") == sizes[:1] and page.evaluate("document.images.length") == 0
    for fold in ("5", "7", "2"):
        shown.fold.select_option(fold)
        shown.drawn()
    assert page.evaluate("decoded") == [*sizes, sizes[0]]
    page.close()


def test_a_range_of_maturity(shown):
    for name, value in (("from", "0.9"), ("to", "0.3")):  # either way round
        shown.one.locator(f"[name={name}]").fill(value)
    t = CELLS["t"]
    inside = (t >= 0.3) & (t <= 0.9)
    assert shown.drawn() == np.flatnonzero(inside | np.isnan(t)).tolist()
    shown.one.get_by_label("cells without t").uncheck()
    assert shown.drawn() == np.flatnonzero(inside).tolist() and 0 < inside.sum() < COUNT


def test_a_search(shown):
    box = shown.one.get_by_label("Find by name")
    box.fill("SLIDE_2/")
    assert shown.drawn() == [i for i, name in enumerate(CELLS["names"]) if name.startswith("slide_2/")]
    box.fill("nobody")
    assert shown.drawn() == []


def test_colours(shown):
    def colours():
        shown.drawn()
        data = shown.page.evaluate("document.querySelector('.chart').data.map(d => [d.customdata, d.marker.color])")
        return {shown.row[i]: colour for own, found in data for i, colour in zip(own, found, strict=True)}

    found = colours()
    assert all(found[i] == LOOK["colours"][CELLS["labels"][i]] for i in np.flatnonzero(KNOWN))
    assert len({found[i] for i in np.flatnonzero(~KNOWN)} | set(LOOK["colours"])) == 4
    select = shown.one.get_by_label("Colour by")
    select.select_option("predicted")
    assert colours() == {i: LOOK["colours"][c] for i, c in enumerate(CELLS["predicted"])}
    assert shown.one.locator(".classes legend").inner_text() == "Predicted class"
    select.select_option("t")
    found = colours()
    order = sorted((i for i in range(COUNT) if np.isfinite(CELLS["t"][i])), key=lambda i: CELLS["t"][i])
    channels = np.array([[int(found[i][k : k + 2], 16) for k in (1, 3, 5)] for i in order])
    light = channels @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) >= 0).all() and light[-1] > light[0] + 100  # lighter all the way


def test_pins_by_mouse(shown):
    for row in (20, 33):
        shown.page.mouse.click(*shown.place(row))
    assert shown.pinned() == [CELLS["names"][20], CELLS["names"][33]]
    assert "2 pinned" in shown.said.text_content() and shown.one.locator(".marks .pin").count() == 2
    item = shown.one.locator(".tray li").last
    assert np.abs(np.subtract(shown.colour(item), CELLS["images"][33, 0, 0])).max() <= 8
    shown.one.get_by_role("button", name=f"Remove {CELLS['names'][20]}").click()
    assert shown.pinned() == [CELLS["names"][33]]
    shown.page.mouse.click(*shown.place(33))
    assert shown.pinned() == []


def test_a_drag_moves_the_plot_and_pins_nothing(shown):
    (x, y), other = shown.place(50), shown.place(51)
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x + 70, y + 40, steps=4)
    # While it moves, cells are where they are seen to be.
    pin = shown.one.locator(".marks .ring").bounding_box()
    assert (pin["x"], pin["y"]) == (pytest.approx(x + 70, abs=1), pytest.approx(y + 40, abs=1))
    shown.page.mouse.up()
    shown.page.wait_for_timeout(400)
    assert shown.place(51) == [pytest.approx(other[0] + 70, abs=1), pytest.approx(other[1] + 40, abs=1)]
    assert shown.pinned() == [] and shown.page.evaluate("document.querySelector('.chart').style.transform") == ""


def test_zoom_keeps_the_place_under_the_pointer(shown):
    (x, y), (far, _) = shown.place(97), shown.place(98)
    shown.page.mouse.move(x, y)
    shown.page.keyboard.down("Control")
    shown.page.mouse.wheel(0, -200)
    shown.page.keyboard.up("Control")
    shown.page.wait_for_timeout(400)
    assert shown.place(97) == [pytest.approx(x, abs=1), pytest.approx(y, abs=1)]
    assert shown.place(98)[0] - x > 1.5 * (far - x)
    shown.page.mouse.move(*shown.place(98))
    assert "cell 98.png" in shown.card.inner_text()


def nearest(row, direction):
    """By the definition: least distance among the cells of a quarter of the plane."""
    moves = CELLS["points"] - CELLS["points"][row]
    along = moves @ direction
    across = np.abs(moves @ np.array([direction[1], direction[0]]))
    inside = (along > 0) & (across <= along)
    return int(np.flatnonzero(inside)[np.argmin((moves**2).sum(1)[inside])]) if inside.any() else None


def test_the_keyboard_goes_from_cell_to_cell(shown):
    shown.stage.focus()
    shown.page.keyboard.press("ArrowRight")
    at = CELLS["names"].index(shown.card.locator(".name").inner_text())
    for key, direction in 3 * [
        ("ArrowUp", (0, 1)),
        ("ArrowRight", (1, 0)),
        ("ArrowDown", (0, -1)),
        ("ArrowLeft", (-1, 0)),
    ]:
        for _ in range(2):
            at = nearest(at, np.array(direction))
            shown.page.keyboard.press(key)
            assert shown.card.locator(".name").inner_text() == CELLS["names"][at]
            assert shown.said.text_content().startswith(CELLS["names"][at])
    shown.page.keyboard.press("Enter")
    assert shown.pinned() == [CELLS["names"][at]]
    shown.page.keyboard.press("Enter")
    assert shown.pinned() == []
    shown.page.keyboard.press("Escape")
    assert not shown.card.is_visible() and shown.said.text_content() == "No cell chosen."


def test_the_keyboard_reaches_cells_at_one_place_and_stops_at_the_edge(shown):
    shown.one.get_by_label("Find by name").fill("cell 208")
    shown.drawn()
    shown.stage.focus()
    shown.page.keyboard.press("ArrowRight")
    shown.one.get_by_label("Find by name").fill("")
    shown.drawn()
    shown.stage.focus()
    seen = set()
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):
        seen.add(shown.card.locator(".name").inner_text())
        shown.page.keyboard.press(key)
    assert seen == {CELLS["names"][208], HOSTILE}
    shown.page.keyboard.press("ArrowRight")
    assert shown.said.text_content() == "No cell in this direction."


def test_pins_are_taken_away_by_keyboard(shown):
    for row in (20, 33):
        shown.page.mouse.click(*shown.place(row))
    shown.one.get_by_role("button", name=f"Remove {CELLS['names'][20]}").focus()
    shown.page.keyboard.press("Enter")
    assert shown.pinned() == [CELLS["names"][33]]
    shown.page.keyboard.press("Enter")  # the next one has the focus
    assert shown.pinned() == []


def test_every_control_has_a_name_and_tab_reaches_it(shown):
    controls = shown.one.locator("input, select, button").all()
    for control in controls:
        name = control.evaluate("e => (e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || '').trim()")
        assert name or not control.is_visible(), control.evaluate("e => e.outerHTML")
    shown.one.get_by_label("Find by name").focus()
    for _ in range(2):
        shown.page.keyboard.press("Tab")
    assert shown.stage.evaluate("e => e === document.activeElement && getComputedStyle(e).outlineStyle") == "solid"


def test_names_are_text(shown):
    assert shown.one.locator("h3").inner_text() == LOOK["title"]
    assert shown.page.evaluate("window.hacked") is None
    assert "line <b>" in shown.page.locator(".chart").first.inner_text()


@pytest.fixture(scope="module")
def phone_page(browser, address, heard):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    yield opened(listen(context.new_page(), heard), address)
    context.close()


@pytest.fixture
def phone(phone_page):
    phone_page.page.evaluate("document.querySelector('.tray button').click(); document.querySelector('form').reset()")
    phone_page.page.evaluate("scrollTo(0, 0)")
    phone_page.page.wait_for_timeout(400)
    assert phone_page.pinned() == [] and not phone_page.card.is_visible()
    return phone_page


def touch(shown, *courses):
    """Fingers that go from one place to another, through the browser's own reading of gestures."""
    fingers = shown.page.context.new_cdp_session(shown.page)
    steps = [[{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)] for places in zip(*courses, strict=True)]
    for kind, points in [("touchStart", steps[0]), *[("touchMove", step) for step in steps[1:]], ("touchEnd", [])]:
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        shown.page.wait_for_timeout(20)
    shown.page.wait_for_timeout(400)


def scrolled(shown):
    return shown.page.evaluate("scrollY")


def inside(shown, row):
    """Where a cell is within the stage, wherever the page has been scrolled to."""
    x, y = shown.place(row)
    stage = shown.stage.bounding_box()
    return x - stage["x"], y - stage["y"]


def test_fingers_show_first_and_pin_then(phone):
    assert phone.page.evaluate("document.scrollingElement.scrollWidth") <= 390
    words = phone.one.locator(".help").inner_text()
    assert "Two fingers" in words and "Drag" not in words
    for row in (20, 33):
        phone.page.touchscreen.tap(*phone.place(row))
        assert phone.card.locator(".name").inner_text() == CELLS["names"][row]
        assert CELLS["names"][row] not in phone.pinned()
        phone.page.touchscreen.tap(*phone.place(row))
    assert phone.pinned() == [CELLS["names"][20], CELLS["names"][33]]
    card, stage = phone.card.bounding_box(), phone.stage.bounding_box()
    for side, size in (("x", "width"), ("y", "height")):
        assert stage[side] <= card[side] and card[side] + card[size] <= stage[side] + stage[size]


def test_no_cell_is_hidden_by_the_buttons(phone):
    phone.fold.select_option("7")
    assert len(phone.drawn()) == 9
    for row in range(COUNT + MORE, COUNT + MORE + 9):
        found = phone.page.evaluate("([x, y]) => document.elementFromPoint(x, y).className", phone.place(row))
        assert found == "stage", row
    phone.fold.select_option("2")
    phone.drawn()


@pytest.mark.parametrize("across", [0, 4])
def test_one_finger_scrolls_the_page(phone, across):
    (x, y), before = phone.place(97), inside(phone, 97)
    touch(phone, [(x + across * step, y - 20 * step) for step in range(-3, 8)])
    assert scrolled(phone) > 120
    assert inside(phone, 97) == pytest.approx(before, abs=0.5) and not phone.card.is_visible()
    # Back again, and nothing of the swipe is left: a tap is a tap.
    touch(phone, [(200, 200 + 30 * step) for step in range(15)])
    assert scrolled(phone) == 0
    phone.page.touchscreen.tap(*phone.place(33))
    assert phone.card.locator(".name").inner_text() == CELLS["names"][33]
    assert inside(phone, 97) == pytest.approx(before, abs=0.5)


def test_one_finger_that_goes_aside_moves_the_plot(phone):
    (x, y), before = phone.place(97), inside(phone, 97)
    touch(phone, [(x + 10 * step, y + 4 * step) for step in range(8)])
    # The first pixels, until a touch is known to be no tap, are made up for.
    assert inside(phone, 97) == pytest.approx((before[0] + 70, before[1] + 28), abs=1)
    assert scrolled(phone) == 0 and not phone.card.is_visible()


def test_two_fingers_zoom_the_plot(phone):
    before = {row: phone.place(row) for row in (96, 97, 98)}
    x, y = map(round, before[97])  # fingers lie on whole pixels
    touch(phone, [(x - 20 - 5 * step, y) for step in range(5)], [(x + 20 + 5 * step, y) for step in range(5)])
    # Twice as far from each other as before, and what was between them is between them still.
    for row, (right, down) in before.items():
        assert phone.place(row) == pytest.approx((x + 2 * (right - x), y + 2 * (down - y)), abs=0.1)
    assert scrolled(phone) == 0 and phone.page.evaluate("visualViewport.scale") == 1 and phone.pinned() == []


def test_two_fingers_are_kept_from_the_page(phone):
    """Chromium does not scroll by two fingers where it may by one; other browsers are asked not to."""
    kept = phone.stage.evaluate("""stage => [1, 2].map(count => {
      const touches = Array.from({ length: count }, (_, identifier) => new Touch({ identifier, target: stage }));
      return !stage.dispatchEvent(new TouchEvent("touchmove", { touches, bubbles: true, cancelable: true }));
    })""")
    assert kept == [False, True]


@pytest.mark.parametrize(("right", "down"), [(0, -10), (0, 10), (8, -6)])
def test_two_fingers_move_the_plot(phone, right, down):
    x, y = phone.place(97)
    before, ends = inside(phone, 97), phone.place(98)[0] - x
    touch(phone, *([(x + side + right * step, y + down * step) for step in range(8)] for side in (-30, 40)))
    assert inside(phone, 97) == pytest.approx((before[0] + 7 * right, before[1] + 7 * down), abs=1)
    assert phone.place(98)[0] - phone.place(97)[0] == pytest.approx(ends, abs=0.5)  # no larger, no smaller
    assert scrolled(phone) == 0 and phone.pinned() == []


def test_nothing_went_wrong_and_nothing_was_fetched(shown, address, heard):
    assert heard["errors"] == []
    assert {url for url in heard["requests"] if not url.startswith("data:")} == {address}
