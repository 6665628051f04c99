"""Cell classes, which of them follow one another in maturity, and their colours."""

import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import InputError

BUNDLED = ("marrow15", "pbc", "marrow21")
_FOLDER = Path(__file__).parent / "taxonomies"

# In OKLCH: hues of the lineages (each from light to dark with maturity), hues and lightness of other classes.
_LINEAGE_HUES = (265, 45, 160, 340, 100, 215)
_OTHER_HUES = (165, 345, 120, 15, 0, 330, 90, 15, 135, 120, 300, 45, 135, 180, 165, 105)
_OTHER_LIGHTNESS = (0.70, 0.64, 0.82, 0.46, 0.82, 0.46, 0.76, 0.58, 0.58, 0.46, 0.30, 0.70, 0.92, 0.92, 0.52, 0.64)


@dataclass(frozen=True)
class Lineage:
    """Classes in the order of maturation.

    Attributes:
        name: Of the lineage.
        classes: Codes, youngest first.
    """

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Cell classes and the lineages among them.

    Attributes:
        name: Of the taxonomy.
        classes: Codes, in the order of the labels.
        lineages: No class is in two of them.
        colours: ``#rrggbb``, one a class.
        titles: Long names, one a class.
        artefacts: Codes of classes that are no cells of the blood: artefacts, debris.

    Raises:
        InputError: when made with parts that contradict each other.
    """

    name: str
    classes: tuple[str, ...]
    lineages: tuple[Lineage, ...]
    colours: tuple[str, ...]
    titles: tuple[str, ...]
    artefacts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = _repeated(self.classes)
        if twice:
            raise InputError(f"taxonomy {self.name}: class {twice} is listed twice; list it once")
        if not len(self.classes) == len(self.colours) == len(self.titles):
            raise InputError(f"taxonomy {self.name}: every class needs one colour and one title")
        for colour in self.colours:
            if len(colour) != 7 or colour[0] != "#" or not set(colour[1:].lower()) <= set("0123456789abcdef"):
                raise InputError(f"taxonomy {self.name}: colour {colour!r} is not of the form #rrggbb")
        check_lineages(self.lineages, self.classes)

    def lineage_index(self) -> np.ndarray:
        """Position of each class's lineage in ``lineages``, -1 where it has none: Int32[C]."""
        place = {code: i for i, line in enumerate(self.lineages) for code in line.classes}
        return np.array([place.get(code, -1) for code in self.classes], np.int32)

    def stage(self) -> np.ndarray:
        """Position of each class within its lineage, 0 the youngest, -1 where it has none: Int32[C]."""
        place = {code: i for line in self.lineages for i, code in enumerate(line.classes)}
        return np.array([place.get(code, -1) for code in self.classes], np.int32)


def check_lineages(lineages: Sequence[Lineage], classes: Sequence[str]) -> None:
    """Make sure that lineages and classes fit together.

    Args:
        lineages: To be checked.
        classes: Codes that there are.

    Raises:
        InputError: for an empty lineage, a name given twice, a class that does not exist or is listed twice.
    """
    names = [line.name for line in lineages]
    if twice := _repeated(names):
        raise InputError(f"lineage {twice} is given twice; give each its own name")
    home: dict[str, str] = {}
    for line in lineages:
        if not line.name or not line.classes:
            raise InputError(f"lineage {line.name!r} needs a name and at least one class: NAME=YOUNGEST,...,OLDEST")
        for code in line.classes:
            if code not in classes:
                raise InputError(f"lineage {line.name}: there is no class {code}; there are {', '.join(classes)}")
            if code in home:
                where = "twice in it" if home[code] == line.name else f"in lineage {home[code]} too"
                raise InputError(f"lineage {line.name}: class {code} is {where}; a class has one place")
            home[code] = line.name


