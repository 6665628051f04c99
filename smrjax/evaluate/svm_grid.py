"""Choice of C and gamma: cross-validation with distances computed once and one kernel a gamma."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from smrjax.evaluate import svm_model
from smrjax.evaluate.scores import macro_f1


@dataclass(frozen=True)
class Grid:
    """Pairs to try, both ascending.

    Attributes:
        C: Price of a cell on the wrong side.
        gamma: In units of 1 / (total variance of the training embeddings), so that one grid serves unit
            vectors, raw features and embeddings that shrink in training. For features of a common mean this
            unit is scikit-learn's "scale"; unlike that, it does not change when all embeddings move by a
            constant.
        max_cells: More cells than this are thinned for the grid (never for the final fit): each class in
            proportion, but at least as many as there are folds. The kernel takes 8 max_cells^2 bytes, a
            fold as much again.
    """

    C: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    gamma: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    max_cells: int = 6000


GRID = Grid()


def gamma_unit(embeddings: np.ndarray) -> float:
    """1 / (sum of the variances of all dimensions); 1 where all embeddings are the same.

    >>> gamma_unit(np.array([[0.0, 0.0], [2.0, 0.0]]))
    1.0
    """
    total = float(np.var(np.asarray(embeddings, np.float64), axis=0).sum())
    return 1 / total if total > 0 else 1.0


def machine(kernel: str, C: float, class_weight: str | None, **kernel_arguments: float) -> Any:
    """An ``SVC`` that is not fitted yet, with the options that all machines here share."""
    from sklearn.svm import SVC

    # break_ties: classes with equal votes are told apart by their decision values, as in the probabilities
    return SVC(C=C, kernel=kernel, class_weight=class_weight, break_ties=True, **kernel_arguments)


def thin(labels: np.ndarray, limit: int, least: int, seed: int) -> np.ndarray:
    """Rows of about ``limit`` cells, ascending: each class in proportion, but at least ``least`` cells."""
    if len(labels) <= limit:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    share = limit / len(labels)
    members = (np.flatnonzero(labels == label) for label in np.unique(labels))
    kept = [rng.permutation(m)[: max(round(share * len(m)), least)] for m in members]
    return np.sort(np.concatenate(kept))


def search(
    z: np.ndarray,
    y: np.ndarray,
    Cs: tuple[float, ...],
    gammas: tuple[float, ...],
    folds: int,
    seed: int,
    class_weight: str | None,
    workers: int,
) -> np.ndarray:
    """Score every pair on left-out cells.

    Args:
        z: Float64[n, D].
        y: Int[n], of two classes or more, one of which has two cells or more.
        Cs: See `Grid`.
        gammas: Absolute.
        folds: At most this many.
        seed: Of the folds.
        class_weight: "balanced" or None.
        workers: Threads; libsvm runs outside the interpreter's lock.

    Returns:
        Macro-F averaged over the folds, Float[C, gamma].
    """
    order, parts = _parts(y, folds, seed)
    z, index = z[order], np.unique(y, return_inverse=True)[1][order]
    scores = np.zeros((len(parts), len(Cs), len(gammas)))
    d2 = svm_model.squared_distances(z, z)
    kernel = np.empty_like(d2)

    def one_fold(fold: int, g: int) -> None:
        train, test = parts[fold]
        seen, unseen = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
        for c, C in enumerate(Cs):
            values = svm_model.class_decisions(_fit_and_ask(seen, unseen, index[train], C, class_weight), index[-1] + 1)
            scores[fold, c, g] = macro_f1(index[test], values.argmax(axis=1))

    with ThreadPoolExecutor(workers) as pool:
        for g, gamma in enumerate(gammas):
            np.exp(np.multiply(d2, -gamma, out=kernel), out=kernel)
            list(pool.map(one_fold, range(len(parts)), [g] * len(parts)))
    return scores.mean(axis=0)


def left_out(
    z: np.ndarray, y: np.ndarray, C: float, gamma: float, folds: int, seed: int, class_weight: str | None, workers: int
) -> np.ndarray:
    """What the machines of the folds at one pair say of the cells that they were not fitted to.

    Args:
        z: See `search`, as all others.
        y: See `search`.
        C: Chosen.
        gamma: Chosen, absolute.
        folds: See `search`.
        seed: See `search`.
        class_weight: See `search`.
        workers: See `search`.

    Returns:
        Decision value of every pair of classes, Float[n, classes (classes - 1) / 2]; NaN for cells that were never left
        out.
    """
    order, parts = _parts(y, folds, seed)
    z, index = z[order], np.unique(y, return_inverse=True)[1][order]
    kernel = svm_model.rbf_kernel(z, z, gamma=gamma)
    n_classes = int(index[-1]) + 1
    decisions = np.full((len(y), n_classes * (n_classes - 1) // 2), np.nan)

    def one_fold(part: tuple[np.ndarray, np.ndarray]) -> None:
        train, test = part
        seen, unseen = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
        decisions[order[test]] = _fit_and_ask(seen, unseen, index[train], C, class_weight)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one_fold, parts))
    return decisions


def _parts(y: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The order of cells by class, and of each fold the places in it to fit to and to leave out, ascending."""
    from sklearn.model_selection import StratifiedKFold

    index, counts = np.unique(y, return_inverse=True, return_counts=True)[1:]
    # sorted by class, a pair of classes is two blocks of the kernel: 15 to 20 % faster, and the same machines,
    # because libsvm groups by class itself and the order within a class stays
    order = np.argsort(index, kind="stable")
    rank = np.argsort(order)
    several = np.flatnonzero(counts[index] > 1)
    single = np.flatnonzero(counts[index] == 1)
    folds = int(min(folds, counts[counts > 1].min()))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(several, y[several])
    return order, [(np.sort(rank[np.r_[several[a], single]]), np.sort(rank[several[b]])) for a, b in splits]


def _fit_and_ask(
    seen: np.ndarray, unseen: np.ndarray, index: np.ndarray, C: float, class_weight: str | None
) -> np.ndarray:
    """Decisions of pairs, of cells with one kernel row each, by a machine fitted to others."""
    fitted = machine("precomputed", C, class_weight).fit(seen, index)
    return svm_model.pair_decisions(unseen[:, fitted.support_], *svm_model.pair_arrays(fitted))
