"""Data parallelism: the only file that says pmap.

Devices are always those of all processes that train together; each process gives its own ones their part of a batch
and sees their results alone. With one process that is everything.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smrjax.train.step import AXIS


def map_step(step: Callable[..., Any], devices: Sequence[jax.Device]) -> Callable[..., Any]:
    """A per-device step ``(state, images, labels, key)`` over the devices; the old state's memory is reused."""
    return jax.pmap(step, axis_name=AXIS, devices=list(devices), in_axes=(0, 0, 0, None), donate_argnums=(0,))


def map_embed(embed: Callable[..., Any], devices: Sequence[jax.Device]) -> Callable[..., Any]:
    """A per-device embedding pass ``(params, batch_stats, images)`` over the devices."""
    return jax.pmap(embed, axis_name=AXIS, devices=list(devices))


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """One copy a device of this process, stacked along a new first axis.

    The copies lie where the mapped step leaves its results, so that the first step compiles for all that follow, and
    are the step's own, which may donate them.
    """
    here = _own(devices)
    stacked = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (len(here), *np.shape(x))), tree)
    return jax.device_put(stacked, _split(here), may_alias=False)


def first(tree: Any) -> Any:
    """The copy of this process's first device, as host arrays that outlive the donation of ``tree``."""
    # Indexed on the host: on the device each shape would be a program to compile.
    return jax.tree.map(lambda x: np.array(np.asarray(x.addressable_data(0))[0]), tree)


def own_part(rows: np.ndarray, devices: Sequence[jax.Device]) -> np.ndarray:
    """Those of the rows of a batch, Int[B], that this process's devices work on: what it has to read.

    Raises:
        ValueError: if B is not a multiple of the number of devices.
    """
    if len(rows) % len(devices):
        raise ValueError(f"a batch of {len(rows)} cells cannot be split evenly over {len(devices)} devices")
    mine = [i for i, device in enumerate(devices) if device.process_index == jax.process_index()]
    return rows.reshape(len(devices), -1)[mine].reshape(-1)


def share(part: np.ndarray, devices: Sequence[jax.Device]) -> jax.Array:
    """This process's part of a batch, [b, …], split evenly over its devices, [own devices, b / own devices, …].

    It is on its way to them when this returns, beside whatever they compute: a step that gets it later does not wait.
    The part must not be changed afterwards.

    Args:
        part: Of the rows of `own_part`.
        devices: All.

    Raises:
        ValueError: if b is not a multiple of the number of this process's devices.
    """
    here = _own(devices)
    if len(part) % len(here):
        raise ValueError(f"a batch of {len(part)} cells cannot be split evenly over {len(here)} devices")
    return jax.device_put(part.reshape(len(here), -1, *part.shape[1:]), _split(here))


def _own(devices: Sequence[jax.Device]) -> tuple[jax.Device, ...]:
    return tuple(device for device in devices if device.process_index == jax.process_index())


@functools.cache
def _split(devices: tuple[jax.Device, ...]) -> NamedSharding:
    """Where a mapped function looks for its arguments."""
    return NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))
