"""Nested cross-validation of classical classifiers: search on the inner folds, one look at the outer one (OOTB, 4)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.kinds import read_kind
from experiments.outcome import Judged, write_outcome
from smrjax.classical.search import best_of, classifier, draw, try_sets
from smrjax.errors import InputError
from smrjax.evaluate import m_score
from smrjax.files import write_json
from smrjax.train.loop import Interrupted


def inner_parts(inner: np.ndarray, copies: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every inner fold the rows to train on, copies and all, and the rows to judge on, which are no copies.

    Args:
        inner: Inner fold of each cell, Int[n].
        copies: Augmented copies; rows are the n cells, then the n first copies, and so on.

    Example:
        >>> [(a.tolist(), b.tolist()) for a, b in inner_parts(np.array([0, 1]), 1)]
        [([1, 3], [0]), ([0, 2], [1])]
    """
    every = np.tile(inner, 1 + copies)
    return [(np.flatnonzero(every != k), np.flatnonzero(inner == k)) for k in range(int(inner.max()) + 1)]


def seed_of(seed: int, fold: int) -> int:
    """A seed for the search of an outer fold, one that NumPy's and scikit-learn's old generators take."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def read_tried(path: Path, drawn: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of the sets drawn with their scores, as they were tried before; none where there is no file.

    Raises:
        InputError: if the file is damaged, or holds other sets.
    """
    if not path.exists():
        return []
    tried: list[dict[str, Any]] = read_kind(path, [{"params": dict, "score": float}])
    if [one["params"] for one in tried] != json.loads(json.dumps(drawn[: len(tried)])):
        raise InputError(f"{path}: holds other sets of hyper-parameters than this run tries; take it away to try anew")
    return tried


def search_fold(
    folder: Path,
    name: str,
    described: Sequence[np.ndarray],
    judged: Judged,
    fold: int,
    *,
    sets: int,
    together: int,
    seed: int,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> None:
    """Search one classifier's hyper-parameters on the inner folds, fit the best set to all of them, test it once.

    ``search.json`` grows with every few sets, so that none is tried twice; ``result.json`` ends the fold.

    Args:
        folder: Of this classifier, descriptor and fold.
        name: Of the classifier, in `smrjax.classical.search.CLASSIFIERS`.
        described: Descriptors of all cells and of each round of copies, Float[N, d].
        judged: Labels, folds and how to score.
        fold: Which outer fold is tested.
        sets: Of hyper-parameters to try.
        together: Try so many at a time.
        seed: Of the run.
        bar: Moves on by one a set; those that were tried before are taken off its total.
        should_stop: Asked between sets.

    Raises:
        Interrupted: if it said so; what was tried is on disk.
        InputError: if what was tried before is damaged.
    """
    inner = judged.nested[fold]
    known, test = np.flatnonzero(inner >= 0), np.flatnonzero(inner < 0)
    x = np.concatenate([values[known] for values in described])
    y = np.tile(judged.cells.labels[known], len(described))
    parts = inner_parts(inner[known], len(described) - 1)
    drawn = draw(name, sets, seed=seed_of(seed, fold))
    folder.mkdir(parents=True, exist_ok=True)
    tried = read_tried(folder / "search.json", drawn)
    bar.total -= len(tried)
    while len(tried) < sets:
        if should_stop():
            raise Interrupted
        some = drawn[len(tried) : len(tried) + together]
        tried += try_sets(x, y, parts, name, some, score=m_score, seed=seed)
        write_json(folder / "search.json", tried)
        bar.update(len(some))
    best = best_of(tried)
    predicted = classifier(name, best["params"], seed=seed).fit(x, y).predict(np.asarray(described[0][test]))
    about: dict[str, Any] = {"params": best["params"], "inner_m_score": best["score"], "sets": sets}
    write_outcome(folder, judged, fold, predicted, about)
