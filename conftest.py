"""Shared by all tests and doctests: four simulated devices, a compile cache, real cells where they are."""

import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

# Before the first computation: tests of data parallelism need several devices on one CPU.
jax.config.update("jax_num_cpu_devices", 4)
# A second run of the tests finds its programs compiled.
CACHE = Path(os.environ.get("SMRJAX_CACHE", Path.home() / ".cache" / "smrjax"))
jax.config.update("jax_compilation_cache_dir", str(CACHE / "xla-tests"))
# Commands under test neither read nor leave anything in the user's own cache.
os.environ["SMRJAX_CACHE"] = str(CACHE / "tests")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

REAL = Path(os.environ.get("SMRJAX_DATA", Path(__file__).parent.parent / "shared" / "data"))


def _at_home(event: str, arguments: tuple) -> None:
    """No test may ask a network beyond this one: nothing does so unless weights or data are asked for by name."""
    if event != "socket.connect" or arguments[0].type != socket.SOCK_STREAM or not isinstance(arguments[1], tuple):
        return
    try:
        away = ipaddress.ip_address(str(arguments[1][0])).is_global
    except ValueError:
        away = arguments[1][0] not in ("localhost", socket.gethostname())
    if away:
        raise PermissionError(f"no test may connect to {arguments[1][0]}")


sys.addaudithook(_at_home)


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Forget compiled programs after a file of tests, once they are many.

    Each holds some memory maps, of which Linux allows a process 65,530; beyond, XLA crashes while it compiles.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with ``pbc`` and ``marrow``, real cell images that are not part of the project."""
    if not (REAL / "pbc").is_dir():
        pytest.skip(f"no real cells at {REAL}; set SMRJAX_DATA to the folder that has pbc/ and marrow/")
    return REAL
