"""That the arrays of an exported model fit one another: told when it is read, not by the first images.

Whatever does not is a ``ValueError`` in words, which `loading.load_model` makes one line of.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from smrjax.evaluate.svm_model import SVMModel
from smrjax.method import place_of
from smrjax.predict.model import Judged, Member
from smrjax.predict.reader import Reader
from smrjax.taxonomy import Taxonomy

#: Points of a cubic piece, of which a spline has fewer than its lineage has stages; other curves have fewer points.
CUBIC = 4


def check_members(members: Sequence[Member], taxonomy: Taxonomy) -> None:
    """That each fold answers for the classes of a taxonomy, and all of them alike.

    Args:
        members: Of the model.
        taxonomy: Of its classes.

    Raises:
        ValueError: for the first array that does not fit, with its fold.
    """
    for member in members:
        try:
            check_reader(member.reader, taxonomy)
            check_judged(member.tested, len(taxonomy.classes))
            for name, array in member.variables.items():
                _finite(name, array, array.ndim)
        except (ValueError, TypeError) as error:
            raise ValueError(f"fold {member.fold}: {error}") from None
    if len({tuple(member.reader.curves) for member in members}) > 1:
        raise ValueError("folds have curves of different lineages")


def check_reader(reader: Reader, taxonomy: Taxonomy) -> None:
    """That a fold's classifier, curves, reducer and limits are of the same embeddings, and of a taxonomy's classes.

    Args:
        reader: Of the fold.
        taxonomy: Of its classes.

    Raises:
        ValueError: for the first that is not.
        TypeError: for a reducer that is none.
    """
    _finite("training embeddings", reader.training, 2)
    if not len(reader.training):
        raise ValueError("no training embeddings")
    _check_svm(reader.svm, reader.training.shape[1], reader.n_classes)
    _check_limit("unfamiliar cells", reader.unfamiliar)
    z = jax.ShapeDtypeStruct(reader.training.shape, np.float32)
    for array in jax.tree.leaves(reader.reducer):
        _finite("arrays of the reducer", array, array.ndim)
    # Followed by shapes alone: nothing is computed.
    place = jax.eval_shape(place_of, {"reducer": reader.reducer}, z)
    stages = {line.name: len(line.classes) for line in taxonomy.lineages}
    for name, control in reader.curves.items():
        _finite(f"control points of {name}", control, 3)
        pieces, points, dimensions = control.shape
        if not (pieces >= 1 and points >= 2 and pieces * points <= CUBIC * stages[name]):
            raise ValueError(f"{pieces} pieces of {points} points for the {stages[name]} stages of {name}")
        if place.shape[1:] != (dimensions,):
            raise ValueError(f"a curve of {name} in {dimensions} dimensions, and cells in {place.shape[-1]}")
        _check_limit(name, reader.off_curve[name])


def check_targets(curves: Mapping[str, np.ndarray], taxonomy: Taxonomy) -> None:
    """That places of stages, where they are given, are as many as a lineage has stages.

    Args:
        curves: As in ``curves.npz``.
        taxonomy: Of the lineages.

    Raises:
        ValueError: for the first that are not.
    """
    for line in taxonomy.lineages:
        if (targets := curves.get(f"targets_{line.name}")) is not None:
            _finite(f"targets of {line.name}", targets, 1)
            if len(targets) != len(line.classes):
                raise ValueError(f"{len(targets)} targets for the {len(line.classes)} stages of {line.name}")


def check_judged(tested: Judged, n_classes: int) -> None:
    """That test cells have classes that there are, and a probability of each.

    Args:
        tested: Of a fold.
        n_classes: C.

    Raises:
        ValueError: if they do not.
    """
    for name in ("labels", "predicted"):
        _check_labels(f"{name} of test cells", getattr(tested, name), n_classes)
    p = tested.probabilities
    _finite("probabilities of test cells", p, 2)
    if not len(tested.labels) == len(tested.predicted) == len(p) > 0 or p.shape[1] != n_classes:
        raise ValueError(f"test cells of shapes {tested.labels.shape}, {tested.predicted.shape} and {p.shape}")
    if p.min() < 0 or p.max() > 1:
        raise ValueError("probabilities of test cells beyond 0 and 1")


def _check_svm(svm: SVMModel, dimensions: int, n_classes: int) -> None:
    """Of the machine's own arrays, `svm_model.load_model` has looked at shapes and finite numbers."""
    _check_labels("classes of the SVM", svm.classes, n_classes)
    if not len(svm.classes) or (np.diff(svm.classes) <= 0).any():
        raise ValueError("classes of the SVM are not ascending")
    if svm.support_vectors.ndim != 2 or svm.support_vectors.shape[1] != dimensions:
        raise ValueError(f"an SVM of support vectors {svm.support_vectors.shape}, and {dimensions} dimensions")
    if svm.n_support.dtype.kind not in "iu" or (svm.n_support < 0).any():
        raise ValueError("numbers of support vectors that are none")
    if svm.gamma <= 0:
        raise ValueError(f"an SVM with gamma {svm.gamma}")


def _check_labels(what: str, labels: np.ndarray, n_classes: int) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{what} are {labels.dtype}{list(labels.shape)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"{what} beyond the {n_classes} of the taxonomy")


def _check_limit(what: str, limit: float) -> None:
    """None is infinite; zero is of cells that are all alike (see `reader.limit_of`)."""
    if not limit >= 0:
        raise ValueError(f"limit {limit} for {what}")


def _finite(what: str, array: Any, axes: int) -> None:
    if array.ndim != axes or array.dtype.kind != "f":
        raise ValueError(f"{what} are {array.dtype}{list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} are not finite")
