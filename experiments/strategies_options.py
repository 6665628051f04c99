"""Options of the training strategies' command line, the rows they ask for, and which of them no run could work with."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from experiments.checks import check_explain, check_least, check_named_once
from experiments.config import DataOptions, RunOptions, block, few_folds
from smrjax.data import DATASETS
from smrjax.encoders import ENCODERS
from smrjax.errors import InputError

if TYPE_CHECKING:
    from builtins import str as EncoderName
else:
    EncoderName = tyro.extras.literal_type_from_choices(list(ENCODERS))

#: The networks and initialisations of BM, Table 4.
TABLE4_ENCODERS = ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32", "resnext50_32x4d")
TABLE4_INITS = ("random", "imagenet", "pcam", "cd", "imagenet+pcam", "imagenet+cd")
#: What the published networks drop of their last features in training; the others drop nothing.
DROPOUT = {"vgg19_bn": 0.5}


@dataclass(frozen=True)
class StrategyOptions:
    """Networks and where their training begins (BM, sections 2.2 and 2.4)."""

    encoder: tuple[EncoderName, ...] = ("densenet_small",)
    """Networks with a softmax layer, each trained from every --init."""
    init: tuple[str, ...] = ("random",)
    """Where training begins: random; imagenet; a .safetensors or .pth file; or the folder of a run. After a + the name
    of a labelled set to pre-train on, as in imagenet+cd; its name alone begins with random weights."""
    pretrain: tuple[str, ...] = ()
    """The labelled sets named in --init: cd=FOLDER, or anything else that --data reads; pcam and other sets with a name
    of their own need not be given."""
    table4: bool = False
    """All rows of the paper's Table 4 that there are weights and data for; which ones are left out is told."""
    dropout: float | None = None
    """Share of the last features that training leaves out; by default as published: 0.5 in vgg19_bn, none elsewhere."""


@dataclass(frozen=True)
class RecipeOptions:
    """Training (BM, sections 2.2 and 2.3).

    Unlike the paper's, crops come from the image as it was decoded, at --image-size, and of an image that is no square
    from the square in its middle; all folds draw from one seed, so that their deviation is that of the split.
    """

    epochs: int = 75
    """Epochs at most, in pre-training, too."""
    patience: int = 75
    """Stop after this many epochs without a better validation accuracy; the paper never does."""
    batch: int = 32
    """Cells a batch."""
    lr: str = "auto"
    """Learning rate of the first epoch; auto: by a range test on the first fold's training part, for every row (so that
    the test cells of other folds have a say in this one number)."""
    momentum: float = 0.9
    """Of stochastic gradient descent."""
    lr_factor: float = 0.1
    """The learning rate is multiplied by it when the validation loss no longer falls …"""
    lr_patience: int = 3
    """… for this many epochs in a row."""
    lr_steps: int = 100
    """Steps of the range test."""
    balanced: bool = True
    """Show every class equally often (no-balanced: every cell)."""
    min_area: float = 0.08
    """Smallest share of an image that a random crop keeps; 1 keeps all of it. Pre-training never crops."""
    rotation: bool = True
    """Rotate training images by 0 to 180 degrees."""
    flips: bool = True
    """Mirror training images, left-right and top-bottom."""
    embed_batch: int = 64
    """Cells at a time where nothing is trained."""
    bfloat16: bool = False
    """Compute in bfloat16; parameters and statistics stay float32."""
    seed: int = 0
    """Of splits, weights, batches, augmentation and dropout."""
    devices: int = 0
    """Use this many devices; 0 for as many of all there are as divide a batch. On CPUs, that many are simulated."""


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    preset: Literal["quick", "paper"] = "quick"
    """Where defaults come from: minutes on two cores (three folds of rendered cells), or the paper's set-up."""
    strategy: StrategyOptions = block(StrategyOptions)
    data: DataOptions = DataOptions(folds=5)
    recipe: RecipeOptions = block(RecipeOptions)
    run: RunOptions = block(RunOptions)


