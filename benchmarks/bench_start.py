"""How long `python -m experiments.smr` takes to its first step: nothing cached, only cells cached, all cached."""

import subprocess
import sys
import time

from side_by_side import duration

# The second call says that the first step is done: it comes after that step's result was waited for.
PROGRAM = """
import os
from experiments import crossval, smr
train, calls = crossval.train, []
def until_the_first_step(*args, on_step, **how):
    def done():
        calls.append(0)
        if len(calls) == 2:
            os._exit(0)
    return train(*args, on_step=done, **how)
crossval.train = until_the_first_step
smr.main()
"""


def first_step(cache, out, *options: str) -> float:
    arguments = ["--curve", "bezier", "--cache", str(cache), "--out", str(out), *options]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def bench_first_step(row, tmp_path):
    cache, out = tmp_path / "cache", tmp_path / "runs"
    empty = first_step(cache, out)
    rounds = [(first_step(cache, out, "--no-compile-cache"), first_step(cache, out)) for _ in range(3)]
    compiled_anew, warm = (sorted(times)[1] for times in zip(*rounds, strict=True))
    row(
        "From the command to the first step of the demo",
        {
            "nothing cached": f"{duration(empty)} ({empty / warm:.2g}x)",
            "cells cached, programs not": f"{duration(compiled_anew)} ({compiled_anew / warm:.2g}x)",
            "all cached": duration(warm),
        },
    )
