"""Spatial Maturity Regression: triplets, and a pull of each cell toward its stage's place on a curve."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.curves import CURVES, Curve, fixed_line, project
from smrjax.curves.curve import norm
from smrjax.losses import normal, projected, triplet_margin_with_active, tsne
from smrjax.method.method import Goal, Method, Parts, class_means, no_head
from smrjax.targets import TARGETS
from smrjax.taxonomy import Taxonomy

#: Cells that `read_maturity` reads at a time.
AT_A_TIME = 1024
#: How a cell is pulled toward its stage's place: name -> (in the reduced space?, along the curve?).
PULLS = {
    "normal": (False, False),
    "projected": (False, True),
    "reduced": (True, False),
    "reduced_projected": (True, True),
}


def smr(
    taxonomy: Taxonomy,
    *,
    curve: str = "bezier",
    targets: str = "uniform",
    pull: str = "normal",
    alpha: float | None = None,
    margin: float = 0.1,
    l1: str = "mean",
    ends: str = "extend",
    scale: str = "parameter",
    warmup: int = 0,
    reducer: dict[str, Any] | None = None,
) -> Method:
    """Spatial Maturity Regression (SMR, eqs. 3 to 5): ``alpha * pull + (1 - alpha) * triplets``.

    Cells of classes outside every lineage feel the triplet term alone. The pull is summed over the cells that have a
    lineage and divided by the size of the whole batch, as eqs. 3 to 5 are printed.

    Args:
        taxonomy: Classes and lineages; a lineage of one class has no order and is left out.
        curve: A name in `CURVES`.
        targets: A name in `TARGETS`.
        pull: A name in `PULLS`: toward the target in all dimensions (eq. 3), along the curve (eq. 4), or either in
            the space of a parametric t-SNE that is fitted again at the end of every epoch (eq. 5).
        alpha: Weight of the pull; by default the paper's 0.2, or 0.6 in the reduced space.
        margin: Triplet margin; a curve is at least (stages - 1) margins long.
        l1: "mean" over dimensions, or "sum", the paper's letter (see `losses.normal`).
        ends: "extend" pulls cells beyond a curve's end along its tangent, "clamp" lets them be.
        scale: Of the pull along the curve, "parameter" or "length" (see `losses.projected`).
        warmup: Epochs with the triplet term alone.
        reducer: Keyword arguments of `losses.tsne.fit`.

    Raises:
        ValueError: for an unknown name, or a taxonomy without a lineage of two classes.
    """
    for name, choices in ((curve, CURVES), (targets, TARGETS), (pull, PULLS)):
        if name not in choices:
            raise ValueError(f"{name!r} is none of {', '.join(choices)}")
    lineages = {line.name: line.classes for line in taxonomy.lineages if len(line.classes) > 1}
    if not lineages:
        raise ValueError("SMR needs a lineage of at least two classes")
    reduce, along = PULLS[pull]
    weight = (0.6 if reduce else 0.2) if alpha is None else alpha
    members = {k: np.array([taxonomy.classes.index(c) for c in v]) for k, v in lineages.items()}
    # stage_of[lineage][label] is the stage within the lineage, or -1: a mask rather than a made-up number.
    stage_of = {k: np.full(len(taxonomy.classes), -1, np.int32) for k in lineages}
    for k, v in members.items():
        stage_of[k][v] = np.arange(len(v))

    def fit_of(order: int) -> Callable[..., Curve]:
        if curve != "fixed":
            return CURVES[curve]
        return lambda means, *args, **kwargs: fixed_line(
            means, *args, direction=_fixed_direction(order, len(lineages), means.shape[-1]), **kwargs
        )

    def refit(z: jax.Array, y: jax.Array, goal: Goal, key: jax.Array) -> Goal:
        network: Any = {}
        if reduce:
            init_key, fit_key = jax.random.split(key)
            network = tsne.init_network(init_key, z.shape[-1]) if goal is None else goal["reducer"]
            network = tsne.fit(network, z, fit_key, **(reducer or {}))
            z = tsne.embed(network, z)
        means, counts = class_means(z, y, len(taxonomy.classes))
        curves = {
            name: fit_of(order)(
                means[rows],
                counts[rows] > 0,
                None if goal is None else goal["curves"][name],
                min_length=(len(rows) - 1) * margin,
            )
            for order, (name, rows) in enumerate(members.items())
        }
        places = {name: TARGETS[targets](counts[rows]) for name, rows in members.items()}
        refits = jnp.zeros((), jnp.int32) if goal is None else goal["refits"] + 1
        return {"curves": curves, "targets": places, "reducer": network, "refits": refits}

    pull_of = partial(projected, ends=ends, scale=scale) if along else partial(normal, l1=l1)

    def loss(z: jax.Array, y: jax.Array, goal: Goal, head: Any) -> tuple[jax.Array, Parts]:
        triplets, active = triplet_margin_with_active(z, y, margin=margin, normalize=False)
        place = place_of(goal, z)
        pulls: Parts = {}
        for name, stages in stage_of.items():
            stage = jnp.asarray(stages)[y]
            t = goal["targets"][name][jnp.maximum(stage, 0)]
            pulls[f"loss/pull {name}"] = jnp.where(stage >= 0, pull_of(place, goal["curves"][name], t), 0.0).mean()
        share = jnp.where(goal["refits"] < warmup, 0.0, weight)
        value = share * sum(pulls.values()) + (1 - share) * triplets
        return value, {"loss/triplet": triplets, "active_triplets": active, **pulls}

    return Method("smr", no_head, refit, loss, margin=margin)


def _fixed_direction(order: int, count: int, dim: int) -> jax.Array:
    """One axis a lineage; where there are fewer axes than lineages, directions evenly spread over a half plane."""
    if count <= dim:
        return jax.nn.one_hot(order, dim)
    angle = jnp.pi * order / count
    return jnp.zeros(dim).at[:2].set(jnp.array([jnp.cos(angle), jnp.sin(angle)]))


def place_of(goal: Goal, z: jax.Array) -> jax.Array:
    """Embeddings in the space in which a goal's curves live: the reduced one where it has a reducer."""
    return tsne.embed(goal["reducer"], z) if goal.get("reducer") else z


