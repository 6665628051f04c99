"""A report as one HTML file: sections of words, tables and figures, all of it within the file.

Names of classes, runs and cells come from strangers: every word is escaped where it enters the page, and only what
these functions return is `Html`. Nothing is fetched: one stylesheet, the system's fonts, figures as data.
"""

from __future__ import annotations

import base64
import io
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from xml.etree import ElementTree

from smrjax.report.figures import PNG_DPI

#: A drawing of more bytes than this is shown as pixels: browsers are slow with it.
HEAVIEST_SVG = 250_000
#: A PNG of more bytes is packed smaller: sheets of cells, mostly.
HEAVIEST_PNG = 300_000
DOTS = 96  # CSS pixels an inch
#: On narrow screens a picture shrinks to this share of its width and no further (`--least` of the stylesheet); the box
#: of one that then fits on the narrowest never scrolls, and is no stop for the tabulator key.
LEAST, NARROWEST = 0.62, 288
#: Characters of the name of a box that scrolls.
LONGEST_NAME = 80


class Html(str):
    """Words that are HTML already and are not escaped again."""


@dataclass(frozen=True)
class Section:
    """A chapter of the page.

    Attributes:
        title: Its heading, also in the table of contents.
        parts: What it holds, in order.
        printed: False for what only works on a screen.
    """

    title: str
    parts: Sequence[Html]
    printed: bool = True


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<header>
<h1>$title</h1>
$opening
</header>
<nav aria-label="Contents">
<h2>Contents</h2>
<ol>
$contents
</ol>
</nav>
<main>
$sections
</main>
<footer>
$closing
</footer>
$scripts
</body>
</html>
""")


def page(
    title: str,
    *,
    sections: Sequence[Section],
    opening: Sequence[Html] = (),
    closing: Sequence[Html] = (),
    scripts: Sequence[Html] = (),
) -> Html:
    """The whole page.

    Args:
        title: Heading, and name of the browser's tab.
        sections: Chapters, in order; those without parts are left out.
        opening: Below the title.
        closing: The last lines.
        scripts: What the sections need to work; last, so that the page is read before they are.
    """
    shown = [section for section in sections if section.parts]
    contents, bodies = [], []
    for i, section in enumerate(shown, start=1):
        kind = "" if section.printed else ' class="screen"'
        heading = escape(section.title)
        contents.append(f'<li{kind}><a href="#s{i}">{heading}</a></li>')
        bodies.append(f'<section id="s{i}"{kind}>\n<h2>{heading}</h2>\n' + "\n".join(section.parts) + "\n</section>")
    return Html(
        _PAGE.substitute(
            title=escape(title),
            style=(Path(__file__).parent / "web" / "page.css").read_text(encoding="utf-8"),
            opening="\n".join(opening),
            contents="\n".join(contents),
            sections="\n".join(bodies),
            closing="\n".join(closing),
            scripts="\n".join(scripts),
        )
    )


def words(text: str, kind: str = "") -> Html:
    """A paragraph; ``kind`` is a class of the stylesheet: lead, note, notice.

    >>> words("myelocytes < bands")
    '<p>myelocytes &lt; bands</p>'
    """
    return Html(f"<p{_kind(kind)}>{text_of(text)}</p>")


def subtitle(text: str) -> Html:
    """A heading within a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def listing(items: Sequence[str]) -> Html:
    """Sentences as a list."""
    return Html("<ul>\n" + "\n".join(f"<li>{text_of(item)}</li>" for item in items) + "\n</ul>")


def facts(pairs: Sequence[tuple[str, str]]) -> Html:
    """Names with what they stand for."""
    rows = "\n".join(f"<dt>{text_of(name)}</dt><dd>{text_of(value)}</dd>" for name, value in pairs)
    return Html(f"<dl>\n{rows}\n</dl>")


def code(text: str) -> Html:
    """Words as they are typed."""
    return Html(f"<code>{escape(text)}</code>")


def dot(colour: str, name: str) -> Html:
    """A name with the colour of its class before it, on the same line as its first word; ``colour`` is #rrggbb."""
    first, space, rest = name.partition(" ")
    mark = f'<span class="dot" style="background:{escape(colour)}"></span>'
    return Html(f'<span class="whole">{mark}{escape(first)}</span>{space}{escape(rest)}')


def whole(text: str) -> Html:
    """Words within which no line is broken, not even at a hyphen."""
    return Html(f'<span class="whole">{escape(text)}</span>')


