"""From embeddings to readings: what one fold of a run says of new cells, with its arrays alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from smrjax.curves import Curve
from smrjax.evaluate.svm_model import SVMModel, probabilities, squared_distances
from smrjax.method import read_maturity

#: A cell is as far from the training embeddings as from the k-th nearest of them (Sun et al. 2022, whose k is larger,
#: for many more cells): a single odd one among them makes nothing familiar. From 1 to 10, k hardly mattered on pbc.
NEIGHBOURS = 3
#: So many training embeddings are kept, evenly spread over them as they are listed, class by class in most sets: new
#: cells and validation cells alike are far or near to these (1 % was enough for Sun et al.), and more would cost time.
KEPT = 20_000
#: Pairs of cells whose distances are in memory at a time.
PAIRS = 2**24
#: Limits are such that this share of the validation cells lies within.
WITHIN = 0.99
#: Parts of a fold in ``embeddings.npz``.
TRAINING, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Reader:
    """What turns the embeddings of one fold's encoder into readings; D dimensions.

    Attributes:
        svm: The classifier, with probabilities calibrated on the validation part.
        n_classes: C.
        curves: Control points by lineage, Float[pieces, degree + 1, D], or of the reduced space where there is a
            reducer; empty where no lineage has an order.
        reducer: Parameters of the network into the reduced space (`smrjax.losses.tsne`), or ``{}``.
        training: Embeddings of the training part, or `KEPT` of them, Float[N, D].
        unfamiliar: Distance to the training embeddings beyond which 1 % of the validation cells lie.
        off_curve: By lineage, distance to its curve beyond which 1 % of the validation cells of that lineage lie, in
            the space in which the curve lives; infinite where validation has none.
    """

    svm: SVMModel
    n_classes: int
    curves: Mapping[str, np.ndarray]
    reducer: Any
    training: np.ndarray
    unfamiliar: float
    off_curve: Mapping[str, float]


@dataclass(frozen=True)
class Readings:
    """What one fold says of n cells.

    Attributes:
        probabilities: Float64[n, C].
        raw_t: By lineage, place along its curve, Float[n]: below 0 or above 1 beyond its ends.
        distance: By lineage, distance to its curve, Float[n].
        off_curve: By lineage, that distance divided by the reader's limit, Float[n]; NaN where there is none.
        unfamiliar: Distance to the training embeddings divided by the reader's limit, Float[n]; likewise.
    """

    probabilities: np.ndarray
    raw_t: dict[str, np.ndarray]
    distance: dict[str, np.ndarray]
    off_curve: dict[str, np.ndarray]
    unfamiliar: np.ndarray


def make_reader(
    svm: SVMModel,
    n_classes: int,
    *,
    curves: Mapping[str, np.ndarray],
    reducer: Any,
    embeddings: np.ndarray,
    labels: np.ndarray,
    part: np.ndarray,
    lineages: Mapping[str, np.ndarray],
) -> Reader:
    """A reader with its limits learnt from the validation part.

    Args:
        svm: See `Reader`.
        n_classes: See `Reader`.
        curves: See `Reader`.
        reducer: See `Reader`.
        embeddings: Of all cells of the fold, Float[M, D].
        labels: Their classes, Int[M].
        part: `TRAINING`, `VALIDATION` or `TEST`, Int[M].
        lineages: Name -> labels of its classes, of at least those that have a curve.

    Returns:
        The reader. Where the validation part is empty, its limits are infinite.
    """
    training = thin(embeddings[part == TRAINING])
    z, y = thin(embeddings[part == VALIDATION]), thin(labels[part == VALIDATION])
    places = read_maturity(_goal(curves, reducer), z)
    return Reader(
        svm=svm,
        n_classes=n_classes,
        curves=curves,
        reducer=reducer,
        training=training,
        unfamiliar=limit_of(distance_to(training, z)),
        off_curve={name: limit_of(away[np.isin(y, lineages[name])]) for name, (_, away) in places.items()},
    )


def read(reader: Reader, z: np.ndarray) -> Readings:
    """What a fold says of new cells.

    Args:
        reader: Of the fold.
        z: Embeddings of its encoder, Float[n, D].
    """
    places = read_maturity(_goal(reader.curves, reader.reducer), z)
    return Readings(
        probabilities=probabilities(reader.svm, z, n_classes=reader.n_classes),
        raw_t={name: t for name, (t, _) in places.items()},
        distance={name: away for name, (_, away) in places.items()},
        off_curve={name: _share(away, reader.off_curve[name]) for name, (_, away) in places.items()},
        unfamiliar=_share(distance_to(reader.training, z), reader.unfamiliar),
    )


def distance_to(training: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Distance of embeddings to the `NEIGHBOURS`-th nearest of the training part, or to the farthest of fewer.

    Args:
        training: Float[N, D].
        z: Float[n, D].

    Returns:
        Float64[n].

    Example:
        >>> distance_to(np.arange(9.0)[:, None], np.array([[0.0], [4.0]])).tolist()
        [2.0, 1.0]
    """
    nearest = min(NEIGHBOURS, len(training)) - 1
    found, rows = np.zeros(len(z)), max(PAIRS // len(training), 1)
    for start in range(0, len(z), rows):
        square = squared_distances(z[start : start + rows], training)
        found[start : start + rows] = np.sqrt(np.partition(square, nearest, axis=1)[:, nearest])
    return found


def _goal(curves: Mapping[str, np.ndarray], reducer: Any) -> dict[str, Any]:
    """The curves as `read_maturity` takes them: as a method's goal."""
    return {"curves": {name: Curve(control) for name, control in curves.items()}, "reducer": reducer}  # type: ignore[arg-type]


def thin(rows: np.ndarray) -> np.ndarray:
    """At most `KEPT` of them, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, KEPT).round().astype(int)] if len(rows) > KEPT else rows


def limit_of(distances: np.ndarray) -> float:
    """What `WITHIN` of the distances of validation cells stay below, Float[n]; infinite where there is none."""
    return float(np.quantile(distances, WITHIN)) if len(distances) else np.inf


def _share(distances: np.ndarray, limit: float) -> np.ndarray:
    """Distances in units of a limit; a limit of zero, as of cells that are all alike, is the least there is.

    NaN where there is no limit.
    """
    if not np.isfinite(limit):
        return np.full(len(distances), np.nan)
    return np.asarray(distances, np.float64) / max(limit, float(np.finfo(np.float32).tiny))
