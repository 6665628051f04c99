"""A taxonomy as JSON, in folders that are to be read without the files it came from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from smrjax.errors import InputError
from smrjax.files import read_json
from smrjax.taxonomy.lineages import Lineage
from smrjax.taxonomy.ratios import Ratio
from smrjax.taxonomy.taxonomy import Taxonomy


def to_json(taxonomy: Taxonomy) -> dict[str, Any]:
    """A taxonomy as plain JSON values."""
    return asdict(taxonomy)


def from_json(stored: Any) -> Taxonomy:
    """The inverse of `to_json`, before or after a file.

    Raises:
        InputError: if it is not a taxonomy.
    """
    try:
        return Taxonomy(
            name=str(stored["name"]),
            lineages=tuple(Lineage(str(line["name"]), _words(line["classes"])) for line in stored["lineages"]),
            ratios=tuple(
                Ratio(str(one["name"]), _words(one["over"]), _words(one["under"])) for one in stored["ratios"]
            ),
            **{name: _words(stored[name]) for name in ("classes", "colours", "titles", "artefacts")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a stored taxonomy lacks {error}, or is none; it is of another version") from None


def _words(stored: Any) -> tuple[str, ...]:
    if not isinstance(stored, list | tuple) or not all(isinstance(word, str) for word in stored):
        raise TypeError(f"words where it has {str(stored)[:40]!r}")
    return tuple(stored)


def read_taxonomy(path: Path) -> Taxonomy:
    """What was written of `to_json`.

    Raises:
        InputError: if the file is missing or damaged, with its name.
    """
    stored = read_json(path)
    try:
        return from_json(stored)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
