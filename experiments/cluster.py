"""Where searches run: on the processors here, or on a Dask cluster."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from glob import glob
from typing import Any

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
    with connected(scheduler) as client:
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


def connected(scheduler: str) -> Any:
    """A client of a Dask scheduler.

    Raises:
        InputError: if Dask is not there, or the scheduler cannot be reached.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'smrjax[dask]'") from None
    try:
        # A client waits for ever at a port where something else listens.
        asyncio.run(asyncio.wait_for(_answer(scheduler), PATIENCE))
        return Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or f"no scheduler answers within {PATIENCE} s"
        raise InputError(f"--scheduler {scheduler}: cannot be reached ({reason}); give HOST:PORT of one") from None


async def _answer(scheduler: str) -> None:
    """Wait until a scheduler says who it is."""
    from distributed import Security
    from distributed.core import rpc

    async with rpc(scheduler, connection_args=Security().get_connection_args("client")) as there:
        await there.identity(n_workers=0)


@contextlib.contextmanager
def local(jobs: int) -> Iterator[Any]:
    """A client of workers that are processes of this machine, each of which does one thing at a time.

    Args:
        jobs: How many; 0 for one a core, or one where there is a GPU.

    Raises:
        InputError: if Dask is not there.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError("sweeps need Dask: pip install 'smrjax[dask]'") from None
    jobs = jobs or (1 if glob("/dev/nvidia[0-9]*") else processors())
    options: dict[str, Any] = {
        # A training takes what memory it takes.
        "memory_limit": 0,
        "dashboard_address": "127.0.0.1:0",
        # One progress line is enough.
        "env": {"TQDM_DISABLE": "1"},
    }
    with (
        # A worker that dies is said at once and counted by whoever handed out its task.
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=jobs, threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
