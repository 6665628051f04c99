"""One network, trained by the recipe of BM: its learner, its learning rate, a training, its predictions."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.kinds import LARGEST, read_kind
from experiments.strategies_options import RecipeOptions
from experiments.views import VIEWS
from smrjax.data import CellSet
from smrjax.data.augment import dihedral
from smrjax.data.resized_crop import resized_crop
from smrjax.data.sampling import balanced_batches, shuffled_batches
from smrjax.errors import InputError
from smrjax.files import write_json
from smrjax.method import logits, network
from smrjax.train import parallel
from smrjax.train.learner import Cells, Learner, Plan, build, embed_cells
from smrjax.train.loop import train
from smrjax.train.lr_range import lr_range
from smrjax.train.optimizer import plateau_rate, sgd
from smrjax.train.state import TrainState


def cells_of(cells: CellSet, train_rows: np.ndarray, validation_rows: np.ndarray) -> Cells:
    """The cells of a training: rows to train on, and rows that say which epoch is the best."""
    return Cells(cells.images.__getitem__, cells.images.__getitem__, cells.labels, {}, train_rows, validation_rows)


def learner_of(
    model: Any, variables: Any, n_classes: int, recipe: RecipeOptions, devices: list[jax.Device], *, crop: bool
) -> Learner:
    """A network with a softmax layer and its compiled programs.

    Args:
        model: Encoder without an embedding layer.
        variables: Where training begins.
        n_classes: C.
        recipe: Augmentation and momentum.
        devices: Batches are split over them.
        crop: Whether training crops at random.
    """
    optimizer = sgd(1.0, momentum=recipe.momentum)
    augment = augmentation(recipe, crop=crop)
    return build(model, variables, network(n_classes), optimizer, augment, devices, normalize=False, norm_weight=0.0)


def augmentation(recipe: RecipeOptions, *, crop: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Random views of images, with or without random crops."""
    share = recipe.min_area if crop else 1.0
    return partial(
        resized_crop,
        area=(share, 1.0),
        aspect=(3 / 4, 4 / 3) if share < 1 else (1.0, 1.0),
        rotation=recipe.rotation,
        flips=recipe.flips,
    )


def steps_of(cells: int, recipe: RecipeOptions) -> int:
    """Steps of an epoch that shows as many cells as there are to train on."""
    return -(-cells // recipe.batch)


def plan_of(recipe: RecipeOptions, rate: float, steps: int) -> Plan:
    """Numbers of a training at a learning rate."""
    return Plan(
        epochs=recipe.epochs,
        steps=steps,
        patience=recipe.patience,
        grid_every=1,
        batches=partial(balanced_batches if recipe.balanced else shuffled_batches, batch=recipe.batch),
        embed_batch=recipe.embed_batch,
        seed=recipe.seed,
        score="validation_accuracy",
        rate=lambda history: plateau_rate(
            [row["validation_loss"] for row in history], rate, factor=recipe.lr_factor, patience=recipe.lr_patience
        ),
    )


def find_rate(
    folder: Path,
    learner: Learner,
    cells: Cells,
    recipe: RecipeOptions,
    *,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> float:
    """The learning rate that training begins with: the one given, or that of a range test.

    Args:
        folder: ``lr.json`` goes there, and a range test that is done comes from there.
        learner: From `learner_of`.
        cells: Of which the training part is seen.
        recipe: ``lr`` and ``lr_steps``.
        bar: Moves on by one a step.
        should_stop: Asked between steps.

    Raises:
        Interrupted: if it said so; the test begins anew next time.
        InputError: as `lr_range`.
    """
    if recipe.lr != "auto":
        return float(recipe.lr)
    path = folder / "lr.json"
    if not path.exists():
        plan = plan_of(recipe, 1.0, steps_of(len(cells.train), recipe))
        found = lr_range(learner, cells, plan, steps=recipe.lr_steps, on_step=bar.update, should_stop=should_stop)
        if found.warning:
            tqdm.write(f"{folder}: {found.warning}")
        write_json(path, asdict(found))
    return float(read_rates(path)["suggestion"])


def read_rates(path: Path) -> dict[str, Any]:
    """What a range test left behind: ``rates``, ``losses`` and ``smoothed`` ones of every step, and the ``suggestion``.

    Raises:
        InputError: if the file is damaged.
    """
    steps = ("rates", "losses", "smoothed")
    found: dict[str, Any] = read_kind(path, dict.fromkeys(steps, [float]) | {"suggestion": float})
    alike = {len(found[name]) for name in steps}
    if 0 in alike or len(alike) > 1 or min(*found["rates"], found["suggestion"]) < 1 / LARGEST:
        raise InputError(f"{path}: its learning rates are not positive, one for each loss; take it away to test anew")
    return {name: found[name] for name in (*steps, "suggestion")}


def fit(
    folder: Path,
    learner: Learner,
    cells: Cells,
    recipe: RecipeOptions,
    rate: float,
    steps: int,
    *,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Train, or go on with a training.

    Args:
        folder: Of the training.
        learner: From `learner_of`.
        cells: From `cells_of`.
        recipe: Numbers.
        rate: Learning rate of the first epoch.
        steps: In an epoch.
        bar: Moves on by one a step.
        should_stop: Asked between steps.

    Returns:
        The state of the epoch of the best validation accuracy, and the metrics rows of all epochs.

    Raises:
        Interrupted: if it said so; the state is on disk.
        Diverged: if the loss is not finite any more.
    """
    # The rate is in the optimiser's state: trainings at different rates share their compiled programs.
    own = replace(learner, optimizer=sgd(rate, momentum=recipe.momentum))

    def on_start(done: int) -> None:
        bar.total -= done
        bar.refresh()

    def on_epoch(row: dict[str, Any]) -> None:
        bar.set_postfix_str(f"epoch {row['epoch'] + 1}, validation accuracy {row['validation_accuracy']:.3f}")

    return train(
        own,
        cells,
        plan_of(recipe, rate, steps),
        folder,
        on_start=on_start,
        on_step=bar.update,
        on_epoch=on_epoch,
        should_stop=should_stop,
    )


def probabilities(
    learner: Learner, state: TrainState, images: np.ndarray, rows: np.ndarray, recipe: RecipeOptions, *, views: bool
) -> np.ndarray:
    """What a trained network says of some cells.

    Args:
        learner: From `learner_of`.
        state: Of `fit`.
        images: UInt8[N, S, S, 3].
        rows: Of which cells, Int[n].
        recipe: Size of a batch.
        views: Average over flips and quarter turns.

    Returns:
        Float[n, C].
    """
    mapped, devices = parallel.replicate(state, learner.devices), learner.devices

    def one(k: int) -> np.ndarray:
        z = embed_cells(
            learner.embed, mapped, lambda some: dihedral(images[some], k), rows, recipe.embed_batch, devices
        )
        return np.asarray(jax.nn.softmax(logits(jnp.asarray(z), state.params["head"])))

    return np.mean([one(k) for k in range(VIEWS if views else 1)], 0)
