"""Optimisers: AdamW under a cosine, with frozen stages left alone; Adam at one learning rate."""

from typing import Any

import jax
import optax


def adamw_cosine(
    params: Any, *, learning_rate: float, weight_decay: float, steps: int, frozen: tuple[str, ...] = ()
) -> optax.GradientTransformation:
    """AdamW whose learning rate falls to zero along a cosine.

    Weight decay touches kernels alone: shrinking a BatchNorm scale or a bias regularises nothing.

    Args:
        params: ``{"encoder": {stage: …}, "head": …}``, for its structure.
        learning_rate: At the first step.
        weight_decay: Decoupled.
        steps: Until the learning rate is zero.
        frozen: Stages of the encoder that keep their values exactly.
    """
    adamw = optax.adamw(
        optax.cosine_decay_schedule(learning_rate, max(steps, 1)),
        weight_decay=weight_decay,
        mask=lambda tree: jax.tree.map(lambda p: p.ndim > 1, tree),
    )
    if not frozen:
        return adamw

    def label(path: Any, leaf: Any) -> str:
        keys = [entry.key for entry in path[:2]]
        return "frozen" if keys[0] == "encoder" and keys[1] in frozen else "trained"

    return optax.partition(
        {"trained": adamw, "frozen": optax.set_to_zero()}, jax.tree_util.tree_map_with_path(label, params)
    )


def adam(learning_rate: float) -> optax.GradientTransformation:
    """Adam whose learning rate is part of its state, so that trainings at different rates share one compiled step."""
    # The other numbers stay constants: as arrays of float32, 1 - b2 would lose digits.
    constants = ("b1", "b2", "eps", "eps_root")
    return optax.inject_hyperparams(optax.adam, static_args=constants)(learning_rate=learning_rate)
