"""Maturity of cells along the curves of a trained method, and along curves that are fitted afterwards to any."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.evaluate.readouts import stage_boundaries
from smrjax.evaluate.svm import SVMResult
from smrjax.method import Goal, place_of, read_maturity, smr
from smrjax.taxonomy import Taxonomy

#: Curves fitted to the class means of any method's embedding after its training: readout -> name in `CURVES`.
AFTERWARDS = {"line": "svd", "bezier": "bezier"}


@dataclass(frozen=True)
class Readout:
    """Place of every cell along one curve of each lineage.

    Attributes:
        raw_t: By lineage, Float[n]: below 0 or above 1 beyond the curve's ends.
        distance: By lineage, Float[n]: to the curve, in the space in which the curve lives.
        from_target: By lineage, Float[n, stages]: to the place of each stage on the curve.
    """

    raw_t: dict[str, np.ndarray]
    distance: dict[str, np.ndarray]
    from_target: dict[str, np.ndarray]


def read_along(
    goal: Goal, z: np.ndarray, z_train: np.ndarray, y_train: np.ndarray, taxonomy: Taxonomy
) -> tuple[dict[str, Readout], dict[str, Goal]]:
    """Maturity of cells along the method's own curves and along curves fitted afterwards.

    A method without curves can be read as well, so methods are compared under the same readout.

    Args:
        goal: Of the trained method.
        z: Embeddings of the cells to read, Float[n, D].
        z_train: Embeddings of the training part, Float[N, D]; the later curves are fitted to these.
        y_train: Their labels, Int[N].
        taxonomy: Its lineages of two or more classes are read.

    Returns:
        Readouts by name ("own" where the method has curves, then `AFTERWARDS`; none where no lineage has an order),
        and the goals with their curves, likewise.
    """
    if not any(len(line.classes) > 1 for line in taxonomy.lineages):
        return {}, {}
    goals = {"own": goal} if goal.get("curves") else {}
    for name in AFTERWARDS:
        goals[name] = _refit(taxonomy, name)(jnp.asarray(z_train), jnp.asarray(y_train), None, jax.random.key(0))
    readouts = {}
    for name, one in goals.items():
        places = read_maturity(one, z)
        readouts[name] = Readout(
            raw_t={k: t for k, (t, _) in places.items()},
            distance={k: d for k, (_, d) in places.items()},
            from_target={k: np.asarray(d) for k, d in _from_targets(one, jnp.asarray(z)).items()},
        )
    return readouts, goals


@jax.jit
def _from_targets(goal: Goal, z: jax.Array) -> dict[str, jax.Array]:
    place = place_of(goal, z)
    spots = {name: curve(goal["targets"][name]) for name, curve in goal["curves"].items()}
    return {name: jnp.linalg.norm(place[:, None] - spot, axis=-1) for name, spot in spots.items()}


@functools.cache
def _refit(taxonomy: Taxonomy, readout: str) -> Callable[..., Goal]:
    """One function for all folds, which compiles once for those whose training parts are equally large."""
    return jax.jit(smr(taxonomy, curve=AFTERWARDS[readout]).refit)


def decision_boundaries(goal: Goal, svm: SVMResult, taxonomy: Taxonomy) -> dict[str, np.ndarray]:
    """Where the classifier's decision passes from each stage to the next along a goal's curves.

    Of the lineage's classes the likeliest counts. Empty where the curves live in a reduced space, in which the
    classifier does not work.

    Returns:
        By lineage, Float[stages - 1].
    """
    if goal["reducer"]:
        return {}
    t, found = np.linspace(0, 1, 401), {}
    for name, curve in goal["curves"].items():
        probabilities = svm.probabilities(np.asarray(curve(t)), n_classes=len(taxonomy.classes))
        members = np.flatnonzero(taxonomy.lineage_index() == [line.name for line in taxonomy.lineages].index(name))
        members = members[np.argsort(taxonomy.stage()[members])]
        found[name] = stage_boundaries(t, probabilities[:, members].argmax(1), len(members))
    return found


def own_lineage(values: dict[str, np.ndarray], labels: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """Of values by lineage, each cell's own: that of the lineage of its class; NaN outside every lineage.

    Args:
        values: By lineage, Float[n].
        labels: Int[n].
        taxonomy: Which class is in which lineage.

    Returns:
        Float[n].
    """
    chosen = np.full(len(labels), np.nan)
    for index, lineage in enumerate(taxonomy.lineages):
        if lineage.name in values:
            member = taxonomy.lineage_index()[labels] == index
            chosen[member] = values[lineage.name][member]
    return chosen


def from_own_stage(readout: Readout, stage: np.ndarray) -> dict[str, np.ndarray]:
    """By lineage, the distance of each cell to the place of the stage of its class."""
    rows = np.arange(len(stage))
    return {k: d[rows, np.clip(stage, 0, d.shape[1] - 1)] for k, d in readout.from_target.items()}
