"""Ratios that a differential count is asked for: cells of some classes to cells of others."""

from collections.abc import Sequence
from dataclasses import dataclass

from smrjax.errors import InputError
from smrjax.taxonomy.lineages import repeated


@dataclass(frozen=True)
class Ratio:
    """Cells of some classes to cells of others.

    Attributes:
        name: As it is read out: "myeloid : erythroid".
        over: Codes of the classes above the line.
        under: Codes of the classes below it.
    """

    name: str
    over: tuple[str, ...]
    under: tuple[str, ...]


def check_ratios(ratios: Sequence[Ratio], classes: Sequence[str]) -> None:
    """Make sure that ratios and classes fit together.

    Args:
        ratios: To be checked.
        classes: Codes that there are.

    Raises:
        InputError: for a name that is missing or given twice, a side without classes, a class that does not exist, or
            one that is listed twice, on one side or on both.
    """
    if twice := repeated([one.name for one in ratios]):
        raise InputError(f"ratio {twice} is given twice; give each its own name")
    for one in ratios:
        if not one.name or not one.over or not one.under:
            raise InputError(f"ratio {one.name!r} needs a name and at least one class over and under the line")
        for code in (*one.over, *one.under):
            if code not in classes:
                raise InputError(f"ratio {one.name}: there is no class {code}; there are {', '.join(classes)}")
        if double := repeated((*one.over, *one.under)):
            raise InputError(
                f"ratio {one.name}: class {double} is listed twice; a class is over or under the line, once"
            )


def left_ratios(ratios: Sequence[Ratio], classes: Sequence[str]) -> tuple[Ratio, ...]:
    """Ratios as far as some classes allow.

    A side is what is left of it, as with cells of which there were none to be seen; a ratio of which one side has lost
    all its classes is dropped. So what is called myeloid depends on the classes there are: show the codes beside it.

    Args:
        ratios: Of all classes.
        classes: Codes of those that are left.

    Example:
        >>> left_ratios([Ratio("m : e", ("SNE", "EOS"), ("OCE",)), Ratio("l : e", ("LYM",), ("OCE",))], ["OCE", "SNE"])
        (Ratio(name='m : e', over=('SNE',), under=('OCE',)),)
    """
    here = [Ratio(r.name, *(tuple(c for c in side if c in classes) for side in (r.over, r.under))) for r in ratios]
    return tuple(one for one in here if one.over and one.under)
