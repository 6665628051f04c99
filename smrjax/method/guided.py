"""Training guided by a layout of the classes in the plane (GUIDES)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.guides.inverse import inverse_rbf, inverse_umap
from smrjax.losses import guide_distance, triplet_margin_with_active
from smrjax.losses.distance import match_scale
from smrjax.method.method import Goal, Method, Parts, class_means, no_head

#: How a guide's places become places in the embedding: UMAP's inverse (GUIDES, eq. 1), or a smooth map (ours).
INVERSES = ("umap", "rbf")


def guided(
    guide: np.ndarray,
    *,
    loss: str = "umap",
    alpha: float = 0.4,
    margin: float = 0.1,
    kappa: float = 0.2,
    inverse: str = "umap",
    samples: int = 1000,
    every: int = 1,
    grow: int = 0,
    l1: str = "mean",
) -> Method:
    """Triplets and a guide: ``(1 - alpha) * triplets + alpha * guide`` (GUIDES, eqs. 2 and 4).

    With ``loss="umap"`` the guide's places are lifted into the embedding at the end of an epoch and smoothed over
    epochs, ``e <- kappa e + (1 - kappa) new`` (eq. 1); each cell is pulled to the place of its class. With
    ``loss="distance"`` cells are to be as far apart as their classes are in the guide, which is scaled to the distances
    between the cells of different classes (`match_scale`).

    Args:
        guide: Place of every class, Float[C, 2].
        loss: "umap" or "distance".
        alpha: Weight of the guide.
        margin: Of the triplets.
        kappa: Share of the last epoch's places that stays.
        inverse: In `INVERSES`.
        samples: Embeddings that UMAP is fitted to at most; a fit takes seconds.
        every: Epochs from one lift to the next; in between the places stay.
        grow: Epochs over which the guide grows from its centre to its full size (ours; 0 for none).
        l1: Of the pull to the lifted places: "mean" over dimensions, or "sum", the paper's letter (see
            `losses.normal`). The distance loss knows the sum alone: there it is a distance in the unit of the guide.

    Raises:
        ValueError: for another `loss`, `inverse` or `l1`.
    """
    for value, choices in ((loss, ("umap", "distance")), (inverse, INVERSES), (l1, ("mean", "sum"))):
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
    places = jnp.asarray(guide, jnp.float32)
    classes = len(places)
    compiled = loss == "distance" or inverse == "rbf"

    def size(refits: jax.Array) -> jax.Array:
        return jnp.minimum(1.0, (refits + 1) / max(grow, 1))

    def refit_places(z: jax.Array, y: jax.Array, goal: Goal, key: jax.Array) -> Goal:
        refits = jnp.zeros((), jnp.int32) if goal is None else goal["refits"] + 1

        def lift() -> jax.Array:
            if inverse == "rbf":
                means, counts = class_means(z, y, classes)
                return inverse_rbf(means, counts > 0, places, size=size(refits))
            seed = jax.random.bits(key, dtype=jnp.uint32) >> 1
            return _umap_on_host(z, y, places, size(refits), seed, samples)

        if goal is None:
            return {"anchors": lift(), "refits": refits}

        def mixed() -> jax.Array:
            return kappa * goal["anchors"] + (1 - kappa) * lift()

        def kept() -> jax.Array:
            return goal["anchors"]

        cond = jax.lax.cond if compiled else lambda due, yes, no: yes() if due else no()
        return {"anchors": cond(refits % every == 0, mixed, kept), "refits": refits}

    def refit_guide(z: jax.Array, y: jax.Array, goal: Goal, key: jax.Array) -> Goal:
        refits = jnp.zeros((), jnp.int32) if goal is None else goal["refits"] + 1
        return {"guide": size(refits) * match_scale(places, z, y), "refits": refits}

    def pull(z: jax.Array, y: jax.Array, goal: Goal) -> jax.Array:
        if loss == "distance":
            return guide_distance(z, y, goal["guide"])
        apart = jnp.abs(z - goal["anchors"][y])
        return (apart.mean(-1) if l1 == "mean" else apart.sum(-1)).mean()

    def total(z: jax.Array, y: jax.Array, goal: Goal, head: Any) -> tuple[jax.Array, Parts]:
        triplets, active = triplet_margin_with_active(z, y, margin=margin, normalize=False)
        guiding = pull(z, y, goal)
        value = alpha * guiding + (1 - alpha) * triplets
        return value, {"loss/triplet": triplets, "active_triplets": active, "loss/guide": guiding}

    refit: Callable[..., Goal] = refit_places if loss == "umap" else refit_guide
    return Method("guided", no_head, refit, total, compiled=compiled, margin=margin)


def _umap_on_host(
    z: jax.Array, y: jax.Array, guide: jax.Array, size: jax.Array, seed: jax.Array, samples: int
) -> jax.Array:
    def lift(*arrays: Any) -> np.ndarray:
        z, y, guide, size, seed = (np.asarray(a) for a in arrays)
        return inverse_umap(z, y, guide, size=float(size), samples=samples, seed=int(seed))

    # A callback has a shape before it has run, and outside of compiled programs it runs here and now.
    shape = jax.ShapeDtypeStruct((guide.shape[0], z.shape[1]), z.dtype)
    return jax.pure_callback(lift, shape, z, y, guide, size, seed)
