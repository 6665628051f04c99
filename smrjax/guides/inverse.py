"""From places of the classes in the plane to places in the embedding (GUIDES, eq. 1)."""

import logging
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_LOG = logging.getLogger(__name__)


def inverse_rbf(means: jax.Array, present: jax.Array, guide: jax.Array, *, size: float | jax.Array = 1.0) -> jax.Array:
    """A guide lifted by a smooth map from the two main axes of the class means to the embedding. Ours.

    The guide is laid over the class means' first two principal axes (`align`). Each place is then lifted to the mean of
    the class means, weighted by a Gaussian of its distance to them in the plane, a quarter of their root-mean-square
    radius wide: inside their hull whatever the guide looks like, differentiable, and within microseconds. Places that
    are close in the guide are close in the embedding.

    Args:
        means: Class means, Float[C, D]; rows of absent classes are not read.
        present: Bool[C].
        guide: Float[C, 2].
        size: Of the guide, 1 for as large as the class means lie, less for one that still grows.

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
    # The class means' centre is the origin of the plane.
    square = ((size * align(guide, flat, present)[:, None] - flat) ** 2).sum(-1)
    variance = (flat**2).sum() / count / 16
    logits = jnp.where(present, -square / jnp.where(variance > 0, 2 * variance, 1), -jnp.inf)
    weights = jnp.where(present.any(), jax.nn.softmax(jnp.where(present.any(), logits, 0), axis=1), 0)
    return jnp.matmul(weights, means, precision="highest")


def align(guide: Any, places: Any, present: Any) -> Any:
    """A guide rotated, reflected, scaled and shifted to lie over places.

    Rotation and reflection bring the classes as close to their places as they can (orthogonal Procrustes; Gower 1975).
    The scale gives both the same root-mean-square radius: that of least squares would shrink a guide the more, the less
    it resembles the places, until all classes share one.

    Args:
        guide: Float[C, 2], of JAX or, like the other two, of NumPy.
        places: Float[C, 2].
        present: Bool[C], the classes to go by.

    Returns:
        Float[C, 2], all classes of the guide; where places or guide lie in one point, that of the places.
    """
    xp = guide.__array_namespace__()
    here = present[:, None]
    count = xp.maximum(here.sum(), 1)
    a = xp.where(here, guide, 0).sum(0) / count
    b = xp.where(here, places, 0).sum(0) / count
    x, y = xp.where(here, guide - a, 0), xp.where(here, places - b, 0)
    # Sums instead of products of matrices, which GPUs round to ten bits unless told otherwise.
    u, _, vt = xp.linalg.svd((x[:, :, None] * y[:, None, :]).sum(0))
    turn = (u[:, :, None] * vt[None]).sum(1)
    small, large = (x * x).sum(), (y * y).sum()
    scale = xp.sqrt(large / xp.where(small > 0, small, 1)) * (small > 0)
    return scale * ((guide - a)[:, :, None] * turn).sum(1) + b


def inverse_umap(
    z: np.ndarray,
    y: np.ndarray,
    guide: np.ndarray,
    *,
    size: float = 1.0,
    samples: int = 1000,
    seed: int = 0,
    neighbours: int = 15,
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
        size: Of the guide, 1 for as large as the hull allows, less for one that still grows.
        samples: At most this many embeddings. The inverse mixes the nearest D of them for every class.
        seed: Of the choice and of UMAP.
        neighbours: Of UMAP's graph.

    Returns:
        Float[C, D]; the mean of all cells for every class where there are fewer than four of them, or all of them lie
        on one line of the plane; the mean of a class where UMAP finds no place for it.
    """
    began = time.monotonic()
    z, y, guide = (np.asarray(a) for a in (z, y, guide))
    rows = _stratified(y, samples, seed)
    middle = np.broadcast_to(z.mean(0), (len(guide), z.shape[1])).astype(z.dtype)
    if len(rows) < 4:
        return middle
    from scipy.spatial import Delaunay, QhullError

    with warnings.catch_warnings():
        # That TensorFlow is absent does not matter here, and that a seed means one thread is wanted.
        warnings.simplefilter("ignore")
        import umap

        reducer = umap.UMAP(n_neighbors=min(neighbours, len(rows) - 1), random_state=seed, n_jobs=1)
        plane = np.asarray(reducer.fit_transform(z[rows]), np.float64)
        try:
            hull = Delaunay(plane)
        except QhullError:
            _LOG.warning("UMAP laid all embeddings on one line: the guide has no effect until the next lift")
            return middle
        lifted = reducer.inverse_transform(fit_into(hull, _laid(guide, plane, y[rows]), size).astype(np.float32))
    means = np.array([z[y == c].mean(0) if (y == c).any() else z.mean(0) for c in range(len(guide))])
    lost = ~np.isfinite(lifted).all(1)
    if lost.any():
        _LOG.warning("UMAP found no place for %d of %d classes; their means stand in", lost.sum(), len(guide))
    lifted = np.where(lost[:, None], means, lifted)
    _LOG.info("UMAP of %d embeddings and its inverse: %.1f s", len(rows), time.monotonic() - began)
    return np.clip(lifted, z.min(0), z.max(0)).astype(z.dtype)


def _laid(guide: np.ndarray, plane: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A guide over the class means of cells in a plane."""
    present = np.isin(np.arange(len(guide)), y)
    means = np.zeros((len(guide), 2))
    for c in np.flatnonzero(present):
        means[c] = plane[y == c].mean(0)
    return align(guide.astype(np.float64), means, present)


def fit_into(hull: Any, places: np.ndarray, size: float) -> np.ndarray:
    """Places shrunk toward the centre of a triangulation's points until all are within its hull, and then to a size."""
    centre = hull.points.mean(0)
    share = next(
        (s for s in np.linspace(1, 0.05, 39) if (hull.find_simplex(centre + s * (places - centre)) >= 0).all()), 0.0
    )
    return centre + size * share * (places - centre)


def _stratified(y: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Rows, at most so many, of each class by its share; the first cell of every class comes before any second one."""
    rng, turn = np.random.default_rng(seed), np.empty(len(y))
    for label in np.unique(y):
        own = rng.permutation(np.flatnonzero(y == label))
        turn[own] = np.arange(len(own)) / len(own)
    return np.sort(np.argsort(turn, kind="stable")[:samples])
