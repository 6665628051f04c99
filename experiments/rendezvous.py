"""How the processes of one training find each other, on one machine or on many."""

import hashlib
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from smrjax.errors import InputError, first_line

#: Launchers whose variables say how many processes they started: name -> that variable, and another one by which JAX
#: finds where they meet.
LAUNCHERS = {
    "SLURM": ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST"),
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_MCA_orte_hnp_uri"),
}
#: Options in which processes may differ, by block: where things are on their machines.
OWN = {
    "data": ("data", "cache"),
    "run": ("out", "name", "resume", "compile_cache"),
    "together": ("coordinator", "process_id"),
}

#: Seconds after which a process that has ended waits no more for the others to end.
LAST = 60


@dataclass(frozen=True)
class ProcessOptions:
    """Several processes that train together; they change no result, and may be given anew with --resume."""

    coordinator: str = ""
    """HOST:PORT where the processes of one training meet: an address of process 0's machine, and a free port. Under
    srun and mpirun it is found; auto asks JAX to find it elsewhere, too, as in Kubernetes; none has each train by
    itself."""
    processes: int = 0
    """How many there are, with --coordinator HOST:PORT."""
    process_id: int = -1
    """Which one this is, from 0; process 0 writes the run's folder."""


def join(options: ProcessOptions, *, patience: int = 300) -> None:
    """Meet the other processes of this training, if there are any; to be called before JAX computes anything.

    Args:
        options: As given.
        patience: Seconds to wait for the others.

    Raises:
        InputError: for options that do not fit together, or if the others do not come.
    """
    named = options.coordinator not in ("", "auto", "none")
    if named:
        _check(options)
    elif options.processes or options.process_id >= 0:
        raise InputError("--processes and --process-id need --coordinator HOST:PORT, where all processes meet")
    elif options.coordinator == "none" or not (options.coordinator or _launched()):
        return
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    # JAX would take SIGTERM for itself; here it means to save and to stop.
    jax.config.update("jax_enable_preemption_service", False)
    where: dict[str, Any] = {}
    if named:
        others = f"{options.processes - 1} more at {options.coordinator}"
        print(f"process {options.process_id}: waits for {others}, {patience} s at most", file=sys.stderr, flush=True)
        if options.process_id:
            _reach(options.coordinator, patience)
        where = {
            "coordinator_address": options.coordinator,
            "num_processes": options.processes,
            "process_id": options.process_id,
        }
    try:
        # A process that fails alone waits at its end for the others, and they for it: not for long.
        jax.distributed.initialize(**where, initialization_timeout=patience, shutdown_timeout_seconds=LAST)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"--coordinator {options.coordinator or 'of the launcher'}: {first_line(error)}") from None
    # Where CPUs talk to one another, lines that are first needed much later by one than by another are not made.
    multihost_utils.sync_global_devices("smrjax")
    multihost_utils.process_allgather(np.zeros(1))


def _check(options: ProcessOptions) -> None:
    host, _, port = options.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--coordinator {options.coordinator}: give HOST:PORT, as in node1:12345")
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: say how many there are, 1 or more")
    if not 0 <= options.process_id < options.processes:
        raise InputError(f"--process-id {options.process_id}: give 0 to {options.processes - 1}, to each another one")


def _reach(coordinator: str, patience: int) -> None:
    """Wait until process 0 is there: without it, JAX would end this process with a page of its own."""
    host, _, port = coordinator.rpartition(":")
    end = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"--coordinator {coordinator}: process 0 does not answer there after {patience} s ({error}); "
                    "start it with the same address, and see that no firewall is in between"
                ) from None
            time.sleep(0.5)


def _launched() -> bool:
    """Whether a launcher started this process together with others.

    Raises:
        InputError: if Open MPI 5 did, which does not say where they meet.
    """
    started = {
        name: int(os.environ[count])
        for name, (count, _) in LAUNCHERS.items()
        if os.environ.get(count, "").isdecimal() and int(os.environ[count]) > 1
    }
    found = any(LAUNCHERS[name][1] in os.environ for name in started)
    if "Open MPI" in started and not found:
        raise InputError(
            f"mpirun started {started['Open MPI']} processes and does not say where they meet, as Open MPI 4 does; "
            f"give each --coordinator HOST:PORT --processes {started['Open MPI']} --process-id $OMPI_COMM_WORLD_RANK, "
            "or --coordinator none to train by itself"
        )
    return found


def digest_of_options(config: dict[str, Any]) -> str:
    """A hash of a run's options, as config.json has them, but for those in which its processes may differ."""
    common = {
        name: {option: value for option, value in block.items() if option not in OWN.get(name, ())}
        if isinstance(block, dict)
        else block
        for name, block in config.items()
    }
    return hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()
