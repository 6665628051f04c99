"""The parts of a page: what is escaped, how large pictures are, and the odd inputs."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from smrjax.report.figures import panel, sheet
from smrjax.report.page import Html, Section, dot, facts, figure, listing, page, table, words

BAD = "<script>alert('x')</script> & \"more\""
GOOD = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;more&quot;"


@pytest.fixture
def drawing(tmp_path):
    with sheet(tmp_path / "d.png", width=3.0, height=1.5, svg=True) as one:
        panel(one, left=0.0, top=0.0, width=3.0, height=1.5).plot([0, 1])
    return tmp_path / "d.png"


def test_every_part_escapes_its_words(drawing):
    parts = [
        words(BAD),
        listing([BAD]),
        facts([(BAD, BAD)]),
        table([BAD, "n"], [[BAD, "1"]], caption=BAD),
        table(["a"], [[dot("#ff0000", BAD)]], caption=""),
        figure(drawing, alt=BAD, caption=BAD),
    ]
    whole = page(BAD, sections=[Section(BAD, parts)])
    assert "<script>" not in whole
    assert whole.count("&lt;script&gt;") >= 12
    assert words(BAD) == f"<p>{GOOD}</p>"
    assert f'alt="{GOOD}"' in parts[-1]


def test_html_passes_and_sections_without_parts_do_not():
    whole = page(
        "t", sections=[Section("First", [words("a")]), Section("Gone", []), Section("Last", [Html("<hr>")], False)]
    )
    assert "Gone" not in whole and "<hr>" in whole
    assert '<a href="#s2">Last</a>' in whole and '<section id="s2" class="screen">' in whole


def test_tables_set_numbers_to_the_right():
    made = table(["Class", "Code", "F1"], [["a", "b", "0.5"], ["c", "d", "0.6"]], caption="F1", numbers=2, strong=[1])
    assert '<th scope="row">a</th><td>b</td><td class="n">0.5</td>' in made
    assert '<tr class="strong"><th scope="row">c</th>' in made
    with pytest.raises(ValueError, match="other than 2 cells"):
        table(["a", "b"], [["1"]], caption="t")


def test_pictures_keep_their_size_in_inches(drawing):
    """3 inches and a margin for ticks: as SVG, as PNG, and as what a large PNG is packed into."""
    svg = figure(drawing, alt="a line")
    assert "data:image/svg+xml;base64," in svg
    drawing.with_suffix(".svg").unlink()
    png = figure(drawing, alt="a line")
    assert "data:image/png;base64," in png
    for made in (svg, png):
        across = int(made.split('width="')[1].split('"')[0])
        assert 3.0 * 96 < across < 3.6 * 96
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    Image.fromarray(noise).save(drawing)
    packed = figure(drawing, alt="noise")
    assert 'width="384" height="288"' in packed  # 640 and 480 pixels at 160 an inch, 96 on a page
    data = base64.b64decode(packed.split("base64,")[1].split('"')[0])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "WEBP" and image.size == (640, 480)
        assert len(data) < drawing.stat().st_size


@pytest.mark.parametrize("width, scrolls", [(4.0, False), (6.5, True)])
def test_a_picture_that_fits_on_every_screen_is_no_stop_of_the_keyboard(width, scrolls, tmp_path):
    """On a phone 320 pixels wide, 288 are for the picture, which shrinks to 62 % of its 96 pixels an inch."""
    with sheet(tmp_path / "d.png", width=width, height=1.5, svg=False) as one:
        panel(one, left=0.0, top=0.0, width=width, height=1.5).plot([0, 1])
    made = figure(tmp_path / "d.png", alt=f"A line: {BAD}")
    assert ('tabindex="0" role="region" aria-label="A line"' in made) == scrolls == ("tabindex" in made)
    assert 'aria-label="&lt;script&gt;alert' in table(["a"], [["1"]], caption=BAD)
    assert 'aria-label="Table"' in table(["a"], [["1"]], caption="")
