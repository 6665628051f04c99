"""Another laboratory's colours: the images of each slide or folder brought to those that a run has learnt from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from smrjax.data.listing import Picture
from smrjax.data.reading import read_images
from smrjax.data.stain import StainStatistics, normalise_stain, stain_statistics
from smrjax.errors import InputError
from smrjax.files import read_json, write_json

#: Images of a set, evenly spread over it, that tell its colours.
SAMPLE = 256


def write_stain(path: Path, images: np.ndarray, rows: np.ndarray | None = None) -> None:
    """Keep the colours of the cells that a run learnt from, as JSON.

    New images alone are brought to them; no score of the run depends on them.

    Args:
        path: Of the file.
        images: UInt8[N, S, S, 3].
        rows: Of which of them, Int[n]; of all if None.
    """
    rows = np.arange(len(images)) if rows is None else rows
    write_json(path, asdict(stain_statistics(images[rows[_spread(len(rows))]])))


def read_stain(run: Path) -> StainStatistics | None:
    """The colours of a run's cells; None where the run did not keep them.

    Raises:
        InputError: if the file is damaged.
    """
    if not (run / "stain.json").exists():
        return None
    try:
        stored = read_json(run / "stain.json")
        return StainStatistics(tuple(stored["mean"]), tuple(stored["deviation"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{run}/stain.json: lacks {error}; --resume the run") from None


def group_stains(pictures: Sequence[Picture], *, size: int, batch: int) -> dict[str, StainStatistics]:
    """Colours of every slide or folder, from `SAMPLE` of its images; a group without a readable one is left out.

    Args:
        pictures: All images.
        size: Pixels a side.
        batch: Images at a time.
    """
    rows: dict[str, list[int]] = {}
    for row, picture in enumerate(pictures):
        rows.setdefault(picture.group, []).append(row)
    found = {}
    for group, own in rows.items():
        paths = [pictures[own[i]].path for i in _spread(len(own))]
        parts = [
            images[: len(words)][[not word for word in words]]
            for images, words in read_images(paths, size=size, batch=min(batch, len(paths)))
        ]
        readable = np.concatenate(parts)
        if len(readable):
            found[group] = stain_statistics(readable)
    return found


def recolour(
    pictures: Sequence[Picture], stains: Mapping[str, StainStatistics], reference: StainStatistics
) -> Callable[[np.ndarray, int], np.ndarray]:
    """A function that brings a batch of images to the colours of a reference, each from those of its own group.

    Args:
        pictures: All images.
        stains: From `group_stains`, of these.
        reference: Of the run's cells.

    Returns:
        ``f(images UInt8[B, S, S, 3], start) -> images`` for the batch whose first image is ``pictures[start]``.
    """

    def recoloured(images: np.ndarray, start: int) -> np.ndarray:
        groups = [picture.group for picture in pictures[start : start + len(images)]]
        out = images.copy()
        for group in dict.fromkeys(groups):
            if group in stains:
                rows = [i for i, one in enumerate(groups) if one == group]
                out[rows] = normalise_stain(images[rows], stains[group], reference)
        return out

    return recoloured


def _spread(count: int) -> np.ndarray:
    """At most `SAMPLE` of so many rows, evenly spread, ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int))
