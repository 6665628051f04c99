"""Options of the baselines' command line, and which of them no run could work with."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.checks import check_explain, check_least, check_options
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions, block
from smrjax.classical.features import FEATURES
from smrjax.classical.search import CLASSIFIERS
from smrjax.encoders import ENCODERS
from smrjax.errors import InputError

if TYPE_CHECKING:
    from builtins import str as ClassifierName
    from builtins import str as EncoderName
    from builtins import str as FeatureName
else:
    FeatureName = tyro.extras.literal_type_from_choices([*FEATURES, *ENCODERS])
    ClassifierName = tyro.extras.literal_type_from_choices(list(CLASSIFIERS))
    EncoderName = tyro.extras.literal_type_from_choices(list(ENCODERS))


@dataclass(frozen=True)
class BaselineOptions:
    """What is compared, and how thoroughly each is searched (OOTB, sections 3 and 4)."""

    task: Literal["neutrophilic", "leukocytes", "all"] = "neutrophilic"
    """neutrophilic: the stages of one lineage; leukocytes: cells against artefacts; all: every class but artefacts."""
    lineage: str = ""
    """Of the task neutrophilic: this lineage; by default the one called neutrophil, or the only one."""
    artefacts: tuple[str, ...] = ()
    """Codes of the classes that are artefacts; by default those that the taxonomy calls so."""
    features: tuple[FeatureName, ...] = ("hog", "shog", "lbp")
    """hog; shog, the same of the image in polar coordinates; lbp; or the pooled output of a network by its name."""
    classifiers: tuple[ClassifierName, ...] = tuple(CLASSIFIERS)
    """Linear SVM, RBF SVM, random forest (rfc), AdaBoost (abc), each on every feature."""
    networks: tuple[EncoderName, ...] = ("densenet_small",)
    """Networks with a softmax layer, trained as a whole."""
    beside: Annotated[str, tyro.conf.arg(name="with", metavar="tml,softmax,smr,guides")] = ""
    """Methods that learn embeddings, on the same folds: names separated by commas."""
    inner_folds: int = 6
    """Parts of every outer training part, for the search; one of them stops the last training of a network."""
    sets: int = 5
    """Sets of hyper-parameters that each classifier's random search tries, on every feature and outer fold."""
    network_sets: int = 2
    """The same for each network."""
    network_parts: int = 1
    """Inner folds that judge a network's set: all of --inner-folds, or fewer to save time."""
    copies: int = 1
    """Turned and shifted copies of every training cell, for classifiers; networks get a new view every time."""
    descriptor_size: int = 64
    """Side of the square images that hog, shog and lbp are computed of; networks see --image-size."""
    hog_cell: int | None = None
    """Side of a cell of hog and shog in pixels; by default a quarter of the image's (50 px at the paper's 200 px)."""
    hog_block: int = 2
    """Side of a block, in cells: 2 for the paper's 4 cells per block, 4 for the other reading."""
    weights: tuple[str, ...] = ()
    """Where networks begin, each by its name: resnet18=FILE.safetensors, efficientnet_lite0=imagenet; all others begin
    as --init says."""


@dataclass(frozen=True)
class WorkerOptions:
    """Where classifiers are searched; changes no result, and may be given anew with --resume."""

    jobs: int = 0
    """Processes at a time; 0 for as many as there are processors."""
    scheduler: str = ""
    """HOST:PORT of a Dask scheduler on whose workers classifiers are searched."""


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    preset: Literal["quick", "paper"] = "quick"
    """Where defaults come from: minutes on two cores, or the paper's protocol (a cluster, and a GPU for networks)."""
    baselines: BaselineOptions = block(BaselineOptions)
    data: DataOptions = DataOptions(folds=3)
    encoder: EncoderOptions = block(EncoderOptions)
    # OOTB, section 4: rotation and a shift of up to 10 of 200 pixels are the whole augmentation.
    train: TrainOptions = TrainOptions(flips=False, crop=0.05, zoom=0.0, stain=0.0)
    run: RunOptions = block(RunOptions)
    workers: WorkerOptions = block(WorkerOptions)


PRESETS = {
    "quick": Config(data=DataOptions(folds=3, count=600)),
    "paper": Config(
        preset="paper",
        baselines=BaselineOptions(
            features=("hog", "shog", "lbp", "resnet18", "resnet152"),
            networks=("resnet18", "resnet152"),
            sets=150,
            network_sets=10,
            network_parts=6,
            copies=4,
            descriptor_size=200,
        ),
        data=DataOptions(folds=3, image_size=200, count=5809),
        encoder=EncoderOptions(encoder="resnet18", init="imagenet"),
        train=TrainOptions(epochs=100, patience=10, learning_rate=1e-4, flips=False, crop=0.05, zoom=0.0, stain=0.0),
    ),
}


def resolved(config: Config) -> Config:
    """The options with every default that depends on another one filled in."""
    options = config.baselines
    if options.hog_cell is None:
        options = replace(options, hog_cell=max(options.descriptor_size // 4, 1))
    return replace(config, baselines=options)


def check(config: Config) -> None:
    """Numbers that no run could work with.

    Raises:
        InputError: for the first one.
    """
    check_options(config.data, config.encoder, config.train)
    check_explain(config.run)
    options = config.baselines
    check_least(
        {
            "--inner-folds": (options.inner_folds, 3),
            "--sets": (options.sets, 1),
            "--network-sets": (options.network_sets, 1),
            "--network-parts": (options.network_parts, 1),
            "--copies": (options.copies, 0),
            "--descriptor-size": (options.descriptor_size, 1),
            "--hog-cell": (options.hog_cell or 0, 1),
            "--hog-block": (options.hog_block, 1),
            "--jobs": (config.workers.jobs, 0),
        }
    )
    if options.network_parts > options.inner_folds:
        raise InputError(f"--network-parts {options.network_parts}: there are {options.inner_folds} inner folds")
    if not (options.features and options.classifiers) and not options.networks and not beside(options):
        raise InputError("nothing to compare: name --features and --classifiers, --networks, or methods by --with")
    if config.train.epochs < 1 and (options.networks or beside(options)):
        raise InputError(f"--epochs {config.train.epochs}: give 1 or more, or name no --networks and no --with")
    if not beside(options):
        for flag, given in (
            ("--tta", config.run.tta),
            ("--explain", config.run.explain),
            ("--decision severity", config.run.decision == "severity"),
            ("--frozen-stages", config.encoder.frozen_stages),
            ("--bfloat16", config.encoder.bfloat16),
        ):
            if given:
                raise InputError(f"{flag} is for methods that learn embeddings; name some by --with, or leave it out")
    for flag, names in (
        ("--features", options.features),
        ("--classifiers", options.classifiers),
        ("--networks", options.networks),
    ):
        if len(set(names)) < len(names):
            raise InputError(f"{flag} {' '.join(names)}: name each once")
    used = {*options.features, *options.networks, *([config.encoder.encoder] if beside(options) else [])}
    for text in options.weights:
        name, equals, file = text.partition("=")
        if not equals or not file or name not in ENCODERS:
            raise InputError(f"--weights {text}: write NAME=FILE or NAME=imagenet, as in resnet18=FILE.safetensors")
        if name not in used:
            raise InputError(f"--weights {text}: nothing here uses {name}; name it in --features or --networks")


def beside(options: BaselineOptions) -> tuple[str, ...]:
    """The methods named by ``--with``."""
    return tuple(filter(None, (name.strip() for name in options.beside.split(","))))
