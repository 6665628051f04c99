"""Where searches run: on the processors here, or on a Dask cluster."""

import contextlib
import os
import signal
from collections.abc import Iterator

from smrjax.errors import InputError

#: Seconds to wait for a scheduler's answer.
PATIENCE = 10


@contextlib.contextmanager
def workers(scheduler: str, jobs: int) -> Iterator[int]:
    """What scikit-learn does in parallel inside of this goes to these workers.

    Args:
        scheduler: Address of a Dask scheduler, or "" for processes of this machine.
        jobs: Processes of this machine.

    Yields:
        How many fits run at a time.

    Raises:
        InputError: if the scheduler cannot be reached, or has no workers.
    """
    from joblib import parallel_config

    if not scheduler:
        # Ctrl-C reaches every process of a terminal; workers leave it to the one that saves what is done.
        with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1, initializer=_ignore_interrupts):
            yield jobs
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'smrjax[dask]'") from None
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"--scheduler {scheduler}: cannot be reached ({reason}); give HOST:PORT of one") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"--scheduler {scheduler}: has no workers; start some with dask worker {scheduler}")
        try:
            with parallel_config("dask"):
                yield threads
        except Exception as error:
            # A scheduler that is gone, workers that died or lack smrjax: Dask has errors of its own for each.
            if not type(error).__module__.startswith("distributed"):
                raise
            raise InputError(f"--scheduler {scheduler}: {error}; start it again, and go on with --resume") from error


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
