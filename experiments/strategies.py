"""Encoders, pre-training and the recipe of BM under cross-validation: ``python -m experiments.strategies``."""

from datetime import datetime
from functools import partial
from pathlib import Path

from experiments.config import configure
from experiments.runs import open_run
from experiments.runtime import leave, prepare_jax, resumable
from experiments.strategies_options import PRESETS, Config, Row, check, resolved
from experiments.strategies_report import write_report, write_row
from experiments.strategies_run import row_done, run_rows
from experiments.strategies_work import Work, ready
from smrjax.data.cache import cache_root
from smrjax.train.folder import locked


def main() -> None:
    """Train and score all rows, or go on with a run."""
    config = configure(Config, PRESETS, resolved, prog="python -m experiments.strategies", text=__doc__ or "")
    prepare_jax(config.recipe.devices, cache_root(config.data.cache) / "xla" if config.run.compile_cache else None)
    check(config)
    work = ready(config)
    for row, reason in work.left_out.items():
        print(f"left out: {row}: {reason}")
    folder = open_run(
        config,
        "strategies",
        default_name(config),
        identity=work.identity,
        severity=work.severity,
        repeated=work.repeated,
        stored=work.stored(),
    )
    with locked(folder), resumable(folder) as should_stop:
        run_rows(config, work, folder, after=partial(report, config, work, folder), should_stop=should_stop)
        for line in write_report(config, work, folder):
            print(line)


def report(config: Config, work: Work, folder: Path, row: Row) -> None:
    """Write what a row that has just ended says, and the tables as far as they go."""
    if row_done(config, work, folder, row):
        write_row(config, work, folder, row)
    write_report(config, work, folder)


def default_name(config: Config) -> str:
    """A folder name that says the row, or how many there are, and when."""
    options = config.strategy
    words = ["table4"] if options.table4 else [*options.encoder[:1], *("and-others",) * (len(options.encoder) > 1)]
    return "-".join([*words, datetime.now().strftime("%Y%m%d-%H%M%S")])


if __name__ == "__main__":
    leave(main)
