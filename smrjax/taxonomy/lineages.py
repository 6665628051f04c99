"""Lineages: which classes follow one another in maturity."""

from collections.abc import Sequence
from dataclasses import dataclass

from smrjax.errors import InputError


@dataclass(frozen=True)
class Lineage:
    """Classes in the order of maturation.

    Attributes:
        name: Of the lineage.
        classes: Codes, youngest first.
    """

    name: str
    classes: tuple[str, ...]


def check_lineages(lineages: Sequence[Lineage], classes: Sequence[str]) -> None:
    """Make sure that lineages and classes fit together.

    Args:
        lineages: To be checked.
        classes: Codes that there are.

    Raises:
        InputError: for an empty lineage, a name given twice, a class that does not exist or is listed twice.
    """
    names = [line.name for line in lineages]
    if twice := repeated(names):
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


def repeated(values: Sequence[str]) -> str | None:
    """The first value that is there twice, if any."""
    return next((value for i, value in enumerate(values) if value in values[:i]), None)
