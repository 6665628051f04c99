"""Another laboratory's colours: the images of each slide or folder brought to those that a run has learnt from."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np

from smrjax.data.listing import Picture
from smrjax.data.reading import read_images
from smrjax.data.stain import StainStatistics, normalise_stain, stain_statistics, statistics_of
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
        return statistics_of(read_json(run / "stain.json"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run}/stain.json: holds no colours ({error}); take it away, and --resume the run") from None


def samples(pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Of every slide or folder, the `SAMPLE` images, or as many as there are, that tell its colours."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    return {group: [own[i] for i in _spread(len(own))] for group, own in groups.items()}


def group_stains(
    pictures: Sequence[Picture],
    *,
    size: int,
    batch: int,
    kept: Path | None = None,
    on_images: Callable[[int], object] = lambda count: None,
) -> dict[str, StainStatistics]:
    """Colours of every slide or folder, from `samples` of its images; a group without a readable one is left out.

    Args:
        pictures: All images.
        size: Pixels a side.
        batch: Images at a time.
        kept: File of the groups that are done, also where ``on_images`` raises, from which a later call goes on.
        on_images: Called with the number of images done since the last call.

    Raises:
        InputError: if the file is damaged, or cannot be written.
    """
    found = _read_kept(kept) if kept and kept.exists() else {}
    try:
        for group, some in samples(pictures).items():
            if group in found:
                on_images(len(some))
            else:
                found[group] = _stain_of([picture.path for picture in some], size, batch, on_images)
    finally:
        if kept:
            write_json(kept, {group: stain and asdict(stain) for group, stain in found.items()})
    return {group: stain for group, stain in found.items() if stain is not None}


def _stain_of(
    paths: Sequence[str], size: int, batch: int, on_images: Callable[[int], object]
) -> StainStatistics | None:
    """Of image files; None where none can be read."""
    parts = []
    # Closed at once where the caller stops: its threads would read on.
    with closing(read_images(paths, size=size, batch=min(batch, len(paths)))) as batches:
        for images, words in batches:
            parts.append(images[: len(words)][[not word for word in words]])
            on_images(len(words))
    readable = np.concatenate(parts)
    return stain_statistics(readable) if len(readable) else None


def _read_kept(path: Path) -> dict[str, StainStatistics | None]:
    try:
        return {group: stain and statistics_of(stain) for group, stain in read_json(path).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: holds no colours of slides ({error}); take it away, and they are read anew"
        ) from None


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
