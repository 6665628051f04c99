"""A trained RBF support vector machine as arrays: decisions, classes and probabilities in numpy alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.errors import DAMAGED, InputError
from smrjax.evaluate.coupling import couple, sigmoid
from smrjax.files import check_inflated

#: What reading a file that is absent, cut short or of another kind may raise.
BROKEN = (OSError, *DAMAGED)

#: Cells whose kernel rows are in memory at a time.
CHUNK = 4096


@dataclass(frozen=True)
class SVMModel:
    """One machine for each pair of classes; S support vectors, C classes, D dimensions.

    Attributes:
        classes: Labels seen in training, ascending, Int[C].
        support_vectors: Float64[S, D], in the order of ``classes``.
        n_support: Support vectors of each class, Int[C].
        dual_coef: Float64[C-1, S]. Column s of class i holds its weights against the other classes, in
            their order.
        intercept: Float64[C(C-1)/2], pairs in the order (0,1), (0,2), ..., (1,2), ...
        gamma: Of the kernel exp(-gamma |x-y|^2).
        slope: Of each pair's sigmoid from decision value to probability, Float64[C(C-1)/2], above zero.
        offset: Of the same, Float64[C(C-1)/2]; see `coupling.fit_sigmoids`.
    """

    classes: np.ndarray
    support_vectors: np.ndarray
    n_support: np.ndarray
    dual_coef: np.ndarray
    intercept: np.ndarray
    gamma: float
    slope: np.ndarray
    offset: np.ndarray


def pair_arrays(estimator: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``dual_coef``, ``n_support`` and ``intercept`` of a fitted ``SVC``, signs as in `SVMModel`."""
    # scikit-learn turns a two-class machine round; here the first class of a pair is always the positive one
    sign = -1.0 if len(estimator.classes_) == 2 else 1.0
    return sign * estimator.dual_coef_, estimator.n_support_, sign * estimator.intercept_


def from_estimator(
    estimator: Any,
    support_vectors: np.ndarray,
    *,
    gamma: float,
    slope: np.ndarray | None = None,
    offset: np.ndarray | None = None,
) -> SVMModel:
    """The arrays of a fitted scikit-learn ``SVC``, with an RBF or a precomputed kernel.

    Args:
        estimator: The fitted machine.
        support_vectors: Float[S, D], the training embeddings at ``estimator.support_``.
        gamma: Of its kernel.
        slope: See `SVMModel`; ones if None.
        offset: See `SVMModel`; zeros if None.
    """
    dual_coef, n_support, intercept = pair_arrays(estimator)
    return SVMModel(
        classes=np.asarray(estimator.classes_),
        support_vectors=support_vectors,
        n_support=np.asarray(n_support),
        dual_coef=dual_coef,
        intercept=intercept,
        gamma=gamma,
        slope=np.ones(len(intercept)) if slope is None else slope,
        offset=np.zeros(len(intercept)) if offset is None else offset,
    )


def constant_model(label: int, dimensions: int) -> SVMModel:
    """A machine that has seen one class only and names it for every cell."""
    return SVMModel(
        classes=np.array([label]),
        support_vectors=np.zeros((0, dimensions)),
        n_support=np.zeros(1, np.int32),
        dual_coef=np.zeros((0, 0)),
        intercept=np.zeros(0),
        gamma=1.0,
        slope=np.zeros(0),
        offset=np.zeros(0),
    )


def pair_decisions(
    kernel: np.ndarray, dual_coef: np.ndarray, n_support: np.ndarray, intercept: np.ndarray
) -> np.ndarray:
    """Decision value of every pair of classes, positive for the first of the pair.

    Args:
        kernel: Between cells and support vectors, Float[n, S].
        dual_coef: As in `SVMModel`.
        n_support: As in `SVMModel`.
        intercept: As in `SVMModel`.

    Returns:
        Float[n, C(C-1)/2].
    """
    n_classes = len(n_support)
    ends = np.cumsum(n_support)
    rows = [slice(end - count, end) for end, count in zip(ends, n_support, strict=True)]
    # one product with a mostly empty matrix beats a product for each pair
    weights = np.zeros((kernel.shape[1], len(intercept)))
    pair = 0
    for i in range(n_classes):
        for j in range(i + 1, n_classes):
            weights[rows[i], pair] = dual_coef[j - 1, rows[i]]
            weights[rows[j], pair] = dual_coef[i, rows[j]]
            pair += 1
    return kernel @ weights + intercept


