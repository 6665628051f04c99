"""The synthetic cells in order, drawn by several processes at a time."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from smrjax.data.synthetic import Cell, render

_HEADER = struct.Struct("<qdq")  # label, maturity, slide; the image follows


def render_all(count: int, *, size: int, seed: int = 0, workers: int | None = None) -> Iterator[Cell]:
    """Cells 0 to count - 1 of a synthetic set, in order.

    Args:
        count: How many.
        size: Pixels a side.
        seed: Of the set.
        workers: Processes; as many as there are cores (8 at most) if None, and none for a few cells.

    Raises:
        RuntimeError: if a process ends early.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, 8)
    if workers < 2 or count < 200 or not sys.executable:
        yield from (render(index, size=size, seed=seed) for index in range(count))
        return
    # Programs of their own, and not multiprocessing: a fork of a process that runs JAX can hang, and a
    # spawned one would run the caller's script again. A pipe holds a few images, so nobody draws far ahead.
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), OMP_NUM_THREADS="1")
    program = "from smrjax.data.rendering import main; main()"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, (first, count, workers, size, seed))],
            stdout=subprocess.PIPE,
            env=environment,
        )
        for first in range(workers)
    ]
    try:
        for index in range(count):
            pipe = started[index % workers].stdout
            assert pipe is not None
            label, maturity, slide = _HEADER.unpack(_exactly(pipe, _HEADER.size))
            image = np.frombuffer(_exactly(pipe, size * size * 3), np.uint8).reshape(size, size, 3)
            yield Cell(image, label, maturity, slide)
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def main() -> None:
    """Draw every n-th cell to standard output; arguments: first, count, n, size, seed."""
    first, count, stride, size, seed = map(int, sys.argv[1:])
    for index in range(first, count, stride):
        cell = render(index, size=size, seed=seed)
        data = _HEADER.pack(cell.label, cell.maturity, cell.slide) + cell.image.tobytes()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(0)  # the reader has had enough; nothing is left to flush


def _exactly(pipe, n: int) -> bytes:
    data = pipe.read(n)
    if len(data) < n:
        raise RuntimeError("a process that draws synthetic cells ended early; its message is above")
    return data
