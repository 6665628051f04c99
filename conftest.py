"""Shared by all tests and doctests: four simulated devices, a compile cache, real cells where they are."""

import os
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


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with ``pbc`` and ``marrow``, real cell images that are not part of the project."""
    if not (REAL / "pbc").is_dir():
        pytest.skip(f"no real cells at {REAL}; set SMRJAX_DATA to the folder that has pbc/ and marrow/")
    return REAL
