"""Optimisers: AdamW under a cosine, with frozen stages left alone; Adam and SGD at a rate that is set from outside."""

from collections.abc import Sequence
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


def sgd(learning_rate: float, *, momentum: float = 0.9) -> optax.GradientTransformation:
    """Stochastic gradient descent with torch's momentum (BM, section 2.2); the learning rate is part of its state."""
    return optax.inject_hyperparams(optax.sgd, static_args=("momentum", "nesterov"))(
        learning_rate=learning_rate, momentum=momentum
    )


def with_rate(opt_state: Any, rate: float) -> Any:
    """The state of `adam` or `sgd` with another learning rate, where the old one was."""
    old = opt_state.hyperparams["learning_rate"]
    # Times zero: a new value in the shape, type and place of the old one, be it one copy or one a device.
    return opt_state._replace(hyperparams={**opt_state.hyperparams, "learning_rate": old * 0 + rate})


def plateau_rate(losses: Sequence[float], rate: float, *, factor: float = 0.1, patience: int = 3) -> float:
    """The learning rate after some epochs: lower by a factor whenever the validation loss no longer falls (BM, 2.2).

    Args:
        losses: Validation loss of every epoch so far.
        rate: Learning rate of the first epoch.
        factor: By which it is multiplied.
        patience: After this many epochs in a row without a loss below the lowest one before; then counting begins anew.

    Returns:
        The rate of the next epoch.

    Example:
        >>> plateau_rate([0.9, 0.8, 0.8, 0.9, 0.8], 1.0, patience=3)
        0.1
    """
    best, waited = float("inf"), 0
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == patience:
            rate, waited = rate * factor, 0
    return rate
