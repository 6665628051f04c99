"""Where numbers come from: versions, devices, and the state of the code."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

import smrjax

#: Packages whose versions decide about results.
PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "pillow",
    "orbax-checkpoint",
    "umap-learn",
    "numba",
    "networkx",
    "igraph",
)


def origin() -> dict[str, Any]:
    """What a summary says of all of it: ``versions``, ``device``, ``git``."""
    return {"versions": versions(), "device": device(), "git": git_state()}


def versions() -> dict[str, str]:
    """Of Python, smrjax and the packages that decide about results."""
    found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"] in PACKAGES}
    return {"python": platform.python_version(), "smrjax": smrjax.__version__} | found


def device() -> dict[str, Any]:
    """Kind and number of the devices of all processes that train together, and the number of these processes."""
    kind = jax.devices()[0].device_kind
    # To JAX all processors are alike; those of another make round otherwise.
    kind = f"{processor()} ({kind})" if kind == "cpu" else kind
    return {"kind": kind, "count": jax.device_count(), "processes": jax.process_count()}


def processor() -> str:
    """The name of this machine's processor, or its architecture where the system does not say it."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_state(checkout: Path = Path(smrjax.__file__).parents[1]) -> dict[str, Any] | None:
    """The commit that this code is of, and whether it was changed since; None where git does not know.

    Args:
        checkout: Folder of the packages; its own commit counts, not that of a repository around it.
    """
    if not (checkout / ".git").exists():
        return None
    # Within a hook of git, its variables name another repository.
    around = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(checkout), *words]
        done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed": bool(git("status", "--porcelain", "--", "smrjax", "experiments")),
        }
    except (OSError, subprocess.SubprocessError):
        return None
