"""The networks of a table's rows: built, and known to fit images and weights before a run begins."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.checks import check_explained
from experiments.prepare import with_weights
from experiments.strategies_options import DROPOUT, Config, Row
from smrjax.encoders import ENCODERS, Channels
from smrjax.errors import InputError, first_line
from smrjax.explain import map_sizes
from smrjax.train.step import AXIS


def model_of(config: Config, encoder: str, channels: Channels | None) -> Any:
    """An encoder without an embedding layer, for images of these colours, or of those it was published with."""
    options, recipe = config.strategy, config.recipe
    own = {} if channels is None else {"channels": channels}
    return ENCODERS[encoder](
        embedding_dim=0,
        dropout=DROPOUT.get(encoder, 0.0) if options.dropout is None else options.dropout,
        dtype=jnp.bfloat16 if recipe.bfloat16 else jnp.float32,
        axis_name=AXIS,
        **own,
    )


def check_network(config: Config, encoder: str, classes: tuple[str, ...]) -> None:
    """Make sure that a network can work with the images, and that ``--explain`` can show what it is asked for.

    Raises:
        InputError: if not.
    """
    size = config.data.image_size
    model, variables = _abstract(config, encoder)
    _, outputs = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, _image(size))
    if any(0 in stage.shape for stage in outputs.values()):
        raise InputError(f"--image-size {size}: too small for {encoder}, whose last stages have no pixel left")
    check_explained(config.run, classes, map_sizes(model, variables, size, size))


def check_weights(config: Config, row: Row) -> None:
    """Make sure that a row has the weights that it begins with.

    They are read now and again when it is the row's turn: a wrong file is not to end a run of hours.

    Raises:
        InputError: if they are not there or of another network.
    """
    if row.begin not in ("random", "imagenet") and not Path(row.begin).exists():
        raise InputError(f"--init {row.begin}: there is no such file or folder; or say random or imagenet")
    if row.begin != "random":
        with_weights(_abstract(config, row.encoder)[1], row.encoder, row.begin)


def _abstract(config: Config, encoder: str) -> tuple[Any, Any]:
    """A network and the shapes of its variables.

    Raises:
        InputError: if it cannot take images of this size.
    """
    model, size = model_of(config, encoder, None), config.data.image_size
    try:
        return model, jax.eval_shape(lambda key, x: model.init(key, x), jax.random.key(0), _image(size))
    except (ValueError, ZeroDivisionError, TypeError) as error:
        raise InputError(f"--image-size {size}: {encoder} cannot take such images ({first_line(error)})") from error


def _image(size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
