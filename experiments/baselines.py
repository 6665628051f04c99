"""Classical features and plain networks, nested cross-validation: ``python -m experiments.baselines --task all``."""

from datetime import datetime

from experiments.baselines_options import PRESETS, Config, check, resolved
from experiments.baselines_report import Entry, write_report
from experiments.baselines_run import Work, outer_folds, ready, search_classifiers, search_networks
from experiments.cluster import processors, workers
from experiments.config import configure
from experiments.representations import run_learnt
from experiments.runs import open_run
from experiments.runtime import leave, prepare_jax, resumable
from experiments.titles import NAMES
from smrjax.classical.search import CLASSIFIERS
from smrjax.data.cache import cache_root
from smrjax.train.folder import locked


def main() -> None:
    """Compare all features, classifiers and networks on one task, or go on with a run."""
    config = configure(
        Config, PRESETS, resolved, prog="python -m experiments.baselines", text=__doc__ or "", anew="workers"
    )
    prepare_jax(config.train.devices, cache_root(config.data.cache) / "xla" if config.run.compile_cache else None)
    check(config)
    # Before anything is read: a cluster that is not there is said at once.
    with workers(config.workers.scheduler, config.workers.jobs or processors()) as at_once:
        work = ready(config)
        folder = open_run(
            config,
            "baselines",
            default_name(config),
            identity=work.identity,
            severity=work.severity,
            repeated=work.repeated,
        )
        with locked(folder), resumable(folder) as should_stop:
            search_classifiers(config, work, folder, at_once, should_stop)
            search_networks(config, work, folder, should_stop)
            for name, one in work.learnt.items():
                run_learnt(config, one, folder, name, should_stop)
    rows, folds, pictures = entries(config, work), outer_folds(config, work.described), config.run.pictures
    for line in write_report(folder, config.baselines.task, work.described, rows, folds, pictures=pictures):
        print(line)


def entries(config: Config, work: Work) -> list[Entry]:
    """All methods of a run, in the order of the table."""
    options = config.baselines
    return [
        *(
            Entry(f"{feature}-{name}", feature, CLASSIFIERS[name])
            for feature in options.features
            for name in options.classifiers
        ),
        *(Entry(name, "network", NAMES.get(name, name)) for name in options.networks),
        *(Entry(name, "embedding", one.title) for name, one in work.learnt.items()),
    ]


def default_name(config: Config) -> str:
    """A folder name that says the task and when."""
    return f"{config.baselines.task}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"


if __name__ == "__main__":
    leave(main)
