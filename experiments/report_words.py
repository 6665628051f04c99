"""How the report says numbers, names and lists."""

from collections.abc import Sequence

import numpy as np

from experiments.report_runs import Run
from smrjax.evaluate import interval
from smrjax.report.figures import number


def plus_minus(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """Mean over folds ± half of its 95 % interval, as it is printed; a dash where no fold defines the score.

    >>> plus_minus([1.0, 2.0, 3.0]), plus_minus([0.5]), plus_minus([])
    ('2.000 ± 2.484', '0.500', '–')
    """
    found = interval(values)
    if found["mean"] is None:
        return "–"
    half = "" if found["low"] is None else f" ± {number((found['high'] - found['low']) / 2, digits)}"
    return number(found["mean"], digits) + half


def enumerated(items: Sequence[str]) -> str:
    """A list in words.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def percent(share: float) -> str:
    r"""A share as it is printed; the space does not break.

    >>> percent(0.123), percent(0.0123), percent(0.995), percent(1.0)
    ('12\xa0%', '1.2\xa0%', '99.5\xa0%', '100\xa0%')
    """
    return f"{100 * share:.{1 if share < 0.1 or 0.99 < share < 1 else 0}f}\u00a0%"


def without_runs(
    heads: Sequence[str], rows: Sequence[Sequence[str]], runs: Sequence[Run]
) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table without their first column, which names the run, where the report has one run alone."""
    first = 1 if runs[0].alone else 0
    return list(heads)[first:], [list(row)[first:] for row in rows]
