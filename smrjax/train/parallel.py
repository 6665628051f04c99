"""Data parallelism: the only file that says pmap."""

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
    """One copy a device, stacked along a new first axis.

    The copies lie where the mapped step leaves its results, so that the first step compiles for all that follow, and
    are the step's own, which may donate them.
    """
    stacked = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (len(devices), *np.shape(x))), tree)
    return jax.device_put(stacked, _split(tuple(devices)), may_alias=False)


def first(tree: Any) -> Any:
    """The copy of the first device, as host arrays that outlive the donation of ``tree``."""
    # Indexed on the host: on the device each shape would be a program to compile.
    return jax.tree.map(lambda x: np.array(np.asarray(x.addressable_data(0))[0]), tree)


def share(batch: np.ndarray, devices: Sequence[jax.Device]) -> jax.Array:
    """A batch [B, …] split evenly over the devices, [devices, B / devices, …].

    It is on its way to them when this returns, beside whatever they compute: a step that gets it later does not wait.
    The batch must not be changed afterwards.

    Raises:
        ValueError: if B is not a multiple of the number of devices.
    """
    if len(batch) % len(devices):
        raise ValueError(f"a batch of {len(batch)} cells cannot be split evenly over {len(devices)} devices")
    return jax.device_put(batch.reshape(len(devices), -1, *batch.shape[1:]), _split(tuple(devices)))


@functools.cache
def _split(devices: tuple[jax.Device, ...]) -> NamedSharding:
    """Where a mapped function looks for its arguments."""
    return NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))
