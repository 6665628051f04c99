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


def fit_temperature(decisions: np.ndarray, truth: np.ndarray) -> float:
    """Temperature T with the smallest cross-entropy of softmax(decisions / T).

    One number cannot change the order of the classes (Guo et al. 2017, "On Calibration of Modern Neural
    Networks").

    Args:
        decisions: Of cells that were not trained on, Float[n, C].
        truth: Column of the true class, Int[n].

    Returns:
        Between exp(-10) and exp(10).
    """
    from scipy.optimize import minimize_scalar

    def cross_entropy(log_beta: float) -> float:
        scaled = np.exp(log_beta) * decisions
        top = scaled.max(axis=1)
        log_sum = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((log_sum - scaled[np.arange(len(truth)), truth]).mean())

    return float(np.exp(-minimize_scalar(cross_entropy, bounds=(-10, 10), method="bounded").x))


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
) -> tuple[np.ndarray, np.ndarray]:
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
        Macro-F averaged over the folds, Float[C, gamma], and the decisions of the left-out cells,
        Float[C x gamma, n, classes], NaN for cells that were never left out.
    """
    from sklearn.model_selection import StratifiedKFold

    classes, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    # sorted by class, a pair of classes is two blocks of the kernel: 15 to 20 % faster, and the same machines,
    # because libsvm groups by class itself and the order within a class stays
    order = np.argsort(index, kind="stable")
    rank = np.argsort(order)
    several = np.flatnonzero(counts[index] > 1)
    single = np.flatnonzero(counts[index] == 1)
    folds = int(min(folds, counts[counts > 1].min()))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(several, y[several])
    parts = [(np.sort(rank[np.r_[several[a], single]]), np.sort(rank[several[b]])) for a, b in splits]
    z, index = z[order], index[order]
    scores = np.zeros((folds, len(Cs), len(gammas)))
    decisions = np.full((len(Cs), len(gammas), len(y), len(classes)), np.nan)
    d2 = svm_model.squared_distances(z, z)
    kernel = np.empty_like(d2)

    def one_fold(fold: int, g: int) -> None:
        train, test = parts[fold]
        seen, unseen = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
        for c, C in enumerate(Cs):
            fitted = machine("precomputed", C, class_weight).fit(seen, index[train])
            pairs = svm_model.pair_decisions(unseen[:, fitted.support_], *svm_model.pair_arrays(fitted))
            values = svm_model.class_decisions(pairs, len(classes))
            decisions[c, g, test] = values
            scores[fold, c, g] = macro_f1(index[test], values.argmax(axis=1))

    with ThreadPoolExecutor(workers) as pool:
        for g, gamma in enumerate(gammas):
            np.exp(np.multiply(d2, -gamma, out=kernel), out=kernel)
            list(pool.map(one_fold, range(folds), [g] * folds))
    return scores.mean(axis=0), decisions[:, :, rank].reshape(-1, len(y), len(classes))
