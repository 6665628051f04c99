"""From options to everything that a run works with, before a run folder is made: bad input leaves nothing behind."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from experiments.checks import check_options
from experiments.config import DataOptions, EncoderOptions, RunOptions, TrainOptions
from experiments.views import Views, of_features, of_images, precompute
from smrjax.data import CellSet, load
from smrjax.data.augment import augment
from smrjax.data.folds import make_folds
from smrjax.encoders import ENCODERS, load_torch_weights
from smrjax.errors import InputError
from smrjax.guides import find_matrix_file, read_matrix
from smrjax.method import Method
from smrjax.taxonomy import Taxonomy, for_classes, load_taxonomy, parse_lineages
from smrjax.train.step import AXIS


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
    """Everything that is read or built before a run folder is made, so that bad input leaves nothing behind."""

    cells: CellSet
    taxonomy: Taxonomy
    method: Method
    severity: np.ndarray | None
    severity_file: str | None
    fold_of: np.ndarray
    views: Views
    model: Any
    variables: Any
    devices: list[jax.Device]


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
    cells = load(data.data, size=data.image_size, count=data.count, seed=data.render_seed, cache_dir=data.cache)
    own = load_taxonomy(data.taxonomy) if data.taxonomy else None
    taxonomy = for_classes(cells.classes, parse_lineages(data.lineages), own=own, name=cells.name)
    severity, severity_file = find_severity(data, cells.classes)
    if severity is None and blocks.run.decision == "severity":
        raise InputError("--decision severity needs a severity matrix of these classes; give one by --severity-file")
    method = method_of(taxonomy)
    fold_of = make_folds(
        cells.labels,
        groups=cells.groups,
        given=cells.folds,
        n_folds=data.folds,
        seed=options.seed,
        classes=cells.classes,
    )
    n_folds = int(fold_of.max()) + 1
    for fold in data.only_folds:
        if not 0 <= fold < n_folds:
            raise InputError(f"--only-folds {fold}: there are folds 0 to {n_folds - 1}")
    devices = _devices(options)
    model, variables = _encoder(blocks)
    augmentation = partial(augment, **{k: getattr(options, k) for k in ("rotation", "flips", "crop", "zoom", "stain")})
    views = of_images(cells.images, augmentation)
    if blocks.encoder.precompute:
        features, model, variables = precompute(cells, model, variables, blocks.encoder.frozen_stages, data.cache)
        views = of_features(features)
    return Prepared(cells, taxonomy, method, severity, severity_file, fold_of, views, model, variables, devices)


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


def _devices(options: TrainOptions) -> list[jax.Device]:
    """The devices asked for; of all there are, as many as a batch can be split over."""
    here, batch = jax.devices(), options.classes_per_batch * options.per_class
    if options.devices > len(here):
        raise InputError(f"--devices {options.devices}: there are {len(here)} here")
    count = options.devices or max(n for n in range(1, len(here) + 1) if batch % n == 0)
    if batch % count:
        raise InputError(
            f"a batch of {options.classes_per_batch} classes x {options.per_class} cells cannot be split evenly over "
            f"{count} devices; change --per-class or --devices"
        )
    return here[:count]


def _encoder(blocks: Blocks) -> tuple[Any, Any]:
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
    # Of the random generators, rbg compiles twice as fast for the many draws of an initialisation.
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, size, size, 3)), train=False))(
        jax.random.key(blocks.train.seed, impl="rbg")
    )
    if options.init != "random":
        variables = load_torch_weights(options.init, options.encoder, variables)
    return model, variables
