"""Views of a cell: of its image, or of the features that frozen stages gave for it once and for all."""

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
from smrjax.data.cache import cache_root
from smrjax.data.sampling import eval_batches

#: Flips and quarter turns of a square.
VIEWS = 8


@dataclass(frozen=True)
class Views:
    """What an embedding pass looks at: ``one`` plain view, or ``all`` flips and quarter turns (test-time averaging)."""

    one: Callable[[jax.Array], list[jax.Array]]
    all: Callable[[jax.Array], list[jax.Array]]


OF_IMAGES = Views(
    one=lambda images: [images],
    all=lambda images: [dihedral(images, k) for k in range(VIEWS)],
)
OF_FEATURES = Views(
    one=lambda features: [features[:, 0]],
    all=lambda features: [features[:, k] for k in range(VIEWS)],
)


def pick_view(features: jax.Array, keys: jax.Array) -> jax.Array:
    """The augmentation of precomputed features: one of their views at random, Float[B, VIEWS, …] -> Float32[B, …]."""
    view = jax.vmap(lambda key: jax.random.randint(key, (), 0, VIEWS))(keys)
    return features[jnp.arange(len(features)), view].astype(jnp.float32)


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
    """
    done, rest = model.stage_names[:stages], model.clone(first_stage=stages, frozen_stages=0)
    trunk = {kind: {k: v for k, v in tree.items() if k in done} for kind, tree in variables.items()}
    remaining = {kind: {k: v for k, v in tree.items() if k not in done} for kind, tree in variables.items()}
    plain = model.clone(axis_name=None)

    @jax.jit
    def features_of(images: jax.Array) -> jax.Array:
        seen = [plain.apply(variables, dihedral(images, k).astype(jnp.float32), train=False) for k in range(VIEWS)]
        return jnp.stack([outputs[done[-1]] for _, outputs in seen], 1).astype(jnp.float16)

    digest = hashlib.sha256(repr((cells.digest, type(model).__name__, done)).encode())
    for leaf in jax.tree.leaves(trunk):
        digest.update(np.asarray(leaf).tobytes())
    path = cache_root(cache) / f"features-{digest.hexdigest()[:16]}.npy"
    if not path.exists():
        shape = jax.eval_shape(features_of, jax.ShapeDtypeStruct((batch, *cells.images.shape[1:]), np.uint8)).shape
        temporary = path.with_suffix(f".{os.getpid()}")
        stored = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(cells), *shape[1:]))
        with tqdm(total=len(cells), unit=" cells", desc="frozen stages", dynamic_ncols=True, leave=False) as bar:
            for some, valid in eval_batches(np.arange(len(cells)), batch):
                stored[some[valid]] = np.asarray(features_of(cells.images[some]))[valid]
                bar.update(int(valid.sum()))
        stored.flush()
        os.replace(temporary, path)
    return np.load(path, mmap_mode="r"), rest, remaining
