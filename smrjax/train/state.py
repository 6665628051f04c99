"""Everything a resume needs, and how it goes to disk and back (Orbax)."""

import logging
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from smrjax.errors import InputError
from smrjax.files import sync_tree
from smrjax.method import Method

#: Within a folder of states, those that are no longer the last nor the best, until they are deleted.
UNWANTED = ".unwanted"


@flax.struct.dataclass
class TrainState:
    """The whole state of a training; random keys and batches follow from the seed and ``step`` alone.

    Attributes:
        step: Steps done, Int[].
        params: ``{"encoder": …, "head": …}``; the head belongs to the method's loss.
        batch_stats: Running BatchNorm statistics.
        opt_state: Of the optax optimiser.
        goal: What the method's last `refit` returned.
        totals: Sums of the logged parts over the steps of this epoch.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    goal: Any
    totals: dict[str, jax.Array]


def create(
    variables: Any, method: Method, optimizer: optax.GradientTransformation, goal: Any, key: jax.Array, dim: int
) -> TrainState:
    """State before the first step.

    Args:
        variables: ``{"params": …, "batch_stats": …}`` of the encoder.
        method: Gives the head's parameters and the names of the loss's parts.
        optimizer: Its state is initialised over encoder and head.
        goal: Of the initial embeddings.
        key: For the head.
        dim: Length of an embedding.
    """
    params = {"encoder": variables["params"], "head": method.init_head(key, dim)}
    z, y = jnp.zeros((2, dim)), jnp.zeros(2, jnp.int32)
    _, parts = jax.eval_shape(method.loss, z, y, goal, params["head"])
    totals = {name: jnp.zeros(()) for name in ("loss", "norm", *parts)}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        # Run as it is, each shape in it would be a program to compile.
        opt_state=jax.jit(optimizer.init)(params),
        goal=goal,
        totals=totals,
    )


def open_checkpoints(folder: Path, process: int = 0) -> Any:
    """A manager that writes in the background and keeps the latest state and the best one, for one process alone.

    Best is the highest ``score`` of the metrics given to `save`, the earlier epoch on ties. A state has its name once
    all of it is on the disk; the one that it replaces is deleted after that.

    Args:
        folder: Of a training's checkpoints.
        process: The one that calls this.
    """
    import orbax.checkpoint as ocp
    from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

    def rank(metrics: dict[str, float]) -> tuple[float, float]:
        return metrics["score"], -metrics["epoch"]

    several = jax.process_count() > 1
    if several:
        folder.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        # Without best_fn, metrics are not written, and a resumed run would forget which state is the best.
        best_fn=rank,  # type: ignore[arg-type]
        preservation_policy=keep.AnyPreservationPolicy(
            [keep.LatestN(1), keep.BestN(get_metric_fn=rank, n=1)]  # type: ignore[arg-type]
        ),
        # Others take no part: their disks may be other ones.
        multiprocessing_options=_alone(process),
        # In one step, as they come: one that was killed while it deletes would leave a part under a good name.
        todelete_subdir=UNWANTED,
        create=not several,  # with a part of the processes, Orbax does not
        # Called before a state gets its name. Without it, a loss of power may leave empty files under a good name.
        async_options=ocp.options.AsyncOptions(post_finalization_callback=lambda: sync_tree(folder)),
    )
    return ocp.CheckpointManager(folder.resolve(), options=options)


def _alone(process: int) -> Any:
    """Of several processes, one alone, for Orbax; each of them may be so at the same time."""
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )


def save(manager: Any, state: TrainState, log: dict[str, Any], metrics: dict[str, Any] | None = None) -> None:
    """Write a state and the log that led to it, named by its step.

    Args:
        manager: From `open_checkpoints`.
        state: One copy, not one a device.
        log: JSON-safe: what the loop knows beside the arrays (metric rows so far, last SVM parameters, …).
        metrics: ``score`` and ``epoch`` at the end of an epoch; None for a state saved in the middle of one, which
            is never the best.
    """
    import orbax.checkpoint as ocp

    manager.save(
        int(state.step),
        # The log as it is now: it is written in the background, and the next epoch adds to it.
        args=ocp.args.Composite(state=ocp.args.StandardSave(state), log=ocp.args.JsonSave(deepcopy(log))),
        metrics=metrics or {"score": -1.0, "epoch": 0},
        force=True,
    )


def restore(manager: Any, like: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
    """Read a state back on whatever devices are here now.

    Args:
        manager: From `open_checkpoints`.
        like: A state of the same shapes; its values are not used.
        step: A step in ``manager.all_steps()``.

    Returns:
        The state and its log.
    """
    import orbax.checkpoint as ocp

    # The sharding of this process's first device: a state saved on many devices comes back on one.
    home = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x), sharding=home), like)
    items = manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract), log=ocp.args.JsonRestore())
    )
    return items["state"], items["log"]


def take_away_unwanted(folder: Path) -> None:
    """Delete the states that a manager has moved out of the way; while it saves or deletes, leave it alone.

    Args:
        folder: Of a training's checkpoints.
    """
    shutil.rmtree(folder / UNWANTED, ignore_errors=True)


def keep_best(folder: Path) -> None:
    """Of a training that is over, delete all states but the best one.

    Args:
        folder: Of its checkpoints.
    """
    with open_checkpoints(folder) as manager:
        best = manager.best_step()
        for step in manager.all_steps():
            if step != best:
                manager.delete(step)
    take_away_unwanted(folder)


def read_best(folder: Path) -> dict[str, Any]:
    """The network of a training's best state, and nothing else of it.

    Of several processes, each reads for itself.

    Args:
        folder: Of a training's checkpoints.

    Returns:
        ``{"params": {"encoder": …, "head": …}, "batch_stats": …}`` of NumPy arrays.

    Raises:
        InputError: if there is no whole state in it.
    """
    import orbax.checkpoint as ocp

    # It warns of metadata that only its other way of writing leaves behind.
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with open_checkpoints(folder, jax.process_index()) as manager:
            path = folder.resolve() / str(manager.best_step()) / "state"
        own = _alone(jax.process_index())
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=own)
        reader = ocp.Checkpointer(handler, multiprocessing_options=own)
        tree = reader.metadata(path).item_metadata.tree
        # By its own metadata, for how the run was configured is not known here; not a whole state, since that of the
        # optimiser may be twice as large again.
        some = {name: tree[name] for name in ("params", "batch_stats")}
        plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), some)
        return reader.restore(path, ocp.args.PyTreeRestore(some, plain, partial_restore=True))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{folder}: no trained state could be read ({reason}); is the run whole?") from error
    finally:
        log.setLevel(level)
