"""From options to everything that a run works with, before a run folder is made: bad input leaves nothing behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from experiments.checks import check_explain, check_explained, check_options
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.duplicates import Repeated, look_for_duplicates, sides_of
from experiments.first_weights import check_unseen, known_by
from experiments.views import Views, of_features, of_images, precompute
from smrjax.data import CellSet, load
from smrjax.data.augment import augment
from smrjax.data.folds import make_folds, split
from smrjax.encoders import ENCODERS, load_torch_weights
from smrjax.errors import InputError
from smrjax.explain import map_sizes
from smrjax.guides import find_matrix_file, read_matrix
from smrjax.method import Method
from smrjax.taxonomy import Taxonomy, for_classes, load_taxonomy, parse_lineages
from smrjax.train.learner import Cells
from smrjax.train.step import AXIS
from smrjax.train.transfer import load_encoder

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]
#: Rows of the training, the validation and the test part of a fold.
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


class Blocks(Protocol):
    """The option blocks that the configuration of every experiment has."""

    @property
    def data(self) -> DataOptions:
        """Which cells."""

    @property
    def encoder(self) -> EncoderOptions:
        """The network."""

    @property
    def train(self) -> TrainOptions:
        """Optimisation."""

    @property
    def run(self) -> RunOptions:
        """Where results go."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is read or built before a run folder is made, so that bad input leaves nothing behind.

    ``weights`` is what the encoder's first variables are known by. ``untrained`` are those of them that no checkpoint
    will have: stages computed beforehand, or all where there is no epoch; None where there are none. ``repeated`` are
    the cells' duplicates.
    """

    cells: CellSet
    taxonomy: Taxonomy
    method: Method
    severity: np.ndarray | None
    severity_file: str | None
    folds: np.ndarray
    parts: list[Parts]
    views: Views
    model: Any
    variables: Any
    weights: str
    devices: list[jax.Device]
    untrained: Any
    repeated: Repeated


def prepare(blocks: Blocks, method_of: Callable[[Taxonomy], Method]) -> Prepared:
    """Read the cells, check the options against them, build the method and the encoder.

    Args:
        blocks: Options.
        method_of: Taxonomy -> method; raises `InputError` where they do not fit.

    Raises:
        InputError: for anything in them that does not fit.
    """
    data, options = blocks.data, blocks.train
    check_options(data, blocks.encoder, options)
    check_explain(blocks.run)
    cells, taxonomy = read_cells(data, data.image_size)
    # Before folds and network: what does not fit the classes is said soonest.
    method = method_of(taxonomy)
    folds = make_folds(
        cells.labels,
        groups=cells.groups,
        given=cells.folds,
        n_folds=data.folds,
        seed=options.seed,
        classes=cells.classes,
    )
    check_only_folds(data, int(folds.max()) + 1)
    parts = [split(folds, fold) for fold in range(int(folds.max()) + 1)]
    repeated = duplicates_in(data, cells, sides_of(parts, len(cells)))
    return equip(blocks, cells, taxonomy, method, folds, parts, repeated)


def training_cells(prepared: Prepared, fold: int) -> Cells:
    """The cells of a fold's training, as the training sees them."""
    cells, views = prepared.cells, prepared.views
    train_rows, validation_rows, _ = prepared.parts[fold]
    lineages = {
        line.name: np.array([cells.classes.index(c) for c in line.classes]) for line in prepared.taxonomy.lineages
    }
    return Cells(views.read, lambda rows: views.view(rows, 0), cells.labels, lineages, train_rows, validation_rows)


def read_cells(data: DataOptions, size: int) -> tuple[CellSet, Taxonomy]:
    """The cells that the options name, as squares of so many pixels, and their taxonomy.

    Raises:
        InputError: for anything in them that does not fit.
    """
    cells = load(data.data, size=size, count=data.count, seed=data.render_seed, cache_dir=data.cache)
    own = load_taxonomy(data.taxonomy) if data.taxonomy else None
    return cells, for_classes(cells.classes, parse_lineages(data.lineages), own=own, name=cells.name)


def duplicates_in(
    data: DataOptions, cells: CellSet, sides: np.ndarray, *, others: Mapping[str, CellSet] | None = None
) -> Repeated:
    """The duplicates of the cells in these parts of each fold, and of sets trained on before: `look_for_duplicates`.

    Raises:
        InputError: under ``--strict-split``, if some are in two parts of a fold.
    """
    return look_for_duplicates(
        cells, sides, data.only_folds, others=others or {}, cache=data.cache, strict=data.strict_split
    )


def check_only_folds(data: DataOptions, n_folds: int) -> None:
    """Make sure that the folds asked for are there.

    Raises:
        InputError: for the first that is not.
    """
    for fold in data.only_folds:
        if not 0 <= fold < n_folds:
            raise InputError(f"--only-folds {fold}: there are folds 0 to {n_folds - 1}")


