"""Several processes that train one network: process 0 reads and writes the run's folder, and all do what it knows.

With one process, as almost always, everything here is what it says without a word sent.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from smrjax.errors import InputError

T = TypeVar("T")

#: Bytes sent at a time, at least and at most: few sizes, since each is a program to compile.
LEAST, MOST = 1 << 12, 1 << 24
#: Milliseconds to wait for one that reads, assesses or draws; one that dies is noticed long before.
PATIENCE = 7 * 24 * 3600 * 1000


def leads() -> bool:
    """Whether this is the process that reads and writes."""
    return jax.process_index() == 0


def told(make: Callable[[], Any]) -> Any:
    """What process 0 makes, in every process; what it reads, decides or writes is done there alone.

    Args:
        make: Called in process 0 alone; returns JSON-safe values.

    Raises:
        InputError: in every process, if ``make`` raised one; in the others, if it raised anything else.
    """
    if jax.process_count() == 1:
        return make()
    content = ""
    fault: BaseException | None = None
    if leads():
        try:
            content = json.dumps({"value": make()})
        except BaseException as error:
            # Whatever it was, Ctrl-C included: the others wait for an answer.
            content, fault = json.dumps({"error": _words(error, "process 0: ")}), error
    said = json.loads(_sent(content.encode()))
    if fault is not None:
        raise fault
    if "error" in said:
        raise InputError(said["error"])
    return said["value"]


def shown(arrays: T) -> T:
    """The arrays of process 0, in every process.

    Args:
        arrays: A pytree, of the same shapes and types in every process; the values of process 0 count.

    Returns:
        NumPy arrays; with one process, ``arrays`` as they are.
    """
    if jax.process_count() == 1:
        return arrays
    leaves, tree = jax.tree.flatten(jax.tree.map(np.asarray, arrays))
    content = _sent(b"".join(leaf.tobytes() for leaf in leaves))
    ends = np.cumsum([leaf.nbytes for leaf in leaves])[:-1]
    parts = np.split(np.frombuffer(content, np.uint8), ends)
    return jax.tree.unflatten(
        tree, [part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    )


def together(make: Callable[[], T]) -> T:
    """What each process makes for itself, or an error in all of them if one of them fails.

    Raises:
        InputError: in every process, if ``make`` raised one in any; in the others, if it raised anything else.
    """
    if jax.process_count() == 1:
        return make()
    made, words = None, ""
    fault: BaseException | None = None
    try:
        made = make()
    except BaseException as error:
        fault, words = error, _words(error)
    _meet()
    every = multihost_utils.process_allgather(np.frombuffer(words.encode()[:LEAST].ljust(LEAST, b"\0"), np.uint8))
    said = [bytes(one).rstrip(b"\0").decode(errors="replace") for one in np.asarray(every)]
    failed = [process for process, words in enumerate(said) if words]
    if fault is not None and not isinstance(fault, InputError):
        raise fault
    if failed:
        raise InputError(said[0] if all(said) else f"process {failed[0]}: {said[failed[0]]}")
    return made  # type: ignore[return-value]


def alike(digests: dict[str, str]) -> None:
    """Make sure that all processes have the same, by their hashes.

    Raises:
        InputError: in every process, if one has another than process 0.
    """
    first = told(lambda: digests)

    def check() -> None:
        for what, digest in digests.items():
            if digest != first.get(what):
                raise InputError(f"the {what} are not those of process 0; give all processes the same data and options")

    together(check)


def anyone(wish: bool) -> bool:
    """Whether any process wishes so; every process has the answer at the same step."""
    return wish if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array([wish])).any())


def gathered(rows: np.ndarray) -> np.ndarray:
    """Float[n, D] of every process, stacked in their order, [processes, n, D]."""
    return rows[None] if jax.process_count() == 1 else np.asarray(multihost_utils.process_allgather(rows))


def _words(error: BaseException, where: str = "") -> str:
    """For the processes that it did not happen to; what is wrong with the input is so for all of them."""
    return str(error) if isinstance(error, InputError) else f"{where}{type(error).__name__}: {error}"


def _meet() -> None:
    """Wait until all are here, however long one of them is at work: what devices exchange must come in half an hour."""
    multihost.get_barrier_sync_fn()(key="smrjax", timeout_ms=PATIENCE)


def _sent(content: bytes) -> bytes:
    """The bytes of process 0, in pieces whose sizes are powers of two."""
    _meet()
    # As bytes: numbers would lose their last bits where JAX knows no float64.
    length = np.frombuffer(np.int64(len(content)).tobytes(), np.uint8)
    total = int(np.asarray(multihost_utils.broadcast_one_to_all(length)).view(np.int64)[0])
    size = min(max(1 << max(total - 1, 1).bit_length(), LEAST), MOST)
    pieces = []
    for start in range(0, total, size):
        piece = np.zeros(size, np.uint8)
        if leads():
            own = np.frombuffer(content[start : start + size], np.uint8)
            piece[: len(own)] = own
        pieces.append(np.asarray(multihost_utils.broadcast_one_to_all(piece)).tobytes())
    return b"".join(pieces)[:total]
