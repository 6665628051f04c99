"""Health of the embedding and its curves at the end of an epoch, as numbers and in words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.curves import Curve
from smrjax.evaluate.health import (
    effective_rank,
    share_beyond_ends,
    span,
    spread,
    straightness,
    warnings_in_words,
)
from smrjax.method import Goal, read_maturity


@jax.jit
def _points(curve: Curve) -> jax.Array:
    return curve(jnp.linspace(0, 1, 65))


def health(
    z: np.ndarray,
    y: np.ndarray,
    goal: Goal,
    members: dict[str, np.ndarray],
    *,
    active_triplets: float | None,
    margin: float,
) -> dict[str, Any]:
    """Figures of one epoch.

    Args:
        z: Embeddings of the training part, Float[N, D].
        y: Their labels, Int[N].
        goal: That the epoch's refit gave.
        members: Lineage -> its classes.
        active_triplets: Mean share over the epoch's steps; None for a method without triplets.
        margin: The method's.

    Returns:
        ``effective_rank``, ``spread``, by lineage ``span/…``, ``straightness/…`` (what is left of a curve's bend) and
        ``beyond/…`` (share of the lineage's cells beyond the curve's ends), and ``warnings``, sentences.
    """
    row: dict[str, Any] = {"effective_rank": effective_rank(z), "spread": spread(z)}
    for name, (t, _) in read_maturity(goal, z).items():
        points = np.asarray(_points(goal["curves"][name]))
        row[f"span/{name}"] = span(points)
        row[f"straightness/{name}"] = straightness(points)
        row[f"beyond/{name}"] = share_beyond_ends(t[np.isin(y, members[name])])
    row["warnings"] = warnings_in_words(row | {"active_triplets": active_triplets}, margin=margin)
    return row
