"""What every picture shares: a sheet measured in inches, class order, colours and the atomic save.

Nothing here goes through pyplot, so no figure outlives its call. Content is laid out in inches from the top
left corner; titles grow upwards and captions downwards out of that box, and the saved page is cut to what is
on it, so no layout engine has to guess. Matplotlib is imported when a picture is drawn, not before.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smrjax.errors import InputError
from smrjax.files import beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f1f1f"
QUIET = "#6b6b6b"
FAINT = "#d9d9d9"
BOUNDARY = "#b2182b"
OTHER = "other classes"
# Wong (2011), Nature Methods 8:441: told apart with any of the common colour deficiencies.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00", "#000000")
PNG_DPI = 160
# Past this many points a vector scatter makes a file that browsers and journals choke on.
VECTOR_POINTS = 2000

STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a class name may hold a dollar sign
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "image.composite_image": False,
    "svg.fonttype": "none",  # words stay words: searchable, editable
    "svg.hashsalt": "smrjax",
}


@contextmanager
def sheet(path: str | os.PathLike[str], *, width: float, height: float, svg: bool) -> Iterator[Figure]:
    """Opens a figure of `width` x `height` inches in the house style and saves it when the block ends well.

    Args:
        path: where the PNG goes; must end in ".png". Folders are made.
        width: inches of content.
        height: inches of content.
        svg: also write the same name with ".svg".

    Raises:
        ValueError: the name does not end in ".png".
        InputError: the file cannot be written.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    if Path(path).suffix != ".png":
        raise ValueError(f"a picture's path ends in .png, not {Path(path).name!r}")
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height))
        yield figure
        _save(figure, Path(path), dpi=PNG_DPI, metadata={})
        if svg:
            _save(figure, Path(path).with_suffix(".svg"), dpi=2 * PNG_DPI, metadata={"Date": None})


def _save(figure: Figure, path: Path, *, dpi: int, metadata: dict[str, None]) -> None:
    with whole(path) as part:
        figure.savefig(part, format=path.suffix[1:], dpi=dpi, bbox_inches="tight", pad_inches=0.06, metadata=metadata)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside a picture to write it to; it takes the picture's name when the block ends well.

    Args:
        path: of the picture; folders are made.

    Raises:
        InputError: the file cannot be written.
    """
    part = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write the picture {path}: {reason}; choose another folder") from error
    finally:
        with suppress(OSError):  # gone already where all went well
            part.unlink()


def panel(figure: Figure, *, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose data area is `width` x `height` inches, `left` and `top` inches from the sheet's corner."""
    page_width, page_height = figure.get_size_inches()
    return figure.add_axes(
        (left / page_width, 1 - (top + height) / page_height, width / page_width, height / page_height)
    )


def write(figure: Figure, left: float, top: float, words: str, **style: Any) -> None:
    """Text at `left`, `top` inches from the sheet's corner; the anchor is the text's top left unless told."""
    page_width, page_height = figure.get_size_inches()
    style = {"ha": "left", "va": "top", **style}
    figure.text(left / page_width, 1 - top / page_height, words, **style)


def heading(figure: Figure, title: str, *, gap: float = 0.12) -> None:
    """The title, wrapped to the sheet, growing upwards from `gap` inches above the content."""
    columns = max(20, int(figure.get_size_inches()[0] * 11))
    write(figure, 0.0, -gap, textwrap.fill(title, columns), va="bottom", fontsize=11, fontweight="bold")


def caption(figure: Figure, words: str, *, gap: float = 0.1) -> None:
    """One quiet paragraph that grows downwards from `gap` inches below the content: how to read it."""
    width, height = figure.get_size_inches()
    write(figure, 0.0, height + gap, textwrap.fill(words, max(30, int(width * 14.5))), fontsize=8, color=QUIET)


def shorten(name: str, width: int = 30) -> str:
    """Cuts a name to `width` characters.

    >>> shorten("orthochromatic erythroblast", 16)
    'orthochromatic …'
    """
    return name if len(name) <= width else name[: width - 1] + "…"


def text_width(words: str, size: float) -> float:
    """Width of one line of text in inches, as it will be set."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not words.strip():
        return 0.0
    return float(TextPath((0, 0), words, size=size, prop=FontProperties("DejaVu Sans")).get_extents().x1) / 72


def darker(colour: str, share: float = 0.6) -> str:
    """The colour with its light scaled by `share`: the outline that keeps a pale class visible on white.

    >>> darker("#ff8000", 0.5)
    '#804000'
    """
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * share):02x}" for i in (1, 3, 5))


def check_classes(
    class_names: Sequence[str],
    colours: Sequence[str],
    lineages: Mapping[str, Sequence[int]],
    labels: np.ndarray | None = None,
) -> None:
    """Raises ValueError where names, colours, lineages and labels do not speak of the same classes."""
    count = len(class_names)
    if len(colours) != count:
        raise ValueError(f"{len(colours)} colours for {count} classes")
    members = [c for members in lineages.values() for c in members]
    if len(set(members)) != len(members) or not set(members) <= set(range(count)):
        raise ValueError(f"lineages must name each of the classes 0 to {count - 1} at most once: {members}")
    if labels is not None and labels.size and not 0 <= labels.min() <= labels.max() < count:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, but there are {count} classes")


def class_groups(count: int, lineages: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Every class once: the lineages in maturity order, then the classes outside them.

    >>> class_groups(5, {"red": [3, 1]})
    {'red': [3, 1], 'other classes': [0, 2, 4]}
    """
    groups = {name: list(members) for name, members in lineages.items() if len(members)}
    inside = {c for members in groups.values() for c in members}
    rest = [c for c in range(count) if c not in inside]
    if rest:
        groups[OTHER if groups else "classes"] = rest
    return groups


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b of the pairs in which both are finite; NaN where one side does not vary."""
    from scipy.stats import kendalltau

    seen = np.isfinite(x) & np.isfinite(y)
    x, y = x[seen], y[seen]
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(kendalltau(x, y).statistic)


def number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number for print; a dash where there is none.

    >>> number(0.1234), number(float("nan")), number(-0.5, 1, sign=True), number(-0.01, 1, sign=True)
    ('0.12', '–', '−0.5', '0.0')
    """
    if not np.isfinite(value):
        return "–"
    value = round(value, digits) + 0.0  # adding zero turns -0.0, which would print a sign, into 0.0
    return f"{value:{'+' if sign and value else ''}.{digits}f}".replace("-", "−")


def power(value: float) -> str:
    """A power of ten for an axis, without the mathematics that the house style switches off; "" for other numbers.

    >>> power(1e-3), power(1.0), power(2e5)
    ('10⁻³', '1', '')
    """
    exponent = round(float(np.log10(value)))
    if not np.isclose(value, 10.0**exponent):
        return ""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")) if exponent else "1"
