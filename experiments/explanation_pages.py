"""Pages of test cells with what a network looked at, as BM's Figures 5 and 6: which cells, and their maps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.data import CellSet
from smrjax.evaluate import rescale
from smrjax.explain import Target, explain
from smrjax.report import explanations_figure, write_overlays
from smrjax.taxonomy import Taxonomy

#: Cells of a page: so many right ones and as many wrong ones, or twice as many of a lineage.
EACH = 5


def right_and_wrong(labels: np.ndarray, predicted: np.ndarray, seed: int) -> np.ndarray:
    """Cells for a page, right ones first: at random, but the first of every class before the second of any.

    Args:
        labels: Int[n].
        predicted: Int[n].
        seed: Says which.

    Returns:
        Positions, Int[at most 2 EACH].
    """
    right = labels == predicted
    return np.concatenate([in_turn(labels, np.flatnonzero(right == wanted), seed)[:EACH] for wanted in (True, False)])


def in_turn(labels: np.ndarray, members: np.ndarray, seed: int) -> np.ndarray:
    """Members in random order, but the first of every class before the second of any.

    Example:
        >>> labels = np.array([0, 0, 0, 1])
        >>> labels[in_turn(labels, np.arange(4), 0)].tolist() in ([0, 1, 0, 0], [1, 0, 0, 0])
        True
    """
    order = np.random.default_rng(seed).permutation(members)
    turn = np.array([np.sum(labels[order[:i]] == labels[one]) for i, one in enumerate(order)], int)
    return order[np.argsort(turn, kind="stable")]


def pages_of(
    codes: Sequence[str], taxonomy: Taxonomy, labels: np.ndarray, predicted: np.ndarray, seed: int
) -> Iterator[tuple[str, np.ndarray, str]]:
    """The pages that show what speaks for a class: one of all classes, or one for each of some.

    Args:
        codes: Of the classes with a page of their own.
        taxonomy: Of all classes.
        labels: Of the cells to choose from, Int[n].
        predicted: Int[n].
        seed: Says which cells.

    Yields:
        Name of the file without suffix, positions of the cells shown, and words for the title; no page without cells.
    """
    for code in codes or ("",):
        c = taxonomy.classes.index(code) if code else -1
        kept = np.flatnonzero(labels == c) if code else np.arange(len(labels))
        chosen = kept[right_and_wrong(labels[kept], predicted[kept], seed)]
        of = f" in cells labelled {taxonomy.titles[c]}" if code else ""
        if len(chosen):
            yield f"explained_{code}" if code else "explained", chosen, f"what speaks for the predicted class{of}"


def page(
    path: Path,
    model: Any,
    variables: Any,
    target: Target,
    cells: CellSet,
    taxonomy: Taxonomy,
    rows: np.ndarray,
    *,
    predicted: np.ndarray,
    notes: Sequence[str],
    title: str,
    stage: str,
    normalize: bool,
    by_outcome: bool,
) -> Path:
    """Draw a page, and image, heat map and overlay of every cell as files in a folder beside it.

    Args:
        path: The PNG to write.
        model: Any of `ENCODERS`.
        variables: Of the whole of it.
        target: Score of each cell; of `smrjax.explain`.
        cells: All cells.
        taxonomy: Of their classes.
        rows: The cells shown, Int[n].
        predicted: Classes of these, Int[n].
        notes: A few words to each.
        title: Says what is seen.
        stage: Name of the stage, or "" for the last with places.
        normalize: Whether embeddings have length one before the score.
        by_outcome: Right and wrong cells under headings of their own.

    Returns:
        The PNG.
    """
    images = cells.images[rows]
    maps = np.asarray(rescale(explain(model, variables, target, stage=stage or None, normalize=normalize)(images)))
    drawn = explanations_figure(
        path,
        images=images,
        maps=maps,
        labels=cells.labels[rows],
        predicted=predicted,
        class_names=taxonomy.titles,
        notes=notes,
        title=title,
        groups=None if by_outcome else {"": range(len(rows))},
    )
    write_overlays(path.with_suffix(""), names=[cells.names[i] for i in rows], images=images, maps=maps)
    return drawn
