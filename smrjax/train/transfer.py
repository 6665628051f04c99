"""Begin where another run ended: its trained encoder under a new head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from smrjax.encoders.positions import resize_positions
from smrjax.errors import InputError
from smrjax.train.state import read_best


def find_training(folder: Path) -> Path:
    """The folder of the only training in a run's folder: the one that holds its checkpoints.

    Raises:
        InputError: if there is none, or there are several to choose from.
    """
    found = sorted(path.parent for path in folder.rglob("checkpoints") if path.is_dir())
    if not found:
        raise InputError(
            f"{folder}: there is no trained network in it; give the folder of a run, or of one of its folds"
        )
    if len(found) > 1:
        raise InputError(f"{folder}: there are {len(found)} trained networks in it; name one, as in {found[0]}")
    return found[0]


def load_encoder(folder: Path, variables: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder's variables with those that a run trained, all but the embedding head.

    Args:
        folder: Of a run with one training, or of a fold.
        variables: What the module's ``init`` returned.

    Returns:
        New variables of the same shapes; position embeddings of images of another size are interpolated.

    Raises:
        InputError: if the run has no training or several, cannot be read, or is of another network.
    """
    training = find_training(folder)
    best = read_best(training / "checkpoints")
    trained = flatten_dict({"params": best["params"]["encoder"], "batch_stats": best["batch_stats"]})
    result, wrong = {}, []
    for path, old in flatten_dict(dict(variables)).items():
        new = trained.pop(path, None)
        result[path] = old
        if path[1] == "head":
            continue
        if new is not None and path[-2] == "positions" and new.ndim == 3:
            new = resize_positions(np.asarray(new), old.shape[1])
        if new is None or new.shape != old.shape:
            wrong.append("/".join(path))
        else:
            result[path] = jnp.asarray(new, old.dtype)
    wrong += ["/".join(path) for path in trained if path[1] != "head"]
    if wrong:
        raise InputError(
            f"{training}: the network trained there is another one than asked for: {len(wrong)} of its arrays do not "
            f"fit ({wrong[0]}, for one); give the --encoder that it was trained with"
        )
    return unflatten_dict(result)
