"""Taxonomies from TOML files: those that come with the library, and anyone's own."""

import tomllib
import warnings
from collections.abc import Sequence
from pathlib import Path

from smrjax.errors import InputError
from smrjax.files import read_text
from smrjax.taxonomy.colours import default_colours
from smrjax.taxonomy.lineages import Lineage, check_lineages
from smrjax.taxonomy.ratios import Ratio, left_ratios
from smrjax.taxonomy.taxonomy import Taxonomy

BUNDLED = ("marrow15", "pbc", "marrow21")
_FOLDER = Path(__file__).parents[1] / "taxonomies"


def load_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """A taxonomy that comes with the library, or one from a file.

    Args:
        name_or_path: One of `BUNDLED`, or a TOML file with ``name``, one ``[[classes]]`` (code, optional
            title and colour, ``artefact = true`` for what is no blood cell) a class, one ``[[lineages]]`` (name,
            classes youngest first) a lineage, and one ``[[ratios]]`` (name, codes ``over`` and ``under`` the line) a
            ratio that differential counts are to give.

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
        table = tomllib.loads(read_text(path))
    except OSError as error:
        raise InputError(
            f"taxonomy {name_or_path}: cannot be read ({error.strerror}); give {', '.join(BUNDLED)} or a TOML file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"taxonomy {path}: is not TOML ({error}); see {_FOLDER / 'pbc.toml'}") from None
    try:
        codes = tuple(str(entry["code"]) for entry in table["classes"])
        lineages = tuple(
            Lineage(str(entry["name"]), tuple(map(str, entry["classes"]))) for entry in table.get("lineages", [])
        )
        ratios = tuple(
            Ratio(str(entry["name"]), *(tuple(map(str, entry[side])) for side in ("over", "under")))
            for entry in table.get("ratios", [])
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
        return Taxonomy(str(table.get("name", path.stem)), codes, lineages, colours, titles, artefacts, ratios)
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

    If one of `BUNDLED` knows all these codes, its titles, colours, lineages and ratios (of the classes that are
    here) serve; of several, the one of the name given, or the first, with a warning where they mean different cells.
    Otherwise titles are codes, colours are made, and there are no ratios, and no lineages but those given.

    Args:
        classes: Codes in the order of the labels.
        lineages: Replace the ones known, if not empty.
        own: A taxonomy that knows all these codes, instead of `BUNDLED`.
        name: Of the data; of the new taxonomy, too, where none of `BUNDLED` fits.

    Raises:
        InputError: for lineages that do not fit the classes, or a class that `own` does not know.

    Example:
        >>> taxonomy = for_classes(["blue", "red"], [Lineage("ripe", ("red", "blue"))])
        >>> taxonomy.stage().tolist()
        [1, 0]
    """
    classes = tuple(classes)
    chosen = tuple(lineages or ())
    titles = classes
    artefacts: tuple[str, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    colours = None
    unknown = sorted(set(classes) - set(own.classes)) if own else []
    if own and unknown:
        raise InputError(f"taxonomy {own.name}: does not know the class {unknown[0]} of the data; add it there")
    known = own or _bundled(classes, name)
    if classes and known:
        place = [known.classes.index(code) for code in classes]
        name, titles = known.name, tuple(known.titles[i] for i in place)
        artefacts = tuple(code for code in classes if code in known.artefacts)
        ratios = left_ratios(known.ratios, classes)
        if not chosen:
            here = [Lineage(line.name, tuple(c for c in line.classes if c in classes)) for line in known.lineages]
            chosen = tuple(line for line in here if line.classes)
            colours = tuple(known.colours[i] for i in place)
    check_lineages(chosen, classes)
    return Taxonomy(name, classes, chosen, colours or default_colours(classes, chosen), titles, artefacts, ratios)


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
