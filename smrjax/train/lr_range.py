"""The learning rate range test: with which rate to begin, read from one short run (Smith 2017, 3.3; BM, 2.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from smrjax.errors import InputError
from smrjax.train import parallel
from smrjax.train.learner import Cells, Learner, Plan, blank_state, embed_cells
from smrjax.train.loop import Diverged, Interrupted
from smrjax.train.optimizer import with_rate

#: The loss has diverged where its running average is this many times its lowest, as in torch-lr-finder.
DIVERGED = 5.0
#: Losses above all of so many first ones are smoothed as if they were as high as these.
FIRST = 10
#: A suggestion stays this many times below the rate of the lowest loss, and below the one at which it diverged.
MARGIN = 10.0
#: A fall of the loss counts from this many standard errors on,
CLEAR = 3.0
#: and from this share of the first loss on: below it, networks had hardly begun to learn where their loss was lowest.
SHALLOW = 0.05


@dataclass(frozen=True)
class RateRange:
    """What a range test saw; `dataclasses.asdict` of it is JSON-safe.

    Attributes:
        rates: Learning rate of each step, n of them, evenly spaced in the logarithm.
        losses: Loss of each step, before its own update.
        smoothed: Of `smooth`, after losses above all of the first `FIRST` have been cut.
        suggestion: Of `suggest`: the learning rate to begin with.
        diverged: Rate of the step at which the loss diverged, or None. A loss that was not finite there is left out
            of the lists.
        warning: In words, where the suggestion is not read from a fall of the loss; else empty.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    diverged: float | None
    warning: str