def class_decisions(pairs: np.ndarray, n_classes: int) -> np.ndarray:
    """One value a class from the pairs: votes, and less than half a vote from the sum of values for ties.

    The highest is the class that scikit-learn's ``SVC(break_ties=True)`` predicts. Two classes: (d, -d).

    Args:
        pairs: From `pair_decisions`.
        n_classes: C.

    Returns:
        Float[n, C].
    """
    if n_classes == 2:
        return np.concatenate([pairs, -pairs], axis=1)
    votes = np.zeros((len(pairs), n_classes))
    sums = np.zeros_like(votes)
    for pair, (i, j) in enumerate(zip(*np.triu_indices(n_classes, 1), strict=True)):
        first = pairs[:, pair] >= 0
        votes[:, i] += first
        votes[:, j] += ~first
        sums[:, i] += pairs[:, pair]
        sums[:, j] -= pairs[:, pair]
    return votes + sums / (3 * (np.abs(sums) + 1))


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, Float64[n, m], never negative.

    Args:
        x: Float[n, D].
        y: Float[m, D].
    """
    # a shift changes no distance, but far from the origin the subtraction below would lose digits
    shift = y.mean(axis=0, dtype=np.float64) if len(y) else 0.0
    x, y = x - shift, y - shift
    d2 = x @ y.T
    d2 *= -2
    d2 += np.einsum("ij,ij->i", x, x)[:, None]
    d2 += np.einsum("ij,ij->i", y, y)
    return np.maximum(d2, 0, out=d2)


def rbf_kernel(x: np.ndarray, y: np.ndarray, *, gamma: float) -> np.ndarray:
    """exp(-gamma |x-y|^2) of all pairs, Float64[n, m]."""
    kernel = squared_distances(x, y)
    kernel *= -gamma
    return np.exp(kernel, out=kernel)


def decision(model: SVMModel, z: np.ndarray) -> np.ndarray:
    """Decision value of every class; the highest is the prediction.

    Args:
        model: The machine.
        z: Embeddings, Float[n, D].

    Returns:
        Float64[n, C].

    Raises:
        ValueError: where the dimension is not that of the training embeddings.
    """
    return class_decisions(decide_pairs(model, z), len(model.classes))


def decide_pairs(model: SVMModel, z: np.ndarray) -> np.ndarray:
    """Decision value of every pair of classes, as `pair_decisions`, for any number of cells.

    Args:
        model: The machine.
        z: Embeddings, Float[n, D].

    Returns:
        Float64[n, C(C-1)/2].

    Raises:
        ValueError: where the dimension is not that of the training embeddings.
    """
    z = np.asarray(z, np.float64)
    if z.ndim != 2 or z.shape[1] != model.support_vectors.shape[1]:
        raise ValueError(f"embeddings of shape {z.shape}, expected (n, {model.support_vectors.shape[1]})")
    out = np.zeros((len(z), len(model.intercept)))
    for start in range(0, len(z), CHUNK):
        kernel = rbf_kernel(z[start : start + CHUNK], model.support_vectors, gamma=model.gamma)
        out[start : start + CHUNK] = pair_decisions(kernel, model.dual_coef, model.n_support, model.intercept)
    return out


def predict(model: SVMModel, z: np.ndarray) -> np.ndarray:
    """Predicted labels, Int[n]; see `decision`."""
    return model.classes[decision(model, z).argmax(axis=1)]


def probabilities(model: SVMModel, z: np.ndarray, *, n_classes: int | None = None) -> np.ndarray:
    """Class probabilities: each pair's sigmoid, coupled (`coupling.couple`); the predicted class has the highest.

    Votes, by which scikit-learn and the papers decide, say no more than which class wins how many pairs; values made
    of them hardly differ between sure and doubtful cells. Where the class with the most votes is not the likeliest of
    the coupled ones, as for some cells between two classes, the two exchange their probabilities.

    Args:
        model: The machine.
        z: Embeddings, Float[n, D].
        n_classes: Give columns for labels 0 ... n_classes-1, zero for those not seen in training;
            None: one column for each of ``model.classes``.

    Returns:
        Float64[n, n_classes or C], rows sum to 1.
    """
    pairs, c = decide_pairs(model, z), len(model.classes)
    p = np.ones((len(pairs), c))
    for start in range(0, len(pairs) if c > 1 else 0, CHUNK):
        some = pairs[start : start + CHUNK]
        own, rows = couple(sigmoid(model.slope * some + model.offset), c), np.arange(len(some))
        voted, likeliest = class_decisions(some, c).argmax(axis=1), own.argmax(axis=1)
        own[rows, voted], own[rows, likeliest] = own[rows, likeliest], own[rows, voted]
        p[start : start + CHUNK] = own
    if n_classes is None:
        return p
    wide = np.zeros((len(p), n_classes))
    wide[:, model.classes] = p
    return wide


def load_model(path: Path) -> SVMModel:
    """Read a machine from its ``.npz`` file; no code is run from it.

    Raises:
        InputError: where the file is absent or does not hold a machine.
    """
    names = SVMModel.__dataclass_fields__
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            check_inflated(stored.zip)
            arrays = {name: stored[name] for name in names}
        model = SVMModel(**arrays | {"gamma": float(arrays["gamma"])})
    except BROKEN as error:
        raise InputError(f"cannot read {path} as a support vector machine ({error}); save it again") from error
    c, s = len(model.classes), len(model.support_vectors)
    pairs = c * (c - 1) // 2
    shapes = [getattr(model, name).shape for name in ("dual_coef", "n_support", "intercept", "slope", "offset")]
    consistent = shapes == [(c - 1, s), (c,), *[(pairs,)] * 3] and model.n_support.sum() == s
    finite = all(np.isfinite(getattr(model, name)).all() for name in names)
    if not (consistent and finite and (model.slope > 0).all()):
        raise InputError(f"{path} does not hold a whole support vector machine; save it again")
    return model
