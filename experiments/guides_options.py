"""Options of the guides' command line, and which of them no run could work with."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from experiments.checks import check_least
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions, block, few_folds
from smrjax.errors import InputError
from smrjax.guides import GUIDES
from smrjax.method import INVERSES

if TYPE_CHECKING:
    from builtins import str as GuideName
    from builtins import str as InverseName
else:
    GuideName = tyro.extras.literal_type_from_choices(list(GUIDES))
    InverseName = tyro.extras.literal_type_from_choices(list(INVERSES))

#: Guides that are drawn from a matrix; the others need none.
DRAWN = ("kk", "fr", "drl")


@dataclass(frozen=True)
class GuideOptions:
    """The guide and its loss (GUIDES, section III)."""

    guide: tuple[GuideName, ...] = ("drl",)
    """How classes are laid out: circular (lineages along a circle), random, or drawn from a matrix: kk (Kamada-Kawai),
    fr (Fruchterman-Reingold), drl (distributed recursive). One or several, each trained by itself."""
    matrix: Literal["similarity", "severity"] = "similarity"
    """What draws classes together: that they look alike, or that confusing them does little harm. Of severity, the
    matrix of --severity-file unless --matrix-file gives another."""
    matrix_file: Path | None = None
    """A laboratory's own matrix as CSV, 1 to 5, rows true and columns predicted, class codes in the first row and
    column; by default the one that comes with smrjax and knows all classes."""
    maturity: bool = False
    """Also draw all stages of a lineage together."""
    loss: tuple[Literal["umap", "distance"], ...] = ("umap",)
    """umap pulls each cell to its class's place, lifted into the embedding (eq. 2); distance fits distances (eq. 4).
    One or both, each trained by itself."""
    alpha: float = 0.4
    """Weight of the guide against the triplets."""
    margin: float = 0.1
    """Of the triplet loss."""
    kappa: float = 0.2
    """Share of the last epoch's lifted places that stays (eq. 1)."""
    inverse: InverseName = "umap"
    """How places are lifted: the inverse of a UMAP of the epoch's embeddings, or rbf, a smooth map (ours)."""
    umap_samples: int = 1000
    """Fit UMAP to this many embeddings at most."""
    umap_every: int = 1
    """Epochs from one lift to the next."""
    grow: int = 0
    """Epochs over which the guide grows to its full size (ours)."""
    l1: Literal["mean", "sum"] = "mean"
    """Under --loss umap, the L1 distance to the lifted place averaged over dimensions, or summed (the paper's letter).
    The distance loss always sums, as printed."""
    all: bool = False
    """Run all eleven guides under both losses and the baseline, as in the paper's figures 4 and 5."""


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    preset: Literal["quick", "paper"] = "quick"
    """Where defaults come from: minutes on two cores (three folds of rendered cells), or the paper's set-up."""
    guides: GuideOptions = block(GuideOptions)
    data: DataOptions = block(DataOptions)
    encoder: EncoderOptions = block(EncoderOptions)
    train: TrainOptions = block(TrainOptions)
    run: RunOptions = block(RunOptions)


PRESETS = {
    "quick": Config(),
    "paper": Config(
        preset="paper",
        data=DataOptions(image_size=224, count=4560),
        encoder=EncoderOptions(encoder="densenet121", init="imagenet"),
        # Random crops and rotations are the paper's whole augmentation.
        train=TrainOptions(epochs=300, patience=50, learning_rate=1e-4, grid_every=5, flips=False, zoom=0.0, stain=0.0),
    ),
}


def resolved(config: Config) -> Config:
    """The options with every default that depends on another one filled in."""
    return replace(config, data=few_folds(config.preset, config.data))


def check(options: GuideOptions) -> None:
    """Numbers that no run could work with.

    Raises:
        InputError: for the first one.
    """
    for flag, names in (("--guide", options.guide), ("--loss", options.loss)):
        if not names:
            raise InputError(f"{flag}: name one or more")
    for flag, value in (("--alpha", options.alpha), ("--kappa", options.kappa)):
        if not 0 <= value <= 1:
            raise InputError(f"{flag} {value}: give a number from 0 to 1")
    if options.matrix_file and not (options.all or set(options.guide) & set(DRAWN)):
        raise InputError(f"--matrix-file draws no {' or '.join(options.guide)} guide; add --guide kk, fr or drl")
    check_least(
        {
            "--margin": (options.margin, 0),
            "--umap-samples": (options.umap_samples, 20),
            "--umap-every": (options.umap_every, 1),
            "--grow": (options.grow, 0),
        }
    )