def text_of(value: str) -> str:
    """The value for a place between tags: escaped unless it is `Html`.

    >>> text_of("a & b"), text_of(Html("a &amp; b"))
    ('a &amp; b', 'a &amp; b')
    """
    return value if isinstance(value, Html) else escape(value)


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    numbers: int = 1,
    strong: Sequence[int] = (),
) -> Html:
    """A table in a box of its own, which scrolls where the screen is narrow.

    Args:
        heads: Of the columns.
        rows: Cells; the first of a row is its heading.
        caption: What it shows.
        numbers: From this column on, cells are set as numbers, to the right; from the second unless told.
        strong: Rows that stand out: sums, means.

    Raises:
        ValueError: for a row that is longer or shorter than the heads.
    """
    if any(len(row) != len(heads) for row in rows):
        raise ValueError(f"a row of the table {caption!r} has other than {len(heads)} cells")

    def line(cells: Sequence[str], tag: str) -> str:
        out = []
        for i, cell in enumerate(cells):
            number = ' class="n"' if i >= numbers else ""
            scope = ' scope="col"' if tag == "th" else ' scope="row"' if i == 0 else ""
            name = tag if i else "th"
            out.append(f"<{name}{scope}{number}>{text_of(cell)}</{name}>")
        return "".join(out)

    body = "\n".join(
        f"<tr{_kind('strong' if i in strong else '')}>{line(row, 'td')}</tr>" for i, row in enumerate(rows)
    )
    # The words stay outside of the box that scrolls, where a phone can break them.
    return Html(
        f'<figure class="table">\n<figcaption>{escape(caption)}</figcaption>\n<div class="scroll"{_scrolls(caption)}>\n'
        f"<table>\n<thead><tr>{line(heads, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n</figure>"
    )


def figure(path: str | os.PathLike[str], *, alt: str, caption: str = "") -> Html:
    """A picture within the page: its SVG where that is light, else its PNG, or of a large one its pixels as WebP.

    Args:
        path: Of the PNG; an SVG may lie beside it.
        alt: What it shows, for those who do not see it.
        caption: Below it.
    """
    png = Path(path)
    svg = png.with_suffix(".svg")
    light = svg.exists() and svg.stat().st_size <= HEAVIEST_SVG
    content = svg.read_bytes() if light else png.read_bytes()
    across, down = _svg_size(content) if light else _png_size(content)
    kind = "svg+xml" if light else "png"
    if len(content) > HEAVIEST_PNG:
        kind, content = "webp", _webp(png)
    data = base64.b64encode(content).decode()
    shown = (
        f'<img src="data:image/{kind};base64,{data}" alt="{escape(alt, quote=True)}" '
        f'width="{across}" height="{down}" style="--w:{across}px;--least:{LEAST}">'
    )
    below = f"\n<figcaption>{text_of(caption)}</figcaption>" if caption else ""
    box = _scrolls(alt) if LEAST * across > NARROWEST else ""
    return Html(f'<figure>\n<div class="picture"{box}>{shown}</div>{below}\n</figure>')


def _scrolls(text: str) -> str:
    """What a box needs that may scroll: the keyboard reaches it, and it is announced by the first words of a text.

    >>> _scrolls("Class by class: mean over folds. And more.")
    ' tabindex="0" role="region" aria-label="Class by class"'
    """
    name = re.split(r"[.:;] ", text, maxsplit=1)[0].rstrip(".:; ")
    if len(name) > LONGEST_NAME:
        name = name[:LONGEST_NAME].rsplit(" ", 1)[0] + " …"
    return f' tabindex="0" role="region" aria-label="{escape(name, quote=True) or "Table"}"'


def _svg_size(content: bytes) -> tuple[int, int]:
    """CSS pixels of a drawing whose size is in points."""
    root = ElementTree.fromstring(content)
    across, down = (float(root.get(side, "0pt").removesuffix("pt")) for side in ("width", "height"))
    return round(across / 72 * DOTS), round(down / 72 * DOTS)


def _png_size(content: bytes) -> tuple[int, int]:
    """CSS pixels of a picture that was saved at `PNG_DPI`."""
    across, down = struct.unpack(">II", content[16:24])
    return round(across / PNG_DPI * DOTS), round(down / PNG_DPI * DOTS)


def _webp(png: Path) -> bytes:
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").save(packed, "webp", quality=88)
    return packed.getvalue()


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
