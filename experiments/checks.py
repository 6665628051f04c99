"""Options that no run could work with, said before anything is read or made."""

import math
import warnings
from collections.abc import Collection, Mapping

from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from smrjax.errors import InputError


def check_options(data: DataOptions, encoder: EncoderOptions, train: TrainOptions) -> None:
    """Check every number against its range.

    Raises:
        InputError: for the first one outside.
    """
    least = {
        "--count": (data.count, 1),
        "--image-size": (data.image_size, 1),
        "--folds": (data.folds, 3),
        "--embedding-dim": (encoder.embedding_dim, 0),
        "--epochs": (train.epochs, 0),
        "--patience": (train.patience, 1),
        "--learning-rate": (train.learning_rate, 0),
        "--weight-decay": (train.weight_decay, 0),
        "--classes-per-batch": (train.classes_per_batch, 2),
        "--per-class": (train.per_class, 1),
        "--norm-weight": (train.norm_weight, 0),
        "--grid-every": (train.grid_every, 1),
        "--crop": (train.crop, 0),
        "--zoom": (train.zoom, 0),
        "--stain": (train.stain, 0),
        "--embed-batch": (train.embed_batch, 1),
        "--seed": (train.seed, 0),
        "--devices": (train.devices, 0),
    }
    check_least(least)
    if not 0 <= encoder.dropout < 1:
        raise InputError(f"--dropout {encoder.dropout}: give 0 or more, below 1")
    check_named_once(data)
    if encoder.embedding_dim == 0 and train.epochs > 0:
        raise InputError("--embedding-dim 0 is for features that are not trained (--method frozen); give 2 or more")


def check_least(least: Mapping[str, tuple[float, float]]) -> None:
    """Make sure that numbers are no smaller than they may be.

    Args:
        least: Flag -> its value and the least that it may have.

    Raises:
        InputError: for the first that is, or is not finite.
    """
    for flag, (value, low) in least.items():
        if not (math.isfinite(value) and value >= low):
            raise InputError(f"{flag} {value}: give {low} or more")


def check_named_once(data: DataOptions) -> None:
    """Make sure that no fold is asked for twice.

    Raises:
        InputError: if one is.
    """
    if len(set(data.only_folds)) < len(data.only_folds):
        raise InputError(f"--only-folds {' '.join(map(str, data.only_folds))}: name each fold once")


def check_explain(run: RunOptions) -> None:
    """Options of ``--explain`` are for it alone.

    Raises:
        InputError: if they are given without it.
    """
    for flag, given in (("--explain-classes", run.explain_classes), ("--explain-stage", run.explain_stage)):
        if given and not run.explain:
            raise InputError(f"{flag} is for --explain; give that, too, or leave this out")


def check_explained(run: RunOptions, classes: tuple[str, ...], stages: Collection[str]) -> None:
    """Make sure that ``--explain`` can show what it is asked for.

    Args:
        run: Options.
        classes: Codes.
        stages: Of the network that have heat maps for images of this size.

    Raises:
        InputError: for a class or a stage that there is not.
    """
    for code in run.explain_classes:
        if code not in classes:
            raise InputError(f"--explain-classes {code}: there is no such class; there are {', '.join(classes)}")
    if run.explain and not stages:
        raise InputError(
            "--explain: no stage of the network has heat maps of images this small; give a larger --image-size"
        )
    if run.explain_stage and run.explain_stage not in stages:
        raise InputError(f"--explain-stage {run.explain_stage}: the stages with heat maps are {', '.join(stages)}")


def warn_of_collapse(alpha: float, l1: str, embedding_dim: int) -> None:
    """Warn where a pull toward a point outweighs the triplets so far that embeddings fall onto it.

    The pull's gradient is a sign in every dimension: its share of the loss, undivided by the dimensions if these are
    summed, is what the triplets have to hold against.
    """
    strength = alpha / max(1 - alpha, 1e-9) / (1 if l1 == "sum" else embedding_dim)
    if strength > 0.01:
        warnings.warn(
            f"--l1 {l1} with alpha {alpha:g} pulls {strength:.2g} as hard as the triplets in every dimension; above "
            "0.01 embeddings collapse and classes are lost: use --l1 mean or a smaller --alpha",
            stacklevel=2,
        )
