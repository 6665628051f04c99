"""Methods that know nothing of the order of the classes: triplets alone, softmax cross-entropy, a plain network."""

from typing import Any

import jax
import jax.numpy as jnp

from smrjax.losses import triplet_margin_with_active
from smrjax.method.method import Goal, Method, Parts, no_goal, no_head


def tml(*, margin: float = 0.1) -> Method:
    """Triplet margin loss alone, the baseline of SMR (section III-B)."""

    def loss(z: jax.Array, y: jax.Array, goal: Goal, head: Any) -> tuple[jax.Array, Parts]:
        value, active = triplet_margin_with_active(z, y, margin=margin, normalize=False)
        return value, {"loss/triplet": value, "active_triplets": active}

    return Method("tml", no_head, no_goal, loss, margin=margin)


def softmax(n_classes: int) -> Method:
    """Softmax cross-entropy over a linear layer on the embeddings: the plain classifier beside the papers' methods."""

    def init_head(key: jax.Array, dim: int) -> dict[str, jax.Array]:
        # Unit embeddings need a scale, or the logits cannot leave [-1, 1] and the loss stalls near log C.
        kernel = jax.random.normal(key, (dim, n_classes)) / jnp.sqrt(dim)
        return {"kernel": kernel, "bias": jnp.zeros(n_classes), "log_scale": jnp.log(16.0)}

    def loss(z: jax.Array, y: jax.Array, goal: Goal, head: Any) -> tuple[jax.Array, Parts]:
        logits = jnp.exp(head["log_scale"]) * (z @ head["kernel"]) + head["bias"]
        value = _cross_entropy(logits, y)
        return value, {"loss/cross_entropy": value, "accuracy": (logits.argmax(-1) == y).mean()}

    return Method("softmax", init_head, no_goal, loss)


def logits(z: jax.Array, head: Any) -> jax.Array:
    """What the layer of `network` says of pooled features Float[n, D], before softmax: Float[n, C]."""
    return z @ head["kernel"] + head["bias"]


def network(n_classes: int) -> Method:
    """A plain classification network: a linear layer on the pooled features, which also predicts (OOTB, section 3.2).

    For encoders without an embedding layer (``embedding_dim=0``), whose features are not scaled to length one.
    """

    def init_head(key: jax.Array, dim: int) -> dict[str, jax.Array]:
        return {"kernel": jax.random.normal(key, (dim, n_classes)) / jnp.sqrt(dim), "bias": jnp.zeros(n_classes)}

    def loss(z: jax.Array, y: jax.Array, goal: Goal, head: Any) -> tuple[jax.Array, Parts]:
        scores = logits(z, head)
        value = _cross_entropy(scores, y)
        return value, {"loss/cross_entropy": value, "accuracy": (scores.argmax(-1) == y).mean()}

    return Method("network", init_head, no_goal, loss, predict=lambda z, head: logits(z, head).argmax(-1))


def _cross_entropy(logits: jax.Array, y: jax.Array) -> jax.Array:
    # Only here: whoever reads maturity with this package needs no optimiser.
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
