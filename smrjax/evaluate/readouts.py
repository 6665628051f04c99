"""Maturity as read from an embedding, and how well a readout orders the cells.

Three readouts put methods side by side: the place along a line and along a Bézier curve fitted to the class
means after training (t arrays from `smrjax.curves.project`), and the expected stage from class
probabilities (computed here). Which readout is taken decides about the order of the methods, so all three
are scored for each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smrjax.evaluate.ordinal import kendall_tau, spearman


def expected_stage(probabilities: np.ndarray, stage: np.ndarray, lineage_index: np.ndarray, lineage: int) -> np.ndarray:
    """Expected stage of every cell, were it of this lineage.

    The probabilities of the lineage's classes, scaled to sum 1, weigh their stages.

    Args:
        probabilities: Of all classes, Float[n, C].
        stage: Of each class within its lineage, Int[C].
        lineage_index: Of each class, Int[C]; -1 where none.
        lineage: Which lineage.

    Returns:
        Float64[n], from 0 to stages - 1; NaN where the lineage's classes have no probability at all.

    Raises:
        ValueError: where no class belongs to the lineage or the shapes do not fit.

    >>> p = np.array([[0.1, 0.3, 0.6]])
    >>> expected_stage(p, np.array([0, 1, -1]), np.array([0, 0, -1]), 0)
    array([0.75])
    """
    p, members = np.asarray(probabilities, np.float64), np.flatnonzero(np.asarray(lineage_index) == lineage)
    if p.ndim != 2 or p.shape[1] != len(lineage_index) or len(stage) != len(lineage_index):
        raise ValueError(f"probabilities {p.shape}, {len(stage)} stages and {len(lineage_index)} lineages do not fit")
    if not len(members):
        raise ValueError(f"no class belongs to lineage {lineage}")
    mass = p[:, members].sum(axis=1)
    weighted = p[:, members] @ np.asarray(stage, np.float64)[members]
    return np.divide(weighted, mass, out=np.full(len(p), np.nan), where=mass > 0)


def stage_boundaries(t: np.ndarray, stages: np.ndarray, count: int) -> np.ndarray:
    """Where a classifier's decision passes from each stage to the next along a curve.

    Between stage i and i + 1 it is the t that leaves fewest places on the wrong side: places of stage i or less after
    it, of a later stage before it. So there is one boundary between any two stages, in order, whatever the classifier
    does; a stage that it never names lies between two boundaries in one place.

    Args:
        t: Places along the curve, ascending, Float[n].
        stages: Decided on there, Int[n].
        count: How many stages there are, C.

    Returns:
        Float64[C - 1], ascending.

    >>> stage_boundaries(np.array([0.0, 0.2, 0.4, 0.6, 0.8]), np.array([0, 0, 1, 1, 2]), 3).round(6).tolist()
    [0.3, 0.7]
    """
    t, stages = np.asarray(t, np.float64), np.asarray(stages)
    edges = np.concatenate([t[:1], (t[1:] + t[:-1]) / 2, t[-1:]])
    out = []
    for i in range(count - 1):
        late = stages > i
        # Before edge k lie the places 0 to k - 1.
        wrong = np.concatenate([[0], np.cumsum(late)]) + np.concatenate([np.cumsum(~late[::-1])[::-1], [0]])
        out.append(edges[wrong.argmin()])
    return np.array(out)


def maturity_scores(
    t: np.ndarray, labels: np.ndarray, stage: np.ndarray, *, true_maturity: np.ndarray | None = None
) -> dict[str, Any]:
    """How well a readout orders the cells of one lineage.

    Args:
        t: Readout of each cell, Float[n]; cells where it is not finite are left out.
        labels: True classes, all of the lineage, Int[n].
        stage: Of each class, Int[C].
        true_maturity: Float[n] where it is known, as for rendered cells; None or NaN where not.

    Returns:
        ``n``; ``kendall_tau_stage`` and ``spearman_stage`` of t against the stage of the true class; and with
        ``true_maturity``: ``kendall_tau_true`` over all cells and ``kendall_tau_true_within``, the mean
        over classes of the tau among the cells of a class, which no classifier can earn by naming the
        class. None where undefined.
    """
    t, labels = np.asarray(t, np.float64), np.asarray(labels)
    if t.shape != labels.shape:
        raise ValueError(f"t {t.shape} and labels {labels.shape} do not fit")
    of_cell = np.asarray(stage)[labels]
    scores: dict[str, Any] = {
        "n": int(np.isfinite(t).sum()),
        "kendall_tau_stage": kendall_tau(t, of_cell),
        "spearman_stage": spearman(t, of_cell),
    }
    if true_maturity is not None:
        truth = np.asarray(true_maturity, np.float64)
        within = (kendall_tau(t[labels == one], truth[labels == one]) for one in np.unique(labels))
        defined = [tau for tau in within if tau is not None]
        scores["kendall_tau_true"] = kendall_tau(t, truth)
        scores["kendall_tau_true_within"] = float(np.mean(defined)) if defined else None
    return scores


def compare_readouts(
    readouts: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    stage: np.ndarray,
    lineage_index: np.ndarray,
    lineages: Sequence[str],
    true_maturity: np.ndarray | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """`maturity_scores` of every readout in every lineage.

    Args:
        readouts: Name -> place of each cell in the lineage of its true class, Float[n]; NaN outside lineages.
        labels: True classes, Int[n].
        stage: Of each class, Int[C].
        lineage_index: Of each class, Int[C]; -1 where none.
        lineages: Their names.
        true_maturity: Float[n] or None.

    Returns:
        lineage -> readout -> scores.
    """
    of_cell = np.asarray(lineage_index)[labels]
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for i, name in enumerate(lineages):
        own = of_cell == i
        truth = None if true_maturity is None else np.asarray(true_maturity)[own]
        out[name] = {
            readout: maturity_scores(np.asarray(t)[own], np.asarray(labels)[own], stage, true_maturity=truth)
            for readout, t in readouts.items()
        }
    return out
