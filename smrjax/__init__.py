"""Maturity-aware representation learning for hematopoietic cells, on JAX and Flax."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smrjax.predict import Model

__version__ = "0.1.0"


def load_model(path: str | Path) -> "Model":
    """A model that ``python -m experiments.export`` wrote: ``smrjax.load_model("model").predict(images)``.

    Nothing that trains is imported. See `smrjax.predict.loading`, also for whom to take models from.

    Args:
        path: Its folder.

    Raises:
        InputError: if there is none, it is of another format, or a file is missing, damaged or not what it should be.
    """
    from smrjax.predict.loading import load_model as load

    return load(path)