def lr_range(
    learner: Learner,
    cells: Cells,
    plan: Plan,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    on_step: Callable[[], object] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RateRange:
    """Train for some steps while the learning rate grows exponentially; stop early where the loss diverges.

    It begins where a training of this plan begins, with the same head and the same first goal, and runs the learner's
    own compiled step. Neither the learner nor anything on disk is changed.

    Args:
        learner: Whose optimiser has its rate in its state (`optimizer.adam`, `optimizer.sgd`).
        cells: Batches are drawn from their training part; the others are not touched.
        plan: Its batches, ``embed_batch`` and seed count.
        low: Rate of the first step.
        high: Rate of the last step.
        steps: One batch each. With a few tens of them, the loss of small batches is too noisy to be read.
        on_step: Called after every step.
        should_stop: Asked before every step.

    Raises:
        Interrupted: if ``should_stop`` said so.
        InputError: where the rates do not go up from above zero.
        Diverged: if the loss is not finite at the first rate.
    """
    if not 0 < low < high < np.inf or steps < 2:
        raise InputError(f"a range test needs 0 < low < high and 2 steps or more, got {low:g}, {high:g} and {steps}")
    devices, labels, y = learner.devices, cells.labels, cells.labels[cells.train]
    # Keys as in a training of this plan.
    head_key, refit_key, step_key = jax.random.split(jax.random.key(plan.seed), 3)
    state = blank_state(learner, cells, head_key)
    mapped = parallel.replicate(state, devices)
    if learner.method.predict is None:
        z = embed_cells(learner.embed, mapped, cells.plain, cells.train, plan.embed_batch, devices)
        goal = learner.refit(jnp.asarray(z), jnp.asarray(y), None, jax.random.fold_in(refit_key, 0))
        mapped = parallel.replicate(state.replace(goal=goal), devices)  # type: ignore[attr-defined]

    def fetch(rows: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return parallel.share(cells.read(rows), devices), parallel.share(labels[rows], devices)

    queue = map(fetch, cells.train[plan.batches(y, steps=steps, seed=plan.seed, epoch=0)])
    batch = next(queue)
    rates, losses, lowest, total = np.geomspace(low, high, steps), [], np.inf, 0.0
    diverged = None
    for number, rate in enumerate(rates.tolist()):
        if should_stop():
            raise Interrupted
        mapped = mapped.replace(opt_state=with_rate(mapped.opt_state, rate))
        mapped = learner.step(mapped, *batch, step_key)
        # The next batch is on its way while this step runs.
        batch = next(queue, batch)
        before, total = total, float(parallel.first(mapped.totals["loss"]))
        on_step()
        if not np.isfinite(total):
            diverged = rate
            break
        losses.append(total - before)
        average = float(np.average(losses, weights=rates[: number + 1]))
        lowest = min(lowest, average)
        if average > DIVERGED * lowest:
            diverged = rate
            break
    if len(losses) < 2:
        raise Diverged(
            f"the loss is infinite or NaN at the lowest learning rate {low:g} already: check images and first weights"
        )
    # A loss above all of the first ones says no more than that its rate is too high, however high it is itself; and so
    # would all losses beyond the last one, without which the smoothed ones would go on falling at their end.
    n, worst = len(losses), np.max(losses[:FIRST])
    seen = np.full(steps, worst)
    seen[:n] = np.minimum(losses, worst)
    suggestion, warning = suggest(rates, seen, diverged=diverged)
    return RateRange(
        rates=tuple(rates[:n].tolist()),
        losses=tuple(losses),
        smoothed=tuple(smooth(rates, seen)[:n].tolist()),
        suggestion=suggestion,
        diverged=diverged,
        warning=warning,
    )


def smooth(rates: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Losses smoothed exponentially in the logarithm of the rate, backwards and forwards, with bias correction; twice.

    Each time, a loss weighs at another rate as much as the square of the ratio of the lower rate to the higher one;
    weights sum to one, also at the ends. An average of the past alone, as other range tests take it, lags by up to a
    decade of rates.

    Args:
        rates: Float[n], positive.
        losses: Float[n].

    Returns:
        Float[n].

    Example:
        >>> smooth(np.array([0.1, 0.2, 0.4]), np.array([1.0, 0.0, 0.0])).round(3).tolist()
        [0.615, 0.246, 0.104]
    """
    return _weights(np.asarray(rates)) @ np.asarray(losses)


def suggest(rates: np.ndarray, losses: np.ndarray, *, diverged: float | None = None) -> tuple[float, str]:
    """The learning rate to begin a training with: a tenth of the one at which the smoothed loss is lowest.

    At the lowest loss descent begins to fail; a tenth of that rate is fastai's reading of it, and at most a tenth of
    the rate at which the loss diverged. The other common reading, where the loss falls most steeply (torch-lr-finder),
    hangs on noise where the fall is shallow: from random weights it named rates at which networks hardly learned.

    Where the loss does not fall by more than three standard errors and a twentieth, the test was too short for the
    network, and its lowest point is that of noise. A rate that does no harm is named instead: a hundredth of where the
    loss diverged, or of the highest rate.

    Args:
        rates: Float[n], evenly spaced in the logarithm, two or more.
        losses: Float[n], finite; from ``diverged`` on, as high as the first ones.
        diverged: Rate at which the test was stopped because the loss diverged, or None.

    Returns:
        The rate, and a warning in words where it is not read from a fall; else an empty one.

    Example:
        >>> rates = np.array([0.001, 0.01, 0.1, 1.0])
        >>> suggest(rates, np.array([2.0, 2.0, 1.0, 2.0]))[0]
        0.01
        >>> suggest(rates, np.array([2.0, 2.0, 2.0, 3.0]), diverged=1.0)
        (0.01, 'the loss did not fall ...')
    """
    rates, losses = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    weights = _weights(rates)
    smoothed = weights @ losses
    lowest = int(smoothed.argmin())
    fall = smoothed[0] - smoothed[lowest]
    # Of one loss; the median does not see the few steps at which the loss explodes.
    real = rates < (np.inf if diverged is None else diverged)
    scatter = 1.4826 * np.median(np.abs(losses - smoothed)[real]) if real.any() else 0.0
    error = scatter * np.linalg.norm(weights[0] - weights[lowest])
    if fall <= max(CLEAR * error, SHALLOW * abs(smoothed[0])):
        top = float(rates[-1]) if diverged is None else diverged
        careful = top / MARGIN**2
        return careful, (
            f"the loss did not fall clearly at any learning rate from {rates[0]:.3g} to {top:.3g}: {careful:.3g} is a "
            "careful guess; look at the picture of the range test, or set the learning rate yourself"
        )
    return min(float(rates[lowest]), np.inf if diverged is None else diverged) / MARGIN, ""


def _weights(rates: np.ndarray) -> np.ndarray:
    """Of every loss (column) in the smoothed loss of every step (row)."""
    once = np.minimum(rates[:, None] / rates, rates / rates[:, None]) ** 2
    once /= once.sum(axis=1, keepdims=True)
    return once @ once
