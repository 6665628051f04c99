"""Peers side by side: every round runs each function once, so that what the machine does meanwhile meets all alike."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

#: A measurement lasts at least this long, in seconds; shorter calls are repeated within it.
TICK = 0.02
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def finished(value: Any) -> Any:
    """Waits for what a device still computes, of JAX or of torch."""
    jax.block_until_ready([leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, jax.Array)])
    if type(value).__module__.startswith("torch") and value.is_cuda:
        import torch

        torch.cuda.synchronize()
    return value


def side_by_side(
    functions: Mapping[str, Callable[[], Any]], *, rounds: int = 9, budget: float = 60.0
) -> dict[str, tuple[float, float]]:
    """Seconds a call, and seconds of the first call, which compiles.

    Functions run in turn, in rounds, starting with another one each time; the median over rounds counts. A function
    that has spent its share of `budget` leaves the later rounds, but takes part in at least one.
    """
    first, repeats, seconds = {}, {}, {name: [] for name in functions}
    for name, function in functions.items():
        start = time.perf_counter()
        finished(function())
        first[name] = time.perf_counter() - start
        start = time.perf_counter()
        finished(function())
        repeats[name] = max(1, int(TICK / (time.perf_counter() - start)))
    names = list(functions)
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            if sum(seconds[name]) * repeats[name] > budget / len(names):
                continue
            start = time.perf_counter()
            for _ in range(repeats[name]):
                finished(functions[name]())
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return {name: (float(np.median(seconds[name])), first[name]) for name in names}


def duration(seconds: float) -> str:
    """3.1 µs, 3.1 ms, 3.1 s."""
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def peer(name: str) -> Any:
    """A module to be measured against, or None where it is not installed; as many threads for all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = __import__(name, fromlist=["_"])
        except ImportError:
            return None
    if name == "torch":
        module.set_num_threads(THREADS)
    return module
