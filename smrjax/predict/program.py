"""The network as programs of its own (`jax.export`): written once, run without the code that it was made of.

There are two, as in `Model`: what all folds share, and what is each fold's own. They are StableHLO, which JAX promises
to read for six months after it was written, and in practice reads for longer.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smrjax.errors import InputError, first_line
from smrjax.predict.model import Embed, Variables

#: Where they run.
PLATFORMS = ("cpu", "cuda")
#: Files of the two.
SHARED, OWN = "shared.jax", "own.jax"
#: Calls out of a program that it may make: only the check of its inputs' shapes. Any other could run whatever is
#: registered in the process.
CALLS = {"shape_assertion"}


def write_programs(folder: Path, shared: Embed, own: Embed, variables: Variables, *, size: int) -> None:
    """Write a network, for batches of any size.

    Args:
        folder: Where.
        shared: See `Model`.
        own: See `Model`.
        variables: Of any fold; only shapes and types are kept.
        size: S, pixels a side.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    arrays = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in variables.items()}
    images = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
    # The places of functions in files, which errors of compilers name, would tell the folders of whoever exports.
    option = "jax_hlo_source_file_canonicalization_regex"
    before = jax.config.values[option]
    jax.config.update(option, ".*/")
    try:
        first = jax.export.export(jax.jit(shared), platforms=PLATFORMS)(arrays, images)
        second = jax.export.export(jax.jit(own), platforms=PLATFORMS)(arrays, first.out_avals[0])
    finally:
        jax.config.update(option, before)
    (folder / SHARED).write_bytes(first.serialize())
    (folder / OWN).write_bytes(second.serialize())


def read_programs(folder: Path, networks: Sequence[Variables], *, size: int, dimensions: int) -> tuple[Embed, Embed]:
    """What `write_programs` wrote; nothing of it is run.

    Args:
        folder: Of the files.
        networks: Variables of all folds, with which they are to be called.
        size: Pixels a side of the images with which they are to be called.
        dimensions: D, of the embeddings that they are to give.

    Returns:
        Both functions, see `Model`.

    Raises:
        InputError: if a file is no such program, is of a newer JAX, takes or gives other arrays, or calls out of it.
    """
    shared, own = _read(folder / SHARED), _read(folder / OWN)
    seen = _row(shared.out_avals[0], 1)
    for name, program, given, taken in (
        (SHARED, shared, ((size, size, 3), np.uint8), seen),
        (OWN, own, seen, ((dimensions,), np.float32)),
    ):
        found = _arguments(program, batch=int(program is own)), _row(program.out_avals[0], int(program is shared))
        if any(found != ((_shapes(variables), given), taken) for variables in networks):
            raise InputError(
                f"{folder / name}: takes or gives arrays of other shapes than the model's; export the run again"
            )
    return jax.jit(shared.call), jax.jit(own.call)


def _read(path: Path) -> jax.export.Exported:
    try:
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
        text = exported.mlir_module()
        if exported.calling_convention_version > jax.export.maximum_supported_calling_convention_version:
            raise ValueError(f"calling convention {exported.calling_convention_version}")
    except ImportError:
        raise
    except Exception as error:  # Of the reader of a binary format: whatever damaged bytes make it raise.
        raise InputError(
            f"{path}: is not a program that JAX {jax.__version__} can read ({first_line(error)}); it is damaged or of "
            "a newer JAX: update JAX, or export the run again"
        ) from None
    if calls := set(re.findall(r"custom_call\s*@\"?([^\s\"(]+)", text)) - CALLS:
        raise InputError(f"{path}: calls {sorted(calls)[0]}, which no program of this library does; do not use it")
    return exported


def _arguments(exported: jax.export.Exported, *, batch: int) -> Any:
    """Shapes and types of the variables by their names, and of a row of the second argument; None where others."""
    try:
        (variables, array), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        return _shapes(variables), _row(array, batch)
    except (TypeError, ValueError, AttributeError):
        return None


def _row(array: Any, batch: int) -> Any:
    """Shape without the axis of the batch, which must be free, and type."""
    if array.ndim <= batch or not jax.export.is_symbolic_dim(array.shape[batch]):
        return None
    return (*array.shape[:batch], *array.shape[batch + 1 :]), array.dtype


def _shapes(variables: Mapping[str, Any]) -> dict[str, tuple]:
    return {name: (x.shape, x.dtype) for name, x in variables.items()}
