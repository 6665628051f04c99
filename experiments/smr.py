"""Spatial Maturity Regression, end to end: ``python -m experiments.smr --curve bezier``."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from experiments.checks import check_least, warn_of_collapse
from experiments.config import (
    DataOptions,
    EncoderOptions,
    RunOptions,
    TrainOptions,
    block,
    configure,
    few_folds,
    to_json,
)
from experiments.crossval import cross_validate
from experiments.prepare import prepare
from experiments.rendezvous import ProcessOptions, digest_of_options
from experiments.runs import identity_of, open_run, severity_of
from experiments.runtime import leave, prepare_jax
from experiments.summary import table
from smrjax.curves import CURVES
from smrjax.data.cache import cache_root
from smrjax.errors import InputError
from smrjax.method import PULLS, Method, smr, softmax, tml
from smrjax.targets import TARGETS
from smrjax.taxonomy import Taxonomy
from smrjax.train.processes import alike, leads, together, told

if TYPE_CHECKING:
    from builtins import str as CurveName
    from builtins import str as PullName
    from builtins import str as TargetName
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
    scale: Literal["parameter", "length"] = "parameter"
    """Of the projected pull: |t - target| as printed, or times the curve's length, which makes it a distance."""
    warmup: int = 0
    """Epochs with triplets alone before the pull sets in."""


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    preset: Literal["quick", "paper"] = "quick"
    """Where defaults come from: minutes on two cores (three folds of rendered cells), or the paper's set-up."""
    smr: SmrOptions = block(SmrOptions)
    data: DataOptions = block(DataOptions)
    encoder: EncoderOptions = block(EncoderOptions)
    train: TrainOptions = block(TrainOptions)
    run: RunOptions = block(RunOptions)
    together: ProcessOptions = block(ProcessOptions)


PAPER = Config(
    preset="paper",
    data=DataOptions(image_size=224, count=4560),
    encoder=EncoderOptions(encoder="densenet121", init="imagenet"),
    # Random crops and rotations are the paper's whole augmentation.
    train=TrainOptions(epochs=300, patience=50, learning_rate=1e-4, grid_every=1, flips=False, zoom=0.0, stain=0.0),
)
PRESETS = {"quick": Config(), "paper": PAPER}

#: Heading -> score of the closing table.
COLUMNS = {
    "macro-F": "macro_f1",
    "off-by-one": "off_by_one",
    "tau(stage)": "tau_stage",
    "tau(true t)": "tau_true",
    "tau within": "tau_true_within",
}


def main() -> None:
    """Run one method under cross-validation, or go on with a run."""
    config = configure(Config, PRESETS, resolved, prog="python -m experiments.smr", text=__doc__ or "", anew="together")
    prepare_jax(
        config.train.devices,
        cache_root(config.data.cache) / "xla" if config.run.compile_cache else None,
        together=config.together,
    )
    prepared = together(lambda: prepare(config, lambda taxonomy: method_of(config.smr, taxonomy)))
    identity = identity_of(prepared)
    alike(identity | {"options": digest_of_options(to_json(config))})
    if leads() and config.smr.method == "smr" and config.smr.loss == "normal":
        warn_of_collapse(config.smr.alpha or 0.0, config.smr.l1, config.encoder.embedding_dim)
    severity = severity_of(prepared.severity, prepared.severity_file)
    folder = Path(
        told(
            lambda: str(
                open_run(
                    config,
                    "smr",
                    default_name(config),
                    identity=identity,
                    severity=severity,
                    repeated=prepared.repeated,
                )
            )
        )
    )
    summary = cross_validate(config, prepared, folder, title=title(config))
    if leads():
        say(config, summary, folder)


def say(config: Config, summary: dict[str, Any], folder: Path) -> None:
    """Print what came out."""
    print(f"\n{summary['title']}\n{table(summary, COLUMNS)}")
    if config.smr.method == "smr":
        print("tau: along the method's own curves; summary.json has it along curves fitted afterwards, too\n")
    else:
        print("tau: along a line fitted to the class means afterwards\n")
    for path in summary.get("pictures", []):
        print(path)
    print(folder / "summary.json")


def resolved(config: Config) -> Config:
    """The options with every default that depends on another one filled in, as config.json shows them."""
    smr_options = config.smr
    if smr_options.alpha is None:
        smr_options = replace(smr_options, alpha=0.6 if PULLS[smr_options.loss][0] else 0.2)
    config = replace(config, smr=smr_options, data=few_folds(config.preset, config.data))
    if smr_options.method != "frozen":
        return config
    # No epoch, and no embedding layer that nobody trained: the pooled features themselves.
    return replace(config, train=replace(config.train, epochs=0), encoder=replace(config.encoder, embedding_dim=0))


def method_of(options: SmrOptions, taxonomy: Taxonomy) -> Method:
    """The method that the options name.

    Raises:
        InputError: if it needs lineages and there are none.
    """
    if options.alpha is None or not 0 <= options.alpha <= 1:
        raise InputError(f"--alpha {options.alpha}: give a number from 0 to 1")
    check_least({"--margin": (options.margin, 0), "--warmup": (options.warmup, 0)})
    if options.method in ("tml", "frozen"):
        return tml(margin=options.margin)
    if options.method == "softmax":
        return softmax(len(taxonomy.classes))
    if not any(len(line.classes) > 1 for line in taxonomy.lineages):
        raise InputError("SMR needs a lineage of two or more classes; name it with --lineages NAME=YOUNGEST,…,OLDEST")
    return smr(
        taxonomy,
        curve=options.curve,
        targets=options.targets,
        pull=options.loss,
        alpha=options.alpha,
        margin=options.margin,
        l1=options.l1,
        ends=options.ends,
        scale=options.scale,
        warmup=options.warmup,
    )


def title(config: Config) -> str:
    """The method in a few words, for tables and pictures."""
    options = config.smr
    if options.method != "smr":
        return {"tml": "TML", "softmax": "Softmax", "frozen": "Frozen features"}[options.method]
    return f"SMR {options.loss}, {options.curve} curve, {options.targets} targets"


def default_name(config: Config) -> str:
    """A folder name that says the method and when."""
    options = config.smr
    words = ["smr", options.curve, options.targets, options.loss] if options.method == "smr" else [options.method]
    return "-".join([*words, datetime.now().strftime("%Y%m%d-%H%M%S")])


if __name__ == "__main__":
    leave(main)
