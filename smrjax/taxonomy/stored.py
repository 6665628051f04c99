"""A taxonomy as JSON, in folders that are to be read without the files it came from."""

from dataclasses import asdict
from typing import Any

from smrjax.errors import InputError
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
            lineages=tuple(Lineage(line["name"], tuple(line["classes"])) for line in stored["lineages"]),
            ratios=tuple(Ratio(one["name"], tuple(one["over"]), tuple(one["under"])) for one in stored["ratios"]),
            **{name: tuple(stored[name]) for name in ("classes", "colours", "titles", "artefacts")},
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"a stored taxonomy lacks {error}, or is none; it is of another version") from None
