"""One training step and one embedding pass, as one device sees them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from smrjax.losses import norm_penalty
from smrjax.method import Method
from smrjax.train.state import TrainState

#: Name of the mapped axis over which batch statistics, embeddings and gradients are shared.
AXIS = "devices"


def unit(raw: jax.Array) -> jax.Array:
    """Embeddings scaled to Euclidean length one; a zero vector stays zero and has a finite gradient."""
    return raw * lax.rsqrt(jnp.maximum(jnp.sum(raw * raw, -1, keepdims=True), 1e-12))


def own_rows(x: jax.Array, rows: int) -> jax.Array:
    """This device's rows of an array made for the whole batch, so that N devices draw what one would have drawn."""
    return lax.dynamic_slice_in_dim(x, lax.axis_index(AXIS) * rows, rows)


def make_train_step(
    model: nn.Module,
    method: Method,
    optimizer: optax.GradientTransformation,
    augment: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    normalize: bool = True,
    norm_weight: float = 1e-3,
) -> Callable[[TrainState, jax.Array, jax.Array, jax.Array], TrainState]:
    """The step of one device under the named axis `AXIS`.

    Args:
        model: Encoder, built with ``axis_name=AXIS``.
        method: Its loss is taken over the embeddings of all devices.
        optimizer: Of optax.
        augment: (images UInt8[b, H, W, 3], keys [b]) -> Float[b, H, W, 3]; one key a cell.
        normalize: Embeddings to length one before the loss (False is the papers' letter).
        norm_weight: Weight of the penalty on the embedding before that (GUIDES, section 3).

    Returns:
        ``step(state, images, labels, key) -> state`` for images UInt8[b, H, W, 3] and labels Int[b] of this device; the
        key is the same in every step.
    """

    def train_step(state: TrainState, images: jax.Array, labels: jax.Array, key: jax.Array) -> TrainState:
        rows = images.shape[0]
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
        keys = jax.random.split(augment_key, rows * lax.axis_size(AXIS))
        # Named for profiles; the encoder's stages name themselves.
        with jax.named_scope("augmentation"):
            pixels = augment(images, own_rows(keys, rows))
        everyone = lax.all_gather(labels, AXIS, tiled=True)

        def objective(params: Any) -> tuple[jax.Array, Any]:
            (raw, _), updates = model.apply(
                {"params": params["encoder"], "batch_stats": state.batch_stats},
                pixels,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": dropout_key},
            )
            # The transpose of all_gather sums over devices, so the mean of the devices' gradients below is the
            # gradient of the loss of the whole batch.
            raw = lax.all_gather(raw, AXIS, tiled=True)
            with jax.named_scope("loss"):
                loss, parts = method.loss(unit(raw) if normalize else raw, everyone, state.goal, params["head"])
                norm = norm_penalty(raw).mean()
                total = loss + norm_weight * norm
            return total, (updates["batch_stats"], {"loss": total, "norm": norm, **parts})

        gradients, (batch_stats, parts) = jax.grad(objective, has_aux=True)(state.params)
        gradients = lax.pmean(gradients, AXIS)
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        return state.replace(  # type: ignore[attr-defined]
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            totals=jax.tree.map(jnp.add, state.totals, parts),
        )

    return train_step


def make_embed(model: nn.Module, *, normalize: bool = True) -> Callable[[Any, Any, jax.Array], jax.Array]:
    """The embedding pass of one device: running statistics, no dropout, no augmentation.

    Args:
        model: Encoder.
        normalize: As in training.

    Returns:
        ``embed(params, batch_stats, images) -> Float[b, D]`` for images UInt8[b, H, W, 3].
    """

    def embed(params: Any, batch_stats: Any, images: jax.Array) -> jax.Array:
        variables = {"params": params["encoder"], "batch_stats": batch_stats}
        raw, _ = model.apply(variables, images.astype(jnp.float32), train=False)
        return unit(raw) if normalize else raw

    return embed
