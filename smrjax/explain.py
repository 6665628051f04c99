"""What a trained network looked at: Grad-CAM of a class score, of the maturity, of the similarity to another cell.

`explain` joins an encoder and a target, a function of the embedding, into a function from images to heat maps::

    maps = explain(model, variables, class_score(head, labels))(images)
    older = explain(model, variables, maturity(goal["curves"]["neutrophil"], goal["reducer"]))(images)
    younger = explain(model, variables, opposite(maturity(...)))(images)

The class score is the papers' Grad-CAM (BM, section 2.5, figures 5 and 6); the others are ours. A map is coarse, and no
explanation by itself: it says where the last feature map speaks for the score, and takes an expert to read.

A score of embeddings of length one does not change with all features alike. So what speaks for it and what speaks
against it balance over the feature map that the head pools (but for the head's bias), and some place is hot even where
none matters more than the rest: a hot background may only say that the cell speaks against. Look at `opposite` too.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from smrjax.curves import Curve, project
from smrjax.errors import InputError
from smrjax.evaluate import SVMModel, gradcam, upsample
from smrjax.method import place_of
from smrjax.train.step import unit

#: Places a side that a heat map should have.
PLACES = 6
#: Embeddings Float[B, D] -> scores Float[B]. Those made here carry their arrays with them (`jax.tree_util.Partial`), so
#: that other labels, curves or heads of the same shapes compile nothing anew; any function of the kind will do.
Target = Callable[[jax.Array], jax.Array]


def explain(
    model: nn.Module, variables: Any, target: Target, *, stage: str | None = None, normalize: bool = True
) -> Callable[[np.typing.ArrayLike], jax.Array]:
    """A function from images to the heat maps of a score (`evaluate.gradcam`).

    BatchNorm and dropout are as in evaluation; no augmentation, no average over flips. One program is compiled for each
    shape of a batch, kind of target and stage, and shared by all calls; give many cells in batches of one size.

    Args:
        model: Any of `ENCODERS`; frozen stages and a device axis do not matter.
        variables: Of the whole encoder, ``{"params": …, "batch_stats": …}``: of a training's state,
            ``state.params["encoder"]`` and ``state.batch_stats``.
        target: What is explained: `class_score`, `svm_score`, `maturity`, `similarity`, or `opposite` of one of them.
        stage: Whose feature map is shown, by its name in ``model.stage_names``; by default that of `usual_stage`.
        normalize: Whether embeddings have length one before the target sees them, as in the training.

    Returns:
        ``maps_of(images)`` for UInt8 or Float[B, H, W, 3], RGB in 0..255, which gives Float[B, H, W], non-negative and
        in units of the score; `evaluate.rescale` brings each to 0..1. It raises InputError for a stage without a map.
    """
    model = model.clone(first_stage=0, frozen_stages=0, axis_name=None)
    carried = target if isinstance(target, Partial) else Partial(target)

    def maps_of(images: np.typing.ArrayLike) -> jax.Array:
        images = jnp.asarray(images).astype(jnp.float32)
        height, width = images.shape[1:3]
        sizes = map_sizes(model, variables, height, width)
        chosen = stage if stage is not None else usual_stage(sizes)
        if chosen not in sizes:
            about = f"for images of {height} x {width} px"
            raise InputError(
                f"stage {chosen!r} has no heat map {about}; choose one of {', '.join(sizes)}"
                if sizes
                else f"no stage has a heat map {about}: give larger images"
            )
        return _maps(model, chosen, sizes[chosen], normalize, variables, carried, images)

    return maps_of


def map_sizes(model: nn.Module, variables: Any, height: int, width: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of the heat maps of every stage that has them, in the encoder's order; nothing is computed.

    Left out are the head, stages with one place alone (the hidden layers of VGG-19), and the last block of a
    transformer, whose class token is all that the head sees: its other tokens have no gradient.

    Args:
        model: Any of `ENCODERS`.
        variables: See `explain`.
        height: Of the images, in pixels.
        width: Likewise.
    """
    pixels = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    _, outputs = jax.eval_shape(partial(model.apply, train=False), variables, pixels)
    names = model.stage_names[:-1]  # type: ignore[attr-defined]
    sizes = {}
    for name in names:
        shape = outputs[name].shape
        if len(shape) == 4:
            sizes[name] = (shape[1], shape[2])
        elif name != names[-1]:
            # Patches are squares.
            patch = (height * width / (shape[1] - 1)) ** 0.5
            sizes[name] = (round(height / patch), round(width / patch))
    return {name: size for name, size in sizes.items() if size != (1, 1)}


def usual_stage(sizes: Mapping[str, tuple[int, int]]) -> str | None:
    """The stage to look at: the last with maps of `PLACES` a side or more, or else the one with the finest maps.

    At 224 px that is the one that the head pools, as in the papers, and of a transformer the last block but one. Of
    small images the last maps are too coarse to tell the cell from what is around it.

    Args:
        sizes: Of `map_sizes`.

    Returns:
        Its name; None where there is none.

    Example:
        >>> usual_stage({"stem": (16, 16), "block1": (8, 8), "block2": (2, 2)})
        'block1'
    """
    fine = [name for name, size in sizes.items() if min(size) >= PLACES]
    return fine[-1] if fine else max(sizes, key=lambda name: min(sizes[name]), default=None)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _maps(
    model: Any, stage: str, grid: tuple[int, int], normalize: bool, variables: Any, target: Target, images: jax.Array
) -> jax.Array:
    rest = model.clone(first_stage=model.stage_names.index(stage) + 1)

    def score(features: jax.Array) -> jax.Array:
        raw, _ = rest.apply(variables, features, train=False)
        return target(unit(raw) if normalize else raw)

    _, outputs = model.apply(variables, images, train=False)
    _, height, width, _ = images.shape
    return upsample(gradcam(score, outputs[stage], grid=grid), (height, width))


