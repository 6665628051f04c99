"""Encoders, pre-training and the recipe of BM under cross-validation: ``python -m experiments.strategies``."""

from datetime import datetime

from experiments.config import configure
from experiments.runs import open_run
from experiments.runtime import leave, prepare_jax, resumable
from experiments.strategies_options import PRESETS, Config, check, resolved
from experiments.strategies_report import write_report
from experiments.strategies_run import run_rows
from experiments.strategies_work import ready
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
    folder = open_run(config, "strategies", default_name(config), identity=work.identity, severity=work.severity)
    with locked(folder), resumable(folder) as should_stop:
        run_rows(config, work, folder, should_stop)
        for line in write_report(config, work, folder):
            print(line)


def default_name(config: Config) -> str:
    """A folder name that says the row, or how many there are, and when."""
    options = config.strategy
    words = ["table4"] if options.table4 else [*options.encoder[:1], *("and-others",) * (len(options.encoder) > 1)]
    return "-".join([*words, datetime.now().strftime("%Y%m%d-%H%M%S")])


if __name__ == "__main__":
    leave(main)