def equip(
    blocks: Blocks,
    cells: CellSet,
    taxonomy: Taxonomy,
    method: Method,
    folds: np.ndarray,
    parts: list[Parts],
    repeated: Repeated,
) -> Prepared:
    """Everything else that a training of these cells works with.

    Args:
        blocks: Options.
        cells: To train on and to test with.
        taxonomy: Of these cells.
        method: What is learnt.
        folds: Whatever ``parts`` follow from, for the run to be known by.
        parts: Of every fold.
        repeated: From `duplicates_in`.

    Raises:
        InputError: for options that do not fit.
    """
    severity, severity_file = find_severity(blocks.data, cells.classes)
    check_decision(blocks.run, severity)
    options = blocks.train
    devices = devices_for(options.devices, options.classes_per_batch * options.per_class)
    model, variables = encoder_of(blocks)
    tested = blocks.data.only_folds or range(len(parts))
    check_unseen(blocks.encoder.init, cells, folds, tested, strict=blocks.data.strict_split)
    check_explained(
        blocks.run, cells.classes, map_sizes(model, variables, blocks.data.image_size, blocks.data.image_size)
    )
    views = of_images(cells.images, augmentation(options))
    whole, untrained = variables, None
    weights = known_by(whole, blocks.encoder.encoder, blocks.encoder.init, seed=options.seed)
    if blocks.encoder.precompute:
        frozen = blocks.encoder.frozen_stages
        features, model, variables = precompute(cells, model, variables, frozen, blocks.data.cache)
        views = of_features(features)
        untrained = {kind: {k: v for k, v in tree.items() if k not in variables[kind]} for kind, tree in whole.items()}
    return Prepared(
        cells,
        taxonomy,
        method,
        severity,
        severity_file,
        folds,
        parts,
        views,
        model,
        variables,
        weights,
        devices,
        untrained if options.epochs else whole,
        repeated,
    )


def augmentation(options: TrainOptions) -> Augmentation:
    """Random views of images under the options, see `smrjax.data.augment.augment`."""
    return partial(augment, **{k: getattr(options, k) for k in ("rotation", "flips", "crop", "zoom", "stain")})


def find_severity(data: DataOptions, classes: tuple[str, ...]) -> tuple[np.ndarray | None, str | None]:
    """The severity matrix of these classes and the name of its file; None where there is none.

    Raises:
        InputError: for a file that `read_matrix` refuses.
    """
    if data.severity_file:
        return read_matrix(data.severity_file, classes), str(data.severity_file)
    path = find_matrix_file("severity", classes)
    if path is None:
        return None, None
    return read_matrix(path, classes, subset=True), f"smrjax/{path.parent.name}/{path.name}"


def check_decision(run: RunOptions, severity: np.ndarray | None) -> None:
    """Make sure that there is a matrix to decide by.

    Raises:
        InputError: if not.
    """
    if severity is None and run.decision == "severity":
        raise InputError("--decision severity needs a severity matrix of these classes; give one by --severity-file")


def devices_for(asked: int, batch: int) -> list[jax.Device]:
    """So many devices of every process, or for 0, of all there are, as many as a batch can be split over.

    Raises:
        InputError: for more than there are, or a number that does not divide the batch.
    """
    everywhere = [[d for d in jax.devices() if d.process_index == i] for i in range(jax.process_count())]
    here, processes = min(map(len, everywhere)), len(everywhere)
    if asked > here:
        raise InputError(f"--devices {asked}: there are {here} here")
    count = asked or max((n for n in range(1, here + 1) if batch % (n * processes) == 0), default=1)
    if batch % (count * processes):
        among = f"{count * processes} devices" if processes == 1 else f"{processes} processes of {count} devices"
        raise InputError(f"a batch of {batch} cells cannot be split evenly over {among}; change its size, or --devices")
    return [device for own in everywhere for device in own[:count]]


def encoder_of(blocks: Blocks) -> tuple[Any, Any]:
    """The encoder and its first variables."""
    options, size = blocks.encoder, blocks.data.image_size
    model = ENCODERS[options.encoder](
        embedding_dim=options.embedding_dim,
        dropout=options.dropout,
        dtype=jnp.bfloat16 if options.bfloat16 else jnp.float32,
        frozen_stages=options.frozen_stages,
        axis_name=AXIS,
    )
    last = len(model.stage_names) - 1
    if not 0 <= options.frozen_stages <= last:
        raise InputError(f"--frozen-stages {options.frozen_stages}: {options.encoder} has 0 to {last} to freeze")
    if options.precompute and not options.frozen_stages:
        raise InputError("--precompute stores what frozen stages return: say how many by --frozen-stages")
    return model, first_variables(model, options.encoder, options.init, size=size, seed=blocks.train.seed)


def first_variables(model: Any, encoder: str, init: str, *, size: int, seed: int) -> Any:
    """The variables that training begins with.

    Args:
        model: Of ``encoder``.
        encoder: Name in `ENCODERS`.
        init: See `EncoderOptions.init`.
        size: Pixels a side.
        seed: Of random weights.

    Raises:
        InputError: as `load_torch_weights` and `load_encoder`.
    """
    # Of the random generators, rbg compiles twice as fast for the many draws of an initialisation.
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, size, size, 3)), train=False))(
        jax.random.key(seed, impl="rbg")
    )
    return with_weights(variables, encoder, init)


def with_weights(variables: Any, encoder: str, init: str) -> Any:
    """An encoder's variables with the weights that ``init`` names; of shapes alone, too, to see whether they fit.

    Raises:
        InputError: as `load_torch_weights` and `load_encoder`.
    """
    if init == "random":
        return variables
    return load_encoder(Path(init), variables) if Path(init).is_dir() else load_torch_weights(init, encoder, variables)
