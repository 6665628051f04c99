"""After a training: from embeddings to scores, readouts of maturity, and the files of one fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.evaluate.readouts import expected_stage
from smrjax.evaluate.svm import SVMResult, fit_svm
from smrjax.method import Goal, read_maturity, smr
from smrjax.taxonomy import Taxonomy

#: Curves fitted to the class means of any method's embedding after its training: readout -> name in `CURVES`.
AFTERWARDS = {"line": "svd", "bezier": "bezier"}


@dataclass(frozen=True)
class Readout:
    """Place of every cell along one curve of each lineage.

    Attributes:
        raw_t: By lineage, Float[n]: below 0 or above 1 beyond the curve's ends.
        distance: By lineage, Float[n]: to the curve, in the space in which the curve lives.
    """

    raw_t: dict[str, np.ndarray]
    distance: dict[str, np.ndarray]


def read_curves(
    goal: Goal, z: np.ndarray, z_train: np.ndarray, y_train: np.ndarray, taxonomy: Taxonomy
) -> tuple[dict[str, Readout], Goal]:
    """Maturity of cells along the method's own curves and along curves fitted afterwards.

    A method without curves can be read as well, so methods are compared under the same readout.

    Args:
        goal: Of the trained method.
        z: Embeddings of the cells to read, Float[n, D].
        z_train: Embeddings of the training part, Float[N, D]; the later curves are fitted to these.
        y_train: Their labels, Int[N].
        taxonomy: Its lineages of two or more classes are read.

    Returns:
        Readouts by name ("own" where the method has curves, and `AFTERWARDS`), and the goal whose curves are shown:
        the method's own, else the line's.
    """
    goals = {"own": goal} if goal else {}
    for name, curve in AFTERWARDS.items():
        refit = jax.jit(smr(taxonomy, curve=curve).refit)
        goals[name] = refit(jnp.asarray(z_train), jnp.asarray(y_train), None, jax.random.key(0))
    readouts = {}
    for name, one in goals.items():
        places = jax.jit(read_maturity)(one, jnp.asarray(z))
        readouts[name] = Readout(
            raw_t={k: np.asarray(t) for k, (t, _) in places.items()},
            distance={k: np.asarray(d) for k, (_, d) in places.items()},
        )
    return readouts, goals.get("own", goals["line"])


def true_lineage_t(readout: Readout, labels: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """Raw t of each cell along the curve of the lineage in ``labels``; NaN for classes outside every lineage."""
    t = np.full(len(labels), np.nan)
    for index, lineage in enumerate(taxonomy.lineages):
        if lineage.name in readout.raw_t:
            member = taxonomy.lineage_index()[labels] == index
            t[member] = readout.raw_t[lineage.name][member]
    return t
