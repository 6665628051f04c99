"""Descriptors of all cells and of their augmented copies: computed once, in parallel, and kept in the cache."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.prepare import Augmentation
from smrjax.classical.features import describe
from smrjax.data import CellSet
from smrjax.data.cache import cache_root, check_space, locked
from smrjax.errors import InputError
from smrjax.files import atomic
from smrjax.train.loop import Interrupted

#: Raise it when descriptors change.
FORMAT = 1
CHUNK = 64

#: Chunks of images UInt8[CHUNK or fewer, S, S, 3] -> their descriptors Float32[·, d], in the same order.
Compute = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]


def of_threads(name: str, jobs: int, **options: Any) -> Compute:
    """A descriptor of `smrjax.classical.FEATURES`, in so many threads: scikit-image leaves the interpreter alone."""

    def compute(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        under_way: deque[Future[np.ndarray]] = deque()
        with ThreadPoolExecutor(jobs) as threads:
            for chunk in chunks:
                under_way.append(threads.submit(describe, chunk, name, **options))
                # One waits for each thread; more images would only fill the memory.
                if len(under_way) > 2 * jobs:
                    yield under_way.popleft().result()
            for one in under_way:
                yield one.result()

    return compute


def of_network(model: Any, variables: Any) -> Compute:
    """The pooled output of a network's convolutions (OOTB, section 3.1)."""

    @jax.jit
    def pooled(variables: Any, images: jax.Array) -> jax.Array:
        return model.apply(variables, images.astype(jnp.float32), train=False)[0]

    def compute(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for chunk in chunks:
            # Of one size, so that nothing compiles twice.
            whole = np.pad(chunk, [(0, CHUNK - len(chunk)), (0, 0), (0, 0), (0, 0)], mode="edge")
            yield np.asarray(pooled(variables, whole))[: len(chunk)]

    return compute


def descriptors(
    cells: CellSet,
    compute: Compute,
    identity: str,
    *,
    title: str,
    copies: int,
    augment: Augmentation,
    settings: str,
    seed: int,
    cache: Path | None,
    should_stop: Callable[[], bool],
) -> list[np.ndarray]:
    """Descriptors of the cells as they are, and of ``copies`` random views of each.

    They are kept in the cache under a hash of cells, descriptor and augmentation; where a computation was stopped, it
    goes on.

    Args:
        cells: N of them.
        compute: The descriptor.
        identity: Says which one, with its options and weights.
        title: Of the progress bar.
        copies: Random views of each cell.
        augment: Makes them.
        settings: Says how.
        seed: Of the views.
        cache: Cache folder, or None for the usual one.
        should_stop: Asked after every chunk.

    Returns:
        1 + copies memory maps Float32[N, d].

    Raises:
        Interrupted: if ``should_stop`` said so; what was computed is kept.
        InputError: if it does not fit onto the disk.
    """
    found = []
    for copy in range(1 + copies):
        how = (settings, seed, copy) if copy else ()
        digest = hashlib.sha256(repr((FORMAT, cells.digest, identity, how)).encode()).hexdigest()
        path = cache_root(cache) / f"descriptors-{digest[:16]}.npy"
        # Another run may be at the same descriptors: it finishes them, and this one then reads them.
        with locked(path.with_suffix(".lock")):
            if _read(path, len(cells)) is None:
                views = _views(cells.images, augment, seed, copy)
                words = f"{title}, turned copy {copy}" if copy else title
                _compute(path, len(cells), compute, views, words, should_stop)
        values = _read(path, len(cells))
        if values is None:
            raise InputError(f"{path}: was written but cannot be read back; check the disk or give another --cache")
        found.append(values)
    return found


def _read(path: Path, n: int) -> np.ndarray | None:
    """Descriptors of n cells as a memory map; None where they are not there or damaged."""
    try:
        values = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return values if values.ndim == 2 and len(values) == n else None


def _views(images: np.ndarray, augment: Augmentation, seed: int, copy: int) -> Callable[[np.ndarray], np.ndarray]:
    """Rows Int[n] -> their images, or random views of them that depend on seed, copy and row alone."""
    if not copy:
        return lambda rows: np.asarray(images[rows])
    key = jax.random.fold_in(jax.random.key(seed), copy)

    @jax.jit
    def view(some: jax.Array, rows: jax.Array) -> jax.Array:
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
        return jnp.round(augment(some, keys)).astype(jnp.uint8)

    def views(rows: np.ndarray) -> np.ndarray:
        whole = np.pad(rows, (0, CHUNK - len(rows)), mode="edge")
        return np.asarray(view(images[whole], whole))[: len(rows)]

    return views


def _compute(
    path: Path,
    n: int,
    compute: Compute,
    views: Callable[[np.ndarray], np.ndarray],
    title: str,
    should_stop: Callable[[], bool],
) -> None:
    """Write the descriptors of n cells, after those that an interrupted computation left in a file of plain numbers."""
    part = path.with_suffix(".part")
    width = next(iter(compute([views(np.arange(1))]))).shape[1]
    check_space(path.parent, 8 * n * width, what="descriptors", less="fewer --copies")
    done = part.stat().st_size // (4 * width) if part.exists() else 0
    chunks = (views(np.arange(start, min(start + CHUNK, n))) for start in range(done, n, CHUNK))
    with (
        open(part, "ab") as out,
        tqdm(total=n, initial=done, unit=" cells", desc=title, dynamic_ncols=True, leave=False) as bar,
    ):
        out.truncate(4 * width * done)
        for values in compute(chunks):
            out.write(np.ascontiguousarray(values, np.float32).tobytes())
            out.flush()
            bar.update(len(values))
            if should_stop():
                raise Interrupted
    with atomic(path) as temporary:
        np.save(temporary, np.fromfile(part, np.float32).reshape(n, width))
    part.unlink()