PRESETS = {
    "quick": Config(recipe=RecipeOptions(epochs=12)),
    "paper": Config(
        preset="paper",
        strategy=StrategyOptions(encoder=("regnet_y_32gf",), init=("imagenet+cd",)),
        data=DataOptions(data="marrow21", folds=5, image_size=224),
    ),
}


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        encoder: Name in `ENCODERS`.
        begin: random, imagenet, a file of weights or a run's folder.
        sets: Names of the sets it is pre-trained on, in this order.
    """

    encoder: str
    begin: str
    sets: tuple[str, ...]

    @property
    def init(self) -> str:
        """The initialisation as the paper writes it: random weights are named only where nothing follows."""
        begin = re.sub(r"[^\w.-]", "_", Path(self.begin).name)
        return "+".join(self.sets if begin == "random" and self.sets else (begin, *self.sets))

    @property
    def folder(self) -> str:
        """Below the run's folder."""
        return f"{self.encoder}/{self.init}"

    def __str__(self) -> str:
        """For messages."""
        return f"{self.encoder}, {self.init}"


def rows_of(options: StrategyOptions) -> tuple[Row, ...]:
    """Every network with every initialisation; of ResNeXt-50, the paper's Table 4 has the random one alone."""
    rows = [Row(encoder, *_parts(init, options)) for encoder in options.encoder for init in options.init]
    if options.table4:
        rows = [row for row in rows if row.encoder != "resnext50_32x4d" or row.init == "random"]
    return tuple(rows)


def _parts(init: str, options: StrategyOptions) -> tuple[str, tuple[str, ...]]:
    """Where an initialisation begins, and on which sets it goes on; a name wins over a folder of that name."""
    first, *sets = init.split("+")
    if first in ("random", "imagenet"):
        return first, tuple(sets)
    if first in sets_of(options) or first in DATASETS:
        return "random", (first, *sets)
    if Path(init).exists():
        return init, ()
    if Path(first).exists() or "/" in first or Path(first).suffix in (".safetensors", ".pth"):
        return first, tuple(sets)
    return "random", (first, *sets)


def sets_of(options: StrategyOptions) -> dict[str, str]:
    """What ``--pretrain`` says: name -> what ``load`` is to read."""
    return dict(text.split("=", 1) for text in options.pretrain)


def resolved(config: Config) -> Config:
    """The options with every default that depends on another one filled in.

    Raises:
        InputError: for networks or initialisations beside ``--table4``.
    """
    options, default = config.strategy, PRESETS[config.preset].strategy
    if options.table4:
        if (options.encoder, options.init) != (default.encoder, default.init):
            raise InputError(
                "--table4 has its own networks and first weights; give no --encoder and no --init beside it"
            )
        options = replace(options, encoder=TABLE4_ENCODERS, init=TABLE4_INITS)
    return replace(config, strategy=options, data=few_folds(config.preset, config.data))


def check(config: Config) -> None:
    """Options that no run could work with.

    Raises:
        InputError: for the first one.
    """
    options, recipe, data = config.strategy, config.recipe, config.data
    check_least(
        {
            "--count": (data.count, 1),
            "--image-size": (data.image_size, 1),
            "--folds": (data.folds, 3),
            "--epochs": (recipe.epochs, 1),
            "--patience": (recipe.patience, 1),
            "--batch": (recipe.batch, 1),
            "--lr-patience": (recipe.lr_patience, 1),
            "--lr-steps": (recipe.lr_steps, 10),
            "--embed-batch": (recipe.embed_batch, 1),
            "--seed": (recipe.seed, 0),
            "--devices": (recipe.devices, 0),
        }
    )
    for flag, share, low, high in (
        ("--momentum", recipe.momentum, 0.0, 1.0),
        ("--lr-factor", recipe.lr_factor, 0.0, 1.0),
        ("--dropout", options.dropout or 0.0, 0.0, 1.0),
    ):
        if not low <= share < high:
            raise InputError(f"{flag} {share}: give {low:g} or more, below {high:g}")
    if not 0 < recipe.min_area <= 1:
        raise InputError(f"--min-area {recipe.min_area}: give a share above 0, up to 1")
    if recipe.lr != "auto":
        try:
            rate = float(recipe.lr)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise InputError(f"--lr {recipe.lr}: write auto, or a number above 0")
    for text in options.pretrain:
        name, equals, source = text.partition("=")
        if not equals or not source or not re.fullmatch(r"[\w.-]+", name):
            raise InputError(f"--pretrain {text}: write NAME=FOLDER, as in cd=cervical_crops")
    rows = rows_of(options)
    if not rows:
        raise InputError("nothing to train: name networks by --encoder and initialisations by --init")
    folders = [row.folder for row in rows]
    for row in rows:
        if folders.count(row.folder) > 1:
            raise InputError(f"two rows are called {row}; name each network and initialisation once")
        if "" in row.sets:
            raise InputError(f"--init {'+'.join((row.begin, *row.sets))}: write names with a single + between them")
    check_named_once(data)
    check_explain(config.run)
