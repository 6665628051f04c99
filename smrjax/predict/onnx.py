"""A network as ONNX, for programs without JAX; checked to give what it gives here, or refused.

jax2onnx writes the graph, ONNX Runtime checks it. Seen to agree to 1e-6 in single precision for every family of
encoders, with and without views and stages computed beforehand; bfloat16 has no kernels in ONNX Runtime on processors.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smrjax.errors import InputError, first_line
from smrjax.predict.model import Member, Model

#: Embeddings may differ by so much.
TOLERANCE = 1e-5
#: Sizes of the batches that are checked.
BATCHES = (1, 3)


def write_onnx(path: Path, model: Model, member: Member) -> None:
    """Write a fold's network: ``images`` UInt8[batch, S, S, 3] -> ``embeddings`` Float32[batch, D].

    Args:
        path: Of the file.
        model: Of a run.
        member: Of it; its variables are in the file.

    Raises:
        InputError: if jax2onnx or ONNX Runtime is not installed, or what they make is not the network.
    """
    try:
        import onnxruntime
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}: pip install 'smrjax[onnx]', or leave out --onnx") from None

    def embed(images: jax.Array) -> jax.Array:
        return model.own(member.variables, model.shared(member.variables, images))

    size = model.image_size
    images = jax.ShapeDtypeStruct(("batch", size, size, 3), np.uint8)  # type: ignore[arg-type]
    try:
        with _quiet():
            graph = to_onnx(
                embed, inputs=[images], input_names=["images"], output_names=["embeddings"], return_mode="proto"
            )
            _drop_shapes(graph.graph)
            data = graph.SerializeToString()
            session = onnxruntime.InferenceSession(data, _options(onnxruntime), providers=["CPUExecutionProvider"])
            far = max(_difference(session, embed, count, size) for count in BATCHES)
    except Exception as error:  # Of a converter and a runtime: whatever they raise, there is no such file.
        raise InputError(
            f"{path.name}: ONNX cannot hold this network ({first_line(error)}); leave out --onnx"
        ) from None
    if not far <= TOLERANCE:
        raise InputError(f"{path.name}: embeddings of ONNX differ by {far:.1g}; leave out --onnx")
    path.write_bytes(data)


def _difference(session: Any, embed: Any, count: int, size: int) -> float:
    """The largest between embeddings of so many images, here and there."""
    images = np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)
    (found,) = session.run(["embeddings"], {"images": images})
    return float(np.abs(found - np.asarray(jax.jit(embed)(images))).max())


def _drop_shapes(graph: Any) -> None:
    """Leave out the shapes and types noted between nodes: not all are right, and every runtime works them out."""
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _drop_shapes(attribute.g)


def _options(onnxruntime: Any) -> Any:
    """Of a session that says errors only."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the converter, hundreds of them, about the shapes that are left out."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
