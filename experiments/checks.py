"""Options that no run could work with, said before anything is read or made."""

import math
import warnings

from experiments.config import DataOptions, EncoderOptions, TrainOptions
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
    for flag, (value, low) in least.items():
        if not (math.isfinite(value) and value >= low):
            raise InputError(f"{flag} {value}: give {low} or more")
    if not 0 <= encoder.dropout < 1:
        raise InputError(f"--dropout {encoder.dropout}: give 0 or more, below 1")
    if len(set(data.only_folds)) < len(data.only_folds):
        raise InputError(f"--only-folds {' '.join(map(str, data.only_folds))}: name each fold once")
    if encoder.embedding_dim == 0 and train.epochs > 0:
        raise InputError("--embedding-dim 0 is for features that are not trained (--method frozen); give 2 or more")


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
