"""Cross-validation splits: stratified, and by slide or patient wherever such an id exists."""

import warnings
from collections.abc import Sequence

import numpy as np

from smrjax.errors import InputError


def make_folds(
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    given: np.ndarray | None = None,
    n_folds: int = 6,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> np.ndarray:
    """The fold of each cell: every class is spread evenly, and no slide or patient is in two folds.

    Args:
        labels: Int[N].
        groups: Int[N], slide or patient of each cell; None where unknown.
        given: Int[N], folds that the data prescribe; they win over ``n_folds`` and are renumbered from 0.
        n_folds: At least 3: one to test, one to validate, the rest to train.
        seed: Of the shuffling.
        classes: Names for messages.

    Returns:
        Int32[N], 0 to n_folds - 1.

    Raises:
        InputError: for fewer than 3 folds, fewer cells in a class or fewer groups than folds, or given
            folds that tear a group apart.

    Example:
        >>> make_folds(np.array([0, 0, 0, 1, 1, 1]), n_folds=3).reshape(2, 3).sum(1).tolist()
        [3, 3]
    """
    labels = np.asarray(labels)
    if given is not None:
        values, fold_of = np.unique(given, return_inverse=True)
        n_folds = len(values)
    if n_folds < 3:
        raise InputError(f"{n_folds} folds are too few: one tests, one validates, the rest train; use 3 or more")
    if given is None:
        counts = {int(c): int(k) for c, k in zip(*np.unique(labels, return_counts=True), strict=True)}
        short = [f"{_name(c, classes)} ({k})" for c, k in counts.items() if k < n_folds]
        if short or not counts:
            raise InputError(
                f"fewer cells than folds ({n_folds}) in class {', '.join(short) or '(none at all)'}: "
                "add cells, leave the class out, or use fewer folds"
            )
        if groups is None:
            from sklearn.model_selection import StratifiedKFold

            splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
            fold_of = _from_splits(splitter.split(labels, labels), len(labels))
        else:
            fold_of = _grouped(labels, np.asarray(groups), n_folds, seed)
    if groups is not None:
        check_groups(fold_of, groups)
    _warn_about_gaps(fold_of, labels, n_folds, classes)
    return fold_of.astype(np.int32)


def check_groups(fold_of: np.ndarray, groups: np.ndarray) -> None:
    """Make sure that no slide or patient leaks from one fold into another.

    Args:
        fold_of: Int[N].
        groups: Int[N].

    Raises:
        InputError: naming a group that is in two folds.
    """
    pairs = np.unique(np.stack([groups, fold_of]), axis=1)
    torn, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        group = torn[counts > 1][0]
        folds = ", ".join(str(f) for f in pairs[1][pairs[0] == group])
        raise InputError(
            f"{(counts > 1).sum()} slides or patients are in more than one fold (number {group} in {folds}): "
            "scores would be too good; give each one fold, or leave the fold column out"
        )


def split(fold_of: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of fold k's training, validation and test parts: test k, validation k + 1, training the rest.

    Args:
        fold_of: Int[N], of `make_folds`.
        k: 0 to n_folds - 1.

    Returns:
        Three Int[·], in ascending order.

    Example:
        >>> [rows.tolist() for rows in split(np.array([0, 1, 2, 3, 0]), 3)]
        [[1, 2], [0, 4], [3]]
    """
    n_folds = int(fold_of.max()) + 1
    if not 0 <= k < n_folds:
        raise InputError(f"fold {k}: there are folds 0 to {n_folds - 1}")
    test, validation = fold_of == k, fold_of == (k + 1) % n_folds
    return np.flatnonzero(~test & ~validation), np.flatnonzero(validation), np.flatnonzero(test)


def nested_folds(
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    given: np.ndarray | None = None,
    n_folds: int = 3,
    inner_folds: int = 6,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> np.ndarray:
    """Folds within folds (OOTB, section 4): an outer fold tests what was chosen by the inner folds of all others.

    Args:
        labels: Int[N].
        groups: See `make_folds`; no slide or patient is torn apart by outer or inner folds.
        given: See `make_folds`; they are the outer folds.
        n_folds: Outer folds.
        inner_folds: Inner folds.
        seed: Of the shuffling.
        classes: Names for messages.

    Returns:
        Int32[outer folds, N]: the inner fold of each cell while an outer fold is tested, -1 for the cells tested.

    Raises:
        InputError: as `make_folds`, of the outer or the inner folds.

    Example:
        >>> nested_folds(np.zeros(9, int), inner_folds=3).shape
        (3, 9)
    """
    labels = np.asarray(labels)
    outer = make_folds(labels, groups=groups, given=given, n_folds=n_folds, seed=seed, classes=classes)
    nested = np.full((int(outer.max()) + 1, len(labels)), -1, np.int32)
    for k, row in enumerate(nested):
        rest = np.flatnonzero(outer != k)
        inside = None if groups is None else np.asarray(groups)[rest]
        try:
            row[rest] = make_folds(labels[rest], groups=inside, n_folds=inner_folds, seed=seed, classes=classes)
        except InputError as error:
            raise InputError(f"inner folds while fold {k} is tested: {error}") from None
    return nested


def _grouped(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InputError(
            f"{n_groups} slides or patients are too few for {n_folds} folds: use fewer folds, or more slides"
        )
    best = None
    # A class of fewer groups than folds is missing in some, however it is split.
    _, groups_of = np.unique(np.unique(np.stack([labels, groups]), axis=1)[0], return_counts=True)
    unavoidable = np.maximum(n_folds - groups_of, 0).sum()
    # The greedy splitter can leave a class out of a fold, or a fold small, where another order of the
    # groups would not; the first of the fewest gaps is taken.
    for attempt in range(20):
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=(seed + 7919 * attempt) % 2**32)
        with warnings.catch_warnings():
            # About classes in fewer groups than folds; told below, with names.
            warnings.simplefilter("ignore")
            fold_of = _from_splits(splitter.split(labels, labels, groups), len(labels))
        gaps = (_table(fold_of, labels, n_folds) == 0).sum()
        if best is None or gaps < best[0]:
            best = gaps, fold_of
        if gaps == unavoidable:
            break
    assert best is not None
    return best[1]


def _from_splits(splits, n: int) -> np.ndarray:
    fold_of = np.full(n, -1)
    for k, (_, test) in enumerate(splits):
        fold_of[test] = k
    return fold_of


def _table(fold_of: np.ndarray, labels: np.ndarray, n_folds: int) -> np.ndarray:
    """Cells of each fold (rows) in each class that there is (columns)."""
    _, column = np.unique(labels, return_inverse=True)
    table = np.zeros((n_folds, column.max() + 1), int)
    np.add.at(table, (fold_of, column), 1)
    return table


def _warn_about_gaps(fold_of: np.ndarray, labels: np.ndarray, n_folds: int, classes: Sequence[str] | None) -> None:
    missing = (_table(fold_of, labels, n_folds) == 0).sum(axis=0)
    gaps = [f"{_name(c, classes)} ({k} of {n_folds})" for c, k in zip(np.unique(labels), missing, strict=True) if k]
    if gaps:
        warnings.warn(
            f"classes without a cell in some folds: {', '.join(gaps)}; their scores there are undefined, "
            "so use fewer folds or more slides if you can",
            stacklevel=3,
        )


def _name(c: int, classes: Sequence[str] | None) -> str:
    return classes[int(c)] if classes is not None else str(c)
