"""One comparison a test, and all of them as Markdown tables at the end of `make bench`."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pytest
from side_by_side import THREADS, duration, finished, side_by_side

# The tests simulate four devices; a benchmark has what a user has.
jax.config.update("jax_num_cpu_devices", 1)
# Nor does a first call find its program compiled.
jax.config.update("jax_enable_compilation_cache", False)

#: Title -> rows -> heading -> cell.
TABLES: dict[str, list[dict[str, str]]] = {}


@pytest.fixture
def compare(benchmark):
    """compare(title, case, functions): a row of a table; the first function is ours.

    `also` gets the medians and gives more cells.
    """

    def run(
        title: str,
        case: str,
        functions: Mapping[str, Callable[[], Any]],
        also: Callable[[dict[str, float]], Mapping[str, str]] = lambda medians: {},
        **how: Any,
    ) -> None:
        times = side_by_side(functions, **how)
        name, *peers = functions
        own, first = times[name]
        cells = {"case": case, name: duration(own)}
        cells |= {peer: f"{duration(times[peer][0])} ({times[peer][0] / own:.2g}x)" for peer in peers}
        medians = {peer: seconds for peer, (seconds, _) in times.items()}
        TABLES.setdefault(title, []).append(cells | {"first call": duration(first)} | dict(also(medians)))
        # pytest-benchmark's own table and its comparisons over time know our side alone.
        benchmark.extra_info.update(medians)
        benchmark.group = title
        benchmark.pedantic(lambda: finished(functions[name]()), rounds=5, warmup_rounds=0)

    return run


@pytest.fixture
def growth(benchmark):
    """growth(title, what, sizes, make): time against size, and the slope of the last doublings on log-log axes."""

    def run(title: str, what: str, sizes: list[int], make: Callable[[int], Callable[[], Any]]) -> float:
        times = [side_by_side({"": make(size)}, rounds=5)[""][0] for size in sizes]
        half = len(sizes) // 2
        slope = float(np.polyfit(np.log(sizes[half:]), np.log(times[half:]), 1)[0])
        shown = ", ".join(f"{size}: {duration(t)}" for size, t in zip(sizes, times, strict=True))
        TABLES.setdefault(title, []).append({"grows with": what, "time": shown, "slope": f"{slope:.2f}"})
        benchmark.pedantic(lambda: None, rounds=1)
        return slope

    return run


@pytest.fixture
def row(benchmark):
    """row(title, cells): a row of numbers that are no comparison of functions."""

    def add(title: str, cells: Mapping[str, str]) -> None:
        TABLES.setdefault(title, []).append(dict(cells))
        benchmark.pedantic(lambda: None, rounds=1)

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The tables, as Markdown."""
    for title, rows in TABLES.items():
        heads = list(dict.fromkeys(head for row in rows for head in row))
        lines = ["", f"### {title}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        lines += ["| " + " | ".join(row.get(head, "–") for head in heads) + " |" for row in rows]
        terminalreporter.write_line("\n".join(lines))
    device = jax.devices()[0]
    terminalreporter.write_line(f"\n{THREADS} threads, {device.platform} {device.device_kind}, jax {jax.__version__}")