def parse_lineages(texts: Sequence[str]) -> tuple[Lineage, ...]:
    """Lineages as they are written on a command line.

    Args:
        texts: One ``NAME=YOUNGEST,...,OLDEST`` a lineage.

    Raises:
        InputError: for a text of another form.

    Example:
        >>> parse_lineages(["neutrophil=PMY,MY,MMY"])
        (Lineage(name='neutrophil', classes=('PMY', 'MY', 'MMY')),)
    """
    lineages = []
    for text in texts:
        name, equals, codes = text.partition("=")
        classes = tuple(code.strip() for code in codes.split(","))
        if not equals or not name.strip() or not all(classes):
            raise InputError(f"--lineages {text!r}: write NAME=YOUNGEST,...,OLDEST, as in neutrophil=PMY,MY,MMY")
        lineages.append(Lineage(name.strip(), classes))
    return tuple(lineages)


def to_json(taxonomy: Taxonomy) -> dict[str, Any]:
    """A taxonomy as plain JSON values, for folders that are to be read without the files it came from."""
    return asdict(taxonomy)


def from_json(stored: Any) -> Taxonomy:
    """The inverse of `to_json`.

    Raises:
        InputError: if it is not a taxonomy.
    """
    try:
        lines = [Lineage(str(line["name"]), tuple(line["classes"])) for line in stored["lineages"]]
        rest = {name: tuple(stored[name]) for name in ("classes", "colours", "titles", "artefacts")}
        return Taxonomy(name=str(stored["name"]), lineages=tuple(lines), **rest)
    except (KeyError, TypeError) as error:
        raise InputError(f"a stored taxonomy lacks {error}, or is none; it is of another version") from None


def load_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """A taxonomy that comes with the library, or one from a file.

    Args:
        name_or_path: One of `BUNDLED`, or a TOML file with ``name``, one ``[[classes]]`` (code, optional
            title and colour, ``artefact = true`` for what is no blood cell) a class and one ``[[lineages]]`` (name,
            classes youngest first) a lineage.

    Raises:
        InputError: if there is no such file, or it is not a taxonomy.

    Example:
        >>> load_taxonomy("pbc").stage().tolist()
        [0, 1, 2, 3, 4, -1, -1, -1, -1, -1]
    """
    path = Path(name_or_path)
    if str(name_or_path) in BUNDLED:
        path = _FOLDER / f"{name_or_path}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"taxonomy {name_or_path}: cannot be read ({error.strerror}); give {', '.join(BUNDLED)} or a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"taxonomy {path}: is not TOML ({error}); see {_FOLDER / 'pbc.toml'}") from None
    try:
        codes = tuple(str(entry["code"]) for entry in table["classes"])
        lineages = tuple(
            Lineage(str(entry["name"]), tuple(map(str, entry["classes"]))) for entry in table.get("lineages", [])
        )
        titles = tuple(str(entry.get("title", entry["code"])) for entry in table["classes"])
        given = [entry.get("colour") for entry in table["classes"]]
        artefacts = tuple(str(entry["code"]) for entry in table["classes"] if entry.get("artefact", False))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"taxonomy {path}: {error} is missing or out of place; see {_FOLDER / 'pbc.toml'}") from None
    try:
        check_lineages(lineages, codes)
        made = default_colours(codes, lineages)
        colours = tuple(str(own or other) for own, other in zip(given, made, strict=True))
        return Taxonomy(str(table.get("name", path.stem)), codes, lineages, colours, titles, artefacts)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def for_classes(
    classes: Sequence[str],
    lineages: Sequence[Lineage] | None = None,
    *,
    own: Taxonomy | None = None,
    name: str = "cells",
) -> Taxonomy:
    """A taxonomy for classes in a given order, as a folder of images has them.

    If one of `BUNDLED` knows all these codes, its titles, colours and lineages (of the classes that are
    here) serve; of several, the one of the name given, or the first, with a warning where they mean different cells.
    Otherwise titles are codes, colours are made, and there are no lineages but those given.

    Args:
        classes: Codes in the order of the labels.
        lineages: Replace the ones known, if not empty.
        own: A taxonomy that knows all these codes, instead of `BUNDLED`.
        name: Of the data; of the new taxonomy, too, where none of `BUNDLED` fits.

    Raises:
        InputError: for lineages that do not fit the classes, or a class that `own` does not know.

    Example:
        >>> taxonomy = for_classes(["blue", "red"], parse_lineages(["ripe=red,blue"]))
        >>> taxonomy.stage().tolist()
        [1, 0]
    """
    classes = tuple(classes)
    chosen = tuple(lineages or ())
    titles = classes
    artefacts: tuple[str, ...] = ()
    colours = None
    unknown = sorted(set(classes) - set(own.classes)) if own else []
    if own and unknown:
        raise InputError(f"taxonomy {own.name}: does not know the class {unknown[0]} of the data; add it there")
    known = own or _bundled(classes, name)
    if classes and known:
        place = [known.classes.index(code) for code in classes]
        name, titles = known.name, tuple(known.titles[i] for i in place)
        artefacts = tuple(code for code in classes if code in known.artefacts)
        if not chosen:
            here = [Lineage(line.name, tuple(c for c in line.classes if c in classes)) for line in known.lineages]
            chosen = tuple(line for line in here if line.classes)
            colours = tuple(known.colours[i] for i in place)
    check_lineages(chosen, classes)
    return Taxonomy(name, classes, chosen, colours or default_colours(classes, chosen), titles, artefacts)


