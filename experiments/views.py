"""How a training looks at its cells: at their images, or at what frozen stages gave for them once and for all."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from smrjax.data import CellSet
from smrjax.data.augment import dihedral
from smrjax.data.cache import cache_root, check_space
from smrjax.data.sampling import eval_batches
from smrjax.files import beside

#: Flips and quarter turns of a square.
VIEWS = 8
#: Raise it when what is stored for a cell changes.
FORMAT = 2


@dataclass(frozen=True)
class Views:
    """Functions of rows Int[n] and arrays.

    Attributes:
        read: rows -> what goes to the device in a training step, [n, …].
        augment: (that, keys [n]) -> the network's input Float[n, H, W, C], on the device.
        view: (rows, k) -> the network's input for the k-th flip or quarter turn; 0 is the plain one.
    """

    read: Callable[[np.ndarray], np.ndarray]
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    view: Callable[[np.ndarray, int], np.ndarray]


def of_images(images: np.ndarray, augment: Callable[[jax.Array, jax.Array], jax.Array]) -> Views:
    """Images UInt8[N, S, S, 3], augmented at random in training."""
    return Views(lambda rows: images[rows], augment, lambda rows, k: dihedral(images[rows], k))


def of_features(features: np.ndarray) -> Views:
    """Features Float16[N, VIEWS, h, w, C] of frozen stages; in training one of the views at random."""

    def augment(some: jax.Array, keys: jax.Array) -> jax.Array:
        view = jax.vmap(lambda key: jax.random.randint(key, (), 0, VIEWS))(keys)
        return some[jnp.arange(len(some)), view].astype(jnp.float32)

    return Views(lambda rows: features[rows], augment, lambda rows, k: features[rows, k])


def precompute(
    cells: CellSet, model: Any, variables: Any, stages: int, cache: Path | None, batch: int = 64
) -> tuple[np.ndarray, Any, Any]:
    """What the first stages return for every view of every cell, and the rest of the encoder.

    Kept in the cache folder under a hash of cells and weights, so that all methods and seeds share one pass.

    Args:
        cells: N of them.
        model: Encoder.
        variables: Its variables.
        stages: So many.
        cache: Cache folder, or None for the usual one.
        batch: Cells at a time.

    Returns:
        Features Float16[N, VIEWS, h, w, C], a memory map; the encoder without its first stages; its variables.

    Raises:
        InputError: if they do not fit onto the disk.
    """
    done, rest = model.stage_names[:stages], model.clone(first_stage=stages, frozen_stages=0)
    trunk = {kind: {k: v for k, v in tree.items() if k in done} for kind, tree in variables.items()}
    remaining = {kind: {k: v for k, v in tree.items() if k not in done} for kind, tree in variables.items()}
    digest = hashlib.sha256(repr((FORMAT, cells.digest, type(model).__name__, done, str(model.dtype))).encode())
    for leaf in jax.tree.leaves(trunk):
        digest.update(np.asarray(leaf).tobytes())
    path = cache_root(cache) / f"features-{digest.hexdigest()[:16]}.npy"
    if not path.exists():
        _write_features(path, cells, model.clone(axis_name=None), variables, done[-1], batch)
    return np.load(path, mmap_mode="r"), rest, remaining


def _write_features(path: Path, cells: CellSet, model: Any, variables: Any, stage: str, batch: int) -> None:
    @jax.jit
    def features_of(variables: Any, images: jax.Array) -> jax.Array:
        seen = [model.apply(variables, dihedral(images, k).astype(jnp.float32), train=False) for k in range(VIEWS)]
        return jnp.stack([outputs[stage] for _, outputs in seen], 1).astype(jnp.float16)

    pixels = jax.ShapeDtypeStruct((batch, *cells.images.shape[1:]), np.uint8)
    shape = (len(cells), *jax.eval_shape(features_of, variables, pixels).shape[1:])
    check_space(path.parent, 2 * int(np.prod(shape)))
    # Two processes may work on the same features, and the later one wins.
    temporary = beside(path)
    try:
        stored = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        with tqdm(total=len(cells), unit=" cells", desc="frozen stages", dynamic_ncols=True, leave=False) as bar:
            for some, valid in eval_batches(np.arange(len(cells)), batch):
                stored[some[valid]] = np.asarray(features_of(variables, cells.images[some]))[valid]
                bar.update(int(valid.sum()))
        stored.flush()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
