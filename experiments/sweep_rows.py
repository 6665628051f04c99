"""The rows of the papers' figures and tables, as arguments of the experiments."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sweep:
    """Trainings that belong together.

    Attributes:
        experiment: The module, ``smr`` of ``experiments.smr``.
        rows: Name -> the options in which the row differs from all others.
    """

    experiment: str
    rows: dict[str, dict[str, Any]]


#: SMR, Figure 3: three curves, two targets and four losses, and the triplet baseline.
FIGURE3 = {"tml": {"method": "tml"}} | {
    f"{curve}-{targets}-{loss}": {"curve": curve, "targets": targets, "loss": loss}
    for curve in ("fixed", "svd", "bezier")
    for targets in ("uniform", "frequency")
    for loss in ("normal", "projected", "reduced", "reduced_projected")
}

#: GUIDES, Figure 5: the triplet baseline, and eleven guides under both losses.
FIGURE5: dict[str, dict[str, Any]] = {"tml": {}} | {
    f"{guide}-{loss}": {"guide": guide, "loss": loss}
    for guide in (
        *(f"{layout}-{kind}" for layout in ("kk", "fr", "drl") for kind in ("similarity", "severity")),
        *(f"{layout}-similarity-maturity" for layout in ("kk", "fr", "drl")),
        "circular",
        "random",
    )
    for loss in ("umap", "distance")
}

#: BM, Table 4: four networks from six initialisations, and ResNeXt-50 from random weights.
TABLE4 = {
    f"{encoder}/{init}": {"encoder": (encoder,), "init": (init,)}
    for encoder in ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32")
    for init in ("random", "imagenet", "pcam", "cd", "imagenet+pcam", "imagenet+cd")
} | {"resnext50_32x4d/random": {"encoder": ("resnext50_32x4d",), "init": ("random",)}}

SWEEPS = {
    "smr-figure3": Sweep("smr", FIGURE3),
    "guides-figure5": Sweep("guides", FIGURE5),
    "bm-table4": Sweep("strategies", TABLE4),
}