def _bundled(classes: Sequence[str], name: str) -> Taxonomy | None:
    """The one of `BUNDLED` that knows all these classes."""
    fits = [known for known in map(load_taxonomy, BUNDLED) if set(classes) <= set(known.classes)]
    for known in fits:
        if known.name == name:
            return known
    for other in fits[1:]:
        for code in classes:
            if (first := fits[0].titles[fits[0].classes.index(code)]) != other.titles[other.classes.index(code)]:
                warnings.warn(
                    f"class {code} is taken for {first.lower()}, as in taxonomy {fits[0].name}; "
                    f"if it is what {other.name} calls so, say --taxonomy {other.name}",
                    stacklevel=3,
                )
                return fits[0]
    return fits[0] if fits else None


def default_colours(classes: Sequence[str], lineages: Sequence[Lineage]) -> tuple[str, ...]:
    """Colours for any classes: a lineage is one hue from light (young) to dark (ripe), the others differ.

    Lightness, which every kind of colour vision sees, tells stages apart; hues of lineages and of the first
    sixteen other classes are chosen so that they stay apart without red and green cones too.

    Args:
        classes: Codes.
        lineages: Among them.

    Returns:
        ``#rrggbb`` for each class.
    """
    colour = {}
    for i, line in enumerate(lineages):
        for stage, code in enumerate(line.classes):
            share = stage / max(len(line.classes) - 1, 1)
            # Chroma bends down at both ends, where the screen has little of it.
            colour[code] = _from_oklch(0.88 - 0.53 * share, 0.08 + 0.24 * share * (1 - share), _LINEAGE_HUES[i % 6])
    others = [code for code in classes if code not in colour]
    for i, code in enumerate(others):
        # A second and third round of the sixteen takes hues in between.
        colour[code] = _from_oklch(_OTHER_LIGHTNESS[i % 16], 0.14, _OTHER_HUES[i % 16] + 137 * (i // 16))
    return tuple(colour[code] for code in classes)


def _from_oklch(lightness: float, chroma: float, hue: float) -> str:
    """#rrggbb of a colour in OKLCH (Ottosson 2020), with as much of its chroma as a screen has."""
    angle = np.deg2rad(hue)
    to_lms = np.array([[0.3963377774, 0.2158037573], [-0.1055613458, -0.0638541728], [-0.0894841775, -1.2914855480]])
    to_red, to_green, to_blue = (
        np.array([4.0767416621, -3.3077115913, 0.2309699292]),
        np.array([-1.2684380046, 2.6097574011, -0.3413193965]),
        np.array([-0.0041960863, -0.7034186147, 1.7076147010]),
    )
    direction = chroma * (to_lms @ [np.cos(angle), np.sin(angle)])
    linear = np.zeros(3)
    for less in np.linspace(1, 0, 41):
        lms = (lightness + less * direction) ** 3
        linear = np.array([to_red @ lms, to_green @ lms, to_blue @ lms])
        if linear.min() >= -1e-4 and linear.max() <= 1 + 1e-4:
            break
    linear = np.clip(linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * value):02x}" for value in rgb.tolist())


def _repeated(values: Sequence[str]) -> str | None:
    """The first value that is there twice, if any."""
    return next((value for i, value in enumerate(values) if value in values[:i]), None)
