"""From places of the classes in the plane to places in the embedding (GUIDES, eq. 1)."""

import logging
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_LOG = logging.getLogger(__name__)


def inverse_rbf(means: jax.Array, present: jax.Array, guide: jax.Array) -> jax.Array:
    """A guide lifted by a smooth map from the two main axes of the class means to the embedding. Ours.

    The guide is laid over the class means' first two principal axes as well as rotation, reflection, scale and shift
    allow. Each place is then lifted to the mean of the class means, weighted by a Gaussian of its distance to them in
    the plane: inside their hull whatever the guide looks like, differentiable, and within microseconds.

    Args:
        means: Class means, Float[C, D]; rows of absent classes are not read.
        present: Bool[C].
        guide: Float[C, 2].

    Returns:
        Float[C, D].
    """
    here = present[:, None]
    count = jnp.maximum(present.sum(), 1)
    means = jnp.where(here, means, 0)
    centre = means.sum(0) / count
    offsets = jnp.where(here, means - centre, 0)
    axes = jnp.linalg.svd(offsets, full_matrices=False)[2][:2]
    flat = jnp.matmul(offsets, axes.T, precision="highest")
    flat = jnp.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    laid = align(guide, flat, present)
    square = ((laid[:, None] - flat) ** 2).sum(-1)
    # A bandwidth at which neighbours matter: half the mean distance to the nearest other class.
    others = jnp.where(present[:, None] & present & ~jnp.eye(len(means), dtype=bool), _squares(flat), jnp.inf)
    nearest = jnp.where(present & jnp.isfinite(others.min(1)), jnp.sqrt(jnp.where(present, others.min(1), 0)), 0)
    width = 0.5 * nearest.sum() / count
    logits = -square / jnp.where(width > 0, 2 * width**2, 1)
    weights = jax.nn.softmax(jnp.where(present, logits, -jnp.inf), axis=1)
    weights = jnp.where(present.any(), jnp.nan_to_num(weights), 0)
    return jnp.matmul(weights, means, precision="highest")


def align(guide: jax.Array, places: jax.Array, present: jax.Array) -> jax.Array:
    """A guide rotated, reflected, scaled and shifted to lie on places as well as it can (Procrustes; Gower 1975).

    Args:
        guide: Float[C, 2].
        places: Float[C, 2].
        present: Bool[C], the classes to go by.

    Returns:
        Float[C, 2], all classes of the guide; where places or guide lie in one point, that point.
    """
    weight = present[:, None] / jnp.maximum(present.sum(), 1)
    a, b = (weight * guide).sum(0), (weight * jnp.where(present[:, None], places, 0)).sum(0)
    x = jnp.where(present[:, None], guide - a, 0)
    y = jnp.where(present[:, None], places - b, 0)
    u, s, vt = jnp.linalg.svd(x.T @ y)
    size = (x * x).sum()
    scale = s.sum() / jnp.where(size > 0, size, 1)
    return scale * (guide - a) @ (u @ vt) + b


def inverse_umap(
    z: np.ndarray, y: np.ndarray, guide: np.ndarray, *, samples: int = 1000, seed: int = 0, neighbours: int = 15
) -> np.ndarray:
    """A guide lifted by the inverse of a UMAP of the embeddings (GUIDES, eq. 1).

    UMAP is fitted to at most `samples` embeddings, as many of each class as its share. The guide is laid over the
    class means in its plane (`align`) and shrunk toward the centre of the cells until it lies within their hull, since
    outside of it the inverse is arbitrary. What comes back is clipped to the range of the embeddings. How long it took
    is logged.

    Args:
        z: Embeddings, Float[N, D].
        y: Labels, Int[N].
        guide: Float[C, 2].
        samples: At most this many embeddings.
        seed: Of the choice and of UMAP.
        neighbours: Of UMAP's graph.

    Returns:
        Float[C, D]; where there are fewer than four cells, their mean for every class.
    """
    began = time.monotonic()
    z, y, guide = (np.asarray(a) for a in (z, y, guide))
    rows = _stratified(y, samples, seed)
    if len(rows) < 4:
        return np.broadcast_to(z.mean(0), (len(guide), z.shape[1])).astype(z.dtype)
    from scipy.spatial import Delaunay, QhullError

    with warnings.catch_warnings():
        # That TensorFlow is absent does not matter here, and that a seed means one thread is wanted.
        warnings.simplefilter("ignore")
        import umap

        reducer = umap.UMAP(n_neighbors=min(neighbours, len(rows) - 1), random_state=seed, n_jobs=1)
        plane = np.asarray(reducer.fit_transform(z[rows]), np.float64)
        present = np.isin(np.arange(len(guide)), y[rows])
        means = np.zeros((len(guide), 2))
        for c in np.flatnonzero(present):
            means[c] = plane[y[rows] == c].mean(0)
        laid = np.asarray(align(jnp.asarray(guide), jnp.asarray(means), jnp.asarray(present)), np.float64)
        centre = plane.mean(0)
        try:
            hull = Delaunay(plane)
        except QhullError:
            return np.broadcast_to(z.mean(0), (len(guide), z.shape[1])).astype(z.dtype)
        share = next((s for s in np.linspace(1, 0.05, 39) if inside(hull, centre + s * (laid - centre))), 0.0)
        lifted = reducer.inverse_transform((centre + share * (laid - centre)).astype(np.float32))
    _LOG.info("UMAP of %d embeddings and its inverse: %.1f s", len(rows), time.monotonic() - began)
    return np.clip(np.nan_to_num(lifted), z.min(0), z.max(0)).astype(z.dtype)


def inside(hull: Any, places: np.ndarray) -> bool:
    """Whether all places lie within a triangulated hull."""
    return bool((hull.find_simplex(places) >= 0).all())


def _squares(places: jax.Array) -> jax.Array:
    return ((places[:, None] - places) ** 2).sum(-1)


def _stratified(y: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Rows, at most so many, of each class by its share; the first cell of every class comes before any second one."""
    rng, turn = np.random.default_rng(seed), np.empty(len(y))
    for label in np.unique(y):
        own = rng.permutation(np.flatnonzero(y == label))
        turn[own] = np.arange(len(own)) / len(own)
    return np.sort(np.argsort(turn, kind="stable")[:samples])
