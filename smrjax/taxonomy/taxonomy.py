"""Cell classes, which of them follow one another in maturity, and their colours."""

from dataclasses import dataclass

import numpy as np

from smrjax.errors import InputError
from smrjax.taxonomy.lineages import Lineage, check_lineages, repeated
from smrjax.taxonomy.ratios import Ratio, check_ratios


@dataclass(frozen=True)
class Taxonomy:
    """Cell classes, the lineages among them, and ratios of which a count is asked.

    Attributes:
        name: Of the taxonomy.
        classes: Codes, in the order of the labels.
        lineages: No class is in two of them.
        colours: ``#rrggbb``, one a class.
        titles: Long names, one a class.
        artefacts: Codes of classes that are no cells of the blood: artefacts, debris.
        ratios: Of groups of classes, as myeloid to erythroid.

    Raises:
        InputError: when made with parts that contradict each other.
    """

    name: str
    classes: tuple[str, ...]
    lineages: tuple[Lineage, ...]
    colours: tuple[str, ...]
    titles: tuple[str, ...]
    artefacts: tuple[str, ...] = ()
    ratios: tuple[Ratio, ...] = ()

    def __post_init__(self) -> None:
        for word in (self.name, *self.classes, *self.titles, *(line.name for line in self.lineages)):
            if not isinstance(word, str) or "\0" in word or not _writable(word):
                raise InputError(f"taxonomy {str(self.name)!r}: {word!r} is no name; give it letters of any script")
        twice = repeated(self.classes)
        if twice:
            raise InputError(f"taxonomy {self.name}: class {twice} is listed twice; list it once")
        if not len(self.classes) == len(self.colours) == len(self.titles):
            raise InputError(f"taxonomy {self.name}: every class needs one colour and one title")
        for colour in self.colours:
            if (
                not isinstance(colour, str)
                or len(colour) != 7
                or colour[0] != "#"
                or not set(colour[1:].lower()) <= set("0123456789abcdef")
            ):
                raise InputError(f"taxonomy {self.name}: colour {colour!r} is not of the form #rrggbb")
        check_lineages(self.lineages, self.classes)
        check_ratios(self.ratios, self.classes)

    def lineage_index(self) -> np.ndarray:
        """Position of each class's lineage in ``lineages``, -1 where it has none: Int32[C]."""
        place = {code: i for i, line in enumerate(self.lineages) for code in line.classes}
        return np.array([place.get(code, -1) for code in self.classes], np.int32)

    def stage(self) -> np.ndarray:
        """Position of each class within its lineage, 0 the youngest, -1 where it has none: Int32[C]."""
        place = {code: i for line in self.lineages for i, code in enumerate(line.classes)}
        return np.array([place.get(code, -1) for code in self.classes], np.int32)


def _writable(word: str) -> bool:
    """Whether files in UTF-8 can hold a word: JSON may bring half a character."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