def class_score(head: Any, labels: np.typing.ArrayLike) -> Target:
    """The value of a class before the softmax.

    Args:
        head: Of `method.network` or `method.softmax` as trained, ``state.params["head"]``.
        labels: Of which class: Int[B], one a cell (predicted or true ones), or one for all.

    Raises:
        ValueError: for a class that the head does not know.
    """
    return Partial(_class_score, head, _checked(labels, len(head["bias"])))


def _class_score(head: Any, labels: jax.Array, z: jax.Array) -> jax.Array:
    scale = jnp.exp(head["log_scale"]) if "log_scale" in head else 1.0
    return _chosen(scale * (z @ head["kernel"]) + head["bias"], labels)


def svm_score(svm: SVMModel, labels: np.typing.ArrayLike) -> Target:
    """The sum of a class's decision values against each other class, of a method that leaves the classes to an SVM.

    The machine's prediction counts how many of these values are positive, which has no gradient.

    Args:
        svm: Trained on the embeddings as the target sees them.
        labels: As for `class_score`.

    Raises:
        ValueError: for a class that the machine has not seen.
    """
    labels = np.asarray(labels)
    if not np.isin(labels, svm.classes).all():
        raise ValueError(f"labels {np.setdiff1d(labels, svm.classes)} are none of the machine's {svm.classes}")
    weights, intercepts = _against_all(svm)
    arrays = (svm.support_vectors, weights, intercepts, svm.gamma)
    return Partial(_svm_score, *(jnp.asarray(x, jnp.float32) for x in arrays), np.searchsorted(svm.classes, labels))


def _against_all(svm: SVMModel) -> tuple[np.ndarray, np.ndarray]:
    """Weights Float[S, C] and intercepts Float[C] of the sums over pairs: + for the first of a pair, - for the second.

    Of pair (i, j) a support vector of class i has its weight in row j - 1 of ``dual_coef``, one of class j in row i.
    """
    n, owner = len(svm.classes), np.repeat(np.arange(len(svm.classes)), svm.n_support)
    weights, intercepts = np.zeros((len(owner), n)), np.zeros(n)
    for intercept, i, j in zip(svm.intercept, *np.triu_indices(n, 1), strict=True):
        pair = np.where(owner == i, svm.dual_coef[j - 1], np.where(owner == j, svm.dual_coef[i], 0))
        weights[:, i] += pair
        weights[:, j] -= pair
        intercepts[i] += intercept
        intercepts[j] -= intercept
    return weights, intercepts


def _svm_score(
    vectors: jax.Array, weights: jax.Array, intercepts: jax.Array, gamma: jax.Array, labels: jax.Array, z: jax.Array
) -> jax.Array:
    kernel = jnp.exp(-gamma * ((z[:, None] - vectors) ** 2).sum(-1))
    return _chosen(kernel @ weights + intercepts, labels)


def maturity(curve: Curve, reducer: Any = None) -> Target:
    """Parameter t of the nearest point of a lineage's curve; what is hot makes a cell older, of `opposite` younger.

    Beyond its ends the curve goes on along its tangents, so that the youngest and oldest cells have a gradient too.

    Args:
        curve: One of a goal's ``curves``.
        reducer: The goal's ``reducer`` where the curve lives in the reduced space; empty or None elsewhere.
    """
    return Partial(_maturity, curve, reducer)


def _maturity(curve: Curve, reducer: Any, z: jax.Array) -> jax.Array:
    return project(curve, place_of({"reducer": reducer}, z), ends="extend")


def similarity(other: np.typing.ArrayLike) -> Target:
    """Cosine of the angle to other embeddings: those of another cell, or the mean of a class.

    A cell is as similar to itself as can be, where the gradient is zero but for rounding: such a map means nothing.

    Args:
        other: Float[D], or Float[B, D] for one a cell.
    """
    return Partial(_similarity, jnp.asarray(other))


def _similarity(other: jax.Array, z: jax.Array) -> jax.Array:
    return (unit(z) * unit(other)).sum(-1)


def opposite(target: Target) -> Target:
    """The negative of a target, whose map shows what speaks against it: Grad-CAM cuts that off otherwise."""
    return Partial(_opposite, target if isinstance(target, Partial) else Partial(target))


def _opposite(target: Target, z: jax.Array) -> jax.Array:
    return -target(z)


def _checked(labels: np.typing.ArrayLike, n_classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, but there are {n_classes} classes")
    return labels


def _chosen(values: jax.Array, labels: jax.Array) -> jax.Array:
    """Of values Float[B, C] each row's own column."""
    return jnp.take_along_axis(values, jnp.broadcast_to(labels, len(values))[:, None], 1)[:, 0]
