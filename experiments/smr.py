"""Spatial Maturity Regression, end to end: ``python -m experiments.smr --curve bezier``."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import tyro

from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions, block
from smrjax.curves import CURVES
from smrjax.method import PULLS
from smrjax.targets import TARGETS

if TYPE_CHECKING:
    CurveName = TargetName = PullName = str
else:
    CurveName = tyro.extras.literal_type_from_choices(list(CURVES))
    TargetName = tyro.extras.literal_type_from_choices(list(TARGETS))
    PullName = tyro.extras.literal_type_from_choices(list(PULLS))


@dataclass(frozen=True)
class SmrOptions:
    """The method (SMR, section III)."""

    method: Literal["smr", "tml", "softmax", "frozen"] = "smr"
    """smr; tml: triplets alone; softmax: cross-entropy; frozen: the initial encoder's features, no training."""
    curve: CurveName = "bezier"
    """Model of a lineage's maturation in the embedding."""
    targets: TargetName = "uniform"
    """Places of the stages along the curve: evenly (eq. 1), by frequency (eq. 2), and variants of it."""
    loss: PullName = "normal"
    """Pull toward the target: normal (eq. 3), projected (eq. 4), reduced (eq. 5), or the last two together."""
    alpha: float | None = None
    """Weight of the pull against the triplets; by default 0.2, and 0.6 in the reduced space."""
    margin: float = 0.1
    """Of the triplet loss."""
    l1: Literal["mean", "sum"] = "mean"
    """L1 distance averaged over dimensions, or summed (the paper's letter; collapses the embedding at alpha 0.2)."""
    ends: Literal["extend", "clamp"] = "extend"
    """Beyond a curve's ends: go on along the tangent, or stop there (no pull)."""
    warmup: int = 0
    """Epochs with triplets alone before the pull sets in."""


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    preset: Literal["quick", "paper"] = "quick"
    """Where defaults come from: minutes on two cores, or the paper's set-up."""
    smr: SmrOptions = block(SmrOptions)
    data: DataOptions = block(DataOptions)
    encoder: EncoderOptions = block(EncoderOptions)
    train: TrainOptions = block(TrainOptions)
    run: RunOptions = block(RunOptions)


QUICK = Config()
PAPER = replace(
    QUICK,
    preset="paper",
    data=replace(QUICK.data, image_size=224, count=4560),
    encoder=replace(QUICK.encoder, encoder="densenet121", init="imagenet"),
    train=replace(QUICK.train, epochs=300, patience=50, learning_rate=1e-4, grid_every=5),
)
PRESETS = {"quick": QUICK, "paper": PAPER}
