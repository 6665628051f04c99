"""RBF support vector machine on embeddings: C and gamma from a grid within the training part."""

import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import InputError
from smrjax.evaluate import svm_model
from smrjax.evaluate.coupling import fit_sigmoids
from smrjax.evaluate.svm_grid import GRID, Grid, gamma_unit, left_out, machine, search, thin
from smrjax.evaluate.svm_model import BROKEN, SVMModel
from smrjax.files import atomic, check_inflated


@dataclass(frozen=True)
class SVMResult:
    """A fitted machine.

    Attributes:
        C: Chosen or given.
        gamma: Chosen or given, absolute.
        cv_score: Mean macro-F of the best pair over the folds of the grid; None where there was no grid.
        estimator: scikit-learn's ``SVC``, or ``DummyClassifier`` where there is one class only; None from
            `fit_svm_at`, which keeps the arrays alone.
        model: The same machine as arrays; predictions come from it.
    """

    C: float
    gamma: float
    cv_score: float | None
    estimator: Any
    model: SVMModel

    def decision(self, z: np.ndarray) -> np.ndarray:
        """Decision values, Float64[n, classes seen]; the highest is the prediction."""
        return svm_model.decision(self.model, z)

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Labels, Int[n]."""
        return svm_model.predict(self.model, z)

    def probabilities(self, z: np.ndarray, *, n_classes: int | None = None) -> np.ndarray:
        """Probabilities whose highest is the prediction; see `svm_model.probabilities`."""
        return svm_model.probabilities(self.model, z, n_classes=n_classes)


def fit_svm_at(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    C: float,
    gamma: float,
    class_weight: str | None = "balanced",
) -> SVMResult:
    """Fit at a given pair, as the monitor does between two grids; its probabilities are not calibrated.

    Args:
        embeddings: Float[n, D].
        labels: Int[n].
        C: See `Grid`.
        gamma: Absolute, as in `SVMResult`.
        class_weight: "balanced": C of a class is divided by its share; None: one C for all.

    Raises:
        ValueError: on arrays of the wrong shape, no cells, or embeddings that are not finite.
    """
    z, y = _checked(embeddings, labels)
    if len(np.unique(y)) == 1:
        return SVMResult(C, gamma, None, None, svm_model.constant_model(int(y[0]), z.shape[1]))
    if len(z) > GRID.max_cells:  # the kernel would not fit into memory
        fitted = machine("rbf", C, class_weight, gamma=gamma).fit(z, y)
    else:  # half the time of the RBF kernel of libsvm, which computes each entry by itself
        order = np.argsort(y, kind="stable")
        z, y = z[order], y[order]
        fitted = machine("precomputed", C, class_weight).fit(svm_model.rbf_kernel(z, z, gamma=gamma), y)
    return SVMResult(C, gamma, None, None, svm_model.from_estimator(fitted, z[fitted.support_], gamma=gamma))


def fit_svm(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    grid: Grid = GRID,
    folds: int = 5,
    seed: int = 0,
    class_weight: str | None = "balanced",
    workers: int = 2,
) -> SVMResult:
    """Choose C and gamma by cross-validated macro-F, then fit on all given cells.

    The choice is that of scikit-learn's ``GridSearchCV`` over ``SVC`` with ``StratifiedKFold(folds,
    shuffle=True, random_state=seed)``; of equal pairs, the smaller C, then the smaller gamma. Distances are
    computed once, kernels once a gamma. The decisions of the left-out cells at the best pair calibrate the
    probabilities.

    Args:
        embeddings: Of the training part alone, Float[n, D].
        labels: Int[n].
        grid: Pairs to try.
        folds: Lowered to the size of the smallest class where that has fewer cells. Classes of a single
            cell take part in every training fold and are never left out. Where every class has one cell,
            there is nothing to validate on: the middle of the grid is taken.
        seed: Of the folds, and of thinning.
        class_weight: "balanced" or None.
        workers: Folds at work at the same time.

    Raises:
        ValueError: on arrays of the wrong shape, no cells, or embeddings that are not finite.
    """
    z, y = _checked(embeddings, labels)
    unit = gamma_unit(z)
    gammas = tuple(unit * factor for factor in grid.gamma)
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) == 1 or counts.max() == 1:
        C, gamma = grid.C[len(grid.C) // 2], gammas[len(gammas) // 2]
        return _final(z, y, C, gamma, None, class_weight)
    rows = thin(y, grid.max_cells, folds, seed)
    scores = search(z[rows], y[rows], grid.C, gammas, folds, seed, class_weight, workers)
    # the order is C first, then gamma; sums in another order differ by less than this
    best = int(np.flatnonzero(scores.ravel() >= scores.max() - 1e-12)[0])
    C, gamma = grid.C[best // len(gammas)], gammas[best % len(gammas)]
    pairs = left_out(z[rows], y[rows], C, gamma, folds, seed, class_weight, workers)
    asked = np.isfinite(pairs).all(axis=1)
    truth = np.unique(y, return_inverse=True)[1][rows]
    slope, offset = fit_sigmoids(pairs[asked], truth[asked], len(counts))
    return _final(z, y, C, gamma, float(scores.ravel()[best]), class_weight, slope, offset)


def calibrate(result: SVMResult, embeddings: np.ndarray, labels: np.ndarray) -> SVMResult:
    """The same machine with its probabilities fitted on other cells (`coupling.fit_sigmoids`); predictions stay.

    The cells on which the network was trained are often told apart without an error, folds or not, and the
    probabilities from `fit_svm` are then too sure. The validation fold knows better.

    Args:
        result: The machine.
        embeddings: Of cells that neither the network nor the machine was fitted to, Float[n, D].
        labels: Int[n]; cells of classes that the machine does not know are left out. Where none are left, the
            probabilities stay.
    """
    z, y = _checked(embeddings, labels)
    model = result.model
    known = np.isin(y, model.classes)
    if len(model.classes) == 1 or not known.any():
        return result
    pairs, truth = svm_model.decide_pairs(model, z[known]), np.searchsorted(model.classes, y[known])
    slope, offset = fit_sigmoids(pairs, truth, len(model.classes))
    return replace(result, model=replace(model, slope=slope, offset=offset))


def save_svm(stem: str | Path, result: SVMResult) -> tuple[Path, Path]:
    """Write ``stem.skops`` (the estimator) and ``stem.npz`` (arrays, enough for numpy to predict).

    Where skops is not installed, a warning says so and the arrays alone are written.

    Returns:
        The two paths.

    Raises:
        ValueError: for a result of `fit_svm_at`, which has no estimator.
    """
    if result.estimator is None:
        raise ValueError("fit_svm_at gives arrays alone; save what fit_svm gives")

    skops, plain = Path(f"{stem}.skops"), Path(f"{stem}.npz")
    try:
        from skops.io import dump
    except ImportError:
        warnings.warn(f"without skops {skops} is not written; {plain} holds the same machine", stacklevel=2)
    else:
        with atomic(skops) as part:
            dump(result.estimator, part)
    with atomic(plain) as part:
        np.savez(part, C=result.C, **vars(result.model))
    return skops, plain


def load_svm(stem: str | Path) -> SVMModel:
    """Read what `save_svm` wrote, from the plain arrays.

    Raises:
        InputError: where the file is absent or does not hold a machine.
    """
    return svm_model.load_model(Path(f"{stem}.npz"))


def load_estimator(path: str | Path) -> Any:
    """Read a ``.skops`` file; refuse types beyond those that scikit-learn's estimators are made of.

    Raises:
        InputError: where the file is absent, is no skops file, or holds other types.
    """
    from skops.io import get_untrusted_types, load

    try:
        with zipfile.ZipFile(path) as archive:
            check_inflated(archive)
        unknown = get_untrusted_types(file=Path(path))
        if unknown:
            raise InputError(f"{path} holds types that are not trusted ({', '.join(unknown)}); do not load it")
        return load(Path(path), trusted=[])
    except BROKEN as error:
        raise InputError(f"cannot read {path} as a skops file ({error}); save it again") from error


def _final(
    z: np.ndarray,
    y: np.ndarray,
    C: float,
    gamma: float,
    cv_score: float | None,
    class_weight: str | None,
    slope: np.ndarray | None = None,
    offset: np.ndarray | None = None,
) -> SVMResult:
    if len(np.unique(y)) == 1:
        from sklearn.dummy import DummyClassifier

        constant = DummyClassifier(strategy="most_frequent").fit(z, y)
        return SVMResult(C, gamma, cv_score, constant, svm_model.constant_model(int(y[0]), z.shape[1]))
    fitted = machine("rbf", C, class_weight, gamma=gamma).fit(z, y)
    model = svm_model.from_estimator(fitted, z[fitted.support_], gamma=gamma, slope=slope, offset=offset)
    return SVMResult(C, gamma, cv_score, fitted, model)


def _checked(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, y = np.asarray(embeddings, np.float64), np.asarray(labels)
    if z.ndim != 2 or y.shape != z.shape[:1] or not len(y) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"embeddings {z.shape} and labels {y.shape} {y.dtype}: expected Float[n, D], Int[n], n > 0")
    if not np.isfinite(z).all():
        raise ValueError("some embeddings are not finite")
    return z, y