def read_maturity(goal: Goal, z: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Place of cells along each lineage's curve of a goal.

    Cells are read a fixed number at a time, so that one compiled program serves sets of every size.

    Args:
        goal: What `Method.refit` returned; methods without curves give an empty result.
        z: Embeddings, Float[N, D].

    Returns:
        By lineage, raw t Float[N] (below 0 or above 1 beyond the ends; clip it for the maturity) and the distance to
        the curve, Float[N], in the space in which the curve lives.
    """
    if "curves" not in goal:
        return {}
    batches = max(-(-len(z) // AT_A_TIME), 1)
    filled = np.zeros((batches * AT_A_TIME, z.shape[1]), z.dtype)
    filled[: len(z)] = z
    # On the host, where arrays of a training and arrays from a file look alike to a compiled program.
    kept = jax.tree.map(np.asarray, {name: goal[name] for name in ("curves", "reducer")})
    parts = [_read_maturity(kept, some) for some in np.split(filled, batches)]
    return {
        name: tuple(np.concatenate([part[name][k] for part in parts])[: len(z)] for k in range(2))  # type: ignore[misc]
        for name in goal["curves"]
    }


@jax.jit
def _read_maturity(goal: Goal, z: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
    place = place_of(goal, z)
    t = {name: project(curve, place, ends="extend") for name, curve in goal["curves"].items()}
    # A clipped t names the nearest point of the curve between its ends.
    return {name: (t[name], norm(place - curve(jnp.clip(t[name], 0, 1)))) for name, curve in goal["curves"].items()}
