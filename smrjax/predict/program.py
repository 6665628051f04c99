"""The network as a program of its own (`jax.export`): written once, run without the code that it was made of.

It is StableHLO, which JAX promises to read for six months after it was written, and in practice reads for longer.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smrjax.errors import InputError
from smrjax.predict.model import Embed, Variables

#: Where it runs.
PLATFORMS = ("cpu", "cuda")
#: Calls out of a program that it may make: only the check of its inputs' shapes. Any other could run whatever is
#: registered in the process.
CALLS = {"shape_assertion"}


def write_program(embed: Embed, variables: Variables, size: int) -> bytes:
    """A network as bytes, for batches of any size.

    Args:
        embed: (variables, images UInt8[B, S, S, 3]) -> Float32[B, D].
        variables: Of any fold; of all, only shapes and types are kept.
        size: S.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    arrays = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in variables.items()}
    images = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
    # The places of functions in files, which errors of compilers name, would tell the folders of whoever exports.
    option = "jax_hlo_source_file_canonicalization_regex"
    before = jax.config.values[option]
    jax.config.update(option, ".*/")
    try:
        exported = jax.export.export(jax.jit(lambda v, x: embed(v, x)), platforms=PLATFORMS)(arrays, images)
    finally:
        jax.config.update(option, before)
    return bytes(exported.serialize())


def read_program(path: Path, networks: Sequence[Variables], *, size: int, dimensions: int) -> Embed:
    """The network of a file of `write_program`; nothing of it is run.

    Args:
        path: Of the file.
        networks: Variables of all folds, with which it is to be called.
        size: Pixels a side of the images with which it is to be called.
        dimensions: D, of the embeddings that it is to give.

    Raises:
        InputError: if it is no such program, is of a newer JAX, takes or gives other arrays, or calls out of itself.
    """
    try:
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
        text = exported.mlir_module()
    except ImportError:
        raise
    except Exception as error:  # Of the reader of a binary format: whatever damaged bytes make it raise.
        raise InputError(
            f"{path}: is not a program that JAX {jax.__version__} can read ({_first_line(error)}); it is damaged or of "
            "a newer JAX: update JAX, or export the run again"
        ) from None
    if calls := set(re.findall(r"custom_call\s*@\"?([^\s\"(]+)", text)) - CALLS:
        raise InputError(f"{path}: calls {sorted(calls)[0]}, which no program of this library does; do not use it")
    wanted = [(_shapes(variables), (size, size, 3)) for variables in networks]
    given = exported.out_avals[0]
    if any(_arguments(exported) != one for one in wanted) or (given.shape[1:], given.dtype) != ((dimensions,), "f4"):
        raise InputError(f"{path}: takes or gives arrays of other shapes than the model's; export the run again")
    return jax.jit(exported.call)


def _arguments(exported: "jax.export.Exported") -> tuple[dict[str, tuple], tuple[int, ...]] | None:
    """Shapes and types of the variables by their names, and the shape of an image; None where it takes others."""
    try:
        (variables, images), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        free = jax.export.is_symbolic_dim(images.shape[0])
        return (_shapes(variables), images.shape[1:]) if free and images.dtype == np.uint8 else None
    except (TypeError, ValueError, AttributeError, IndexError):
        return None


def _shapes(variables: Mapping[str, Any]) -> dict[str, tuple]:
    return {name: (x.shape, x.dtype) for name, x in variables.items()}


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]
