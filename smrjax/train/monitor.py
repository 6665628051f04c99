"""Health of the embedding and its curves at the end of an epoch, as numbers and in words."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from smrjax.evaluate.health import effective_rank, spread
from smrjax.method import read_maturity


def health(z: np.ndarray, goal: Any, stage: np.ndarray, lineage: np.ndarray) -> dict[str, float]:
    """Figures of one epoch.
    """
    raise NotImplementedError
