"""What is learnt: a method is a few functions, and training never asks which method it serves.

``init_head(key, dim)`` makes the parameters that the loss owns and the optimiser trains (a softmax layer; ``{}`` for
most methods). ``refit(z, y, goal, key)`` runs at the end of an epoch on the embeddings of the training part and returns
the goal of the next one, a small pytree whose shapes never change; ``goal`` is None the first time.
``loss(z, y, goal, head)`` runs in every step and returns a scalar and its parts for the log. ``predict(z, head)``, of
a method that classifies by itself and has no goal, gives the classes of embeddings; all others leave that to an SVM.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Goal = Any
Parts = dict[str, jax.Array]


@dataclass(frozen=True)
class Method:
    """Pure functions (see the module's text).

    Attributes:
        compiled: Whether `refit` is to be compiled. One that calls other libraries is not: called back from a compiled
            program, it would wait forever for the thread that it runs on where there is but one.
        margin: Distance from which embeddings count as apart, by which the monitor measures: that of the triplets.
    """

    name: str
    init_head: Callable[[jax.Array, int], Any]
    refit: Callable[[jax.Array, jax.Array, Goal, jax.Array], Goal]
    loss: Callable[[jax.Array, jax.Array, Goal, Any], tuple[jax.Array, Parts]]
    compiled: bool = True
    predict: Callable[[jax.Array, Any], jax.Array] | None = None
    margin: float = 0.1


def no_head(key: jax.Array, dim: int) -> dict[str, jax.Array]:
    """The head of a method whose loss has no parameters."""
    return {}


def no_goal(z: jax.Array, y: jax.Array, goal: Goal, key: jax.Array) -> Goal:
    """The goal of a method that has none."""
    return {}


def class_means(z: jax.Array, y: jax.Array, n_classes: int) -> tuple[jax.Array, jax.Array]:
    """Mean embedding of each class, and how many cells it is the mean of.

    Args:
        z: Embeddings, Float[N, D].
        y: Labels, Int[N].
        n_classes: C.

    Returns:
        Means Float[C, D], zero where a class is empty, and counts Int[C].
    """
    member = jax.nn.one_hot(y, n_classes, dtype=z.dtype)
    counts = member.sum(0)
    means = jnp.matmul(member.T, z, precision="highest") / jnp.maximum(counts, 1)[:, None]
    return means, counts.astype(jnp.int32)
