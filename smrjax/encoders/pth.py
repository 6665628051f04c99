"""Read torch's ``.pth`` files without torch and without running what they contain.

A ``.pth`` file is a pickle that names the functions which rebuild its tensors. Here every name resolves to an inert
stand-in from a short list, or the file is refused. Both layouts are read: the zip archive (torch >= 1.6) and the older
one of five pickles followed by the raw storages. A checkpoint may hold the state dict beside other things.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from smrjax.errors import InputError

#: Where training programs put the state dict in their checkpoints.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class _Refused(Exception):
    """Says why a file is not read; becomes the `InputError` with the file's name."""


class _Storage:
    """Numbers that lie elsewhere in the file."""

    def __init__(self, key: str, type_name: str, size: int):
        self.key, self.dtype, self.size = key, np.dtype(_DTYPES[type_name]), size

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it changes a storage after making it")


class _Tensor:
    """A view of a storage; stands in for torch's functions that rebuild one."""

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any):
        sizes = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or not all(isinstance(n, int) and n >= 0 for n in sizes):
            raise _Refused("a tensor is malformed")
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)

    def __setstate__(self, state: Any) -> None:
        # Without this, a file could set the offset after the check above and read memory that is not its own.
        raise _Refused("it changes a tensor after making it")


class _Dict(dict):  # type: ignore[type-arg]
    def __setstate__(self, state: Any) -> None:
        """A state dict carries version numbers as attributes; not needed."""


#: Classes and strings only: a pickle may set attributes on whatever function it gets hold of.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor"): _Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    **{("torch", name): name for name in _DTYPES},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], found: dict[str, _Storage]):
        super().__init__(file, encoding="utf-8")
        self.found = found

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in, or a refusal: nothing is imported."""
        if (module, name) not in _ALLOWED:
            raise _Refused(f"it asks for {module}.{name}, which is no part of a table of tensors")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """("storage", type, key, device, size, view): a view of a view is a relic that nobody writes."""
        kind, type_name, key, _, size, *view = pid
        if kind != "storage" or type_name not in _DTYPES or not isinstance(size, int) or any(view):
            raise _Refused("a storage is malformed")
        return self.found.setdefault(str(key), _Storage(str(key), type_name, size))


def _values(storage: _Storage, data: bytes) -> np.ndarray:
    if len(data) != storage.size * storage.dtype.itemsize:
        raise _Refused("it is cut short")
    return np.frombuffer(data, storage.dtype)


def _layout(file: IO[bytes]) -> Callable[[IO[bytes]], tuple[Any, dict[str, np.ndarray]]]:
    """What reads the file, by its first bytes; a zip archive without its end is cut short."""
    start = file.read(2)
    file.seek(0)
    if start == b"PK":
        if not zipfile.is_zipfile(file):
            raise _Refused("it is cut short")
        return _from_zip
    if not start:
        raise _Refused("it is empty")
    if start[:1] != pickle.PROTO:
        raise _Refused("it is no file of torch's")
    return _from_pickles


def _from_zip(file: IO[bytes]) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        names = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        # Torch never compresses; refusing to inflate keeps a small file from filling the memory.
        if "data.pkl" not in names or any(info.compress_type != zipfile.ZIP_STORED for info in names.values()):
            raise _Refused("it is a zip archive, but not one that torch.save wrote")
        if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
            raise _Refused("it was written on a big-endian machine")
        found: dict[str, _Storage] = {}
        table = _Unpickler(io.BytesIO(archive.read(names["data.pkl"])), found).load()
        return table, {key: _values(s, archive.read(names[f"data/{key}"])) for key, s in found.items()}


def _from_pickles(file: IO[bytes]) -> tuple[Any, dict[str, np.ndarray]]:
    found: dict[str, _Storage] = {}

    def load() -> Any:
        return _Unpickler(file, found).load()

    if load() != _LEGACY_MAGIC:
        raise _Refused("it does not begin like a file of torch's")
    _version, machine = load(), load()
    if not machine["little_endian"]:
        raise _Refused("it was written on a big-endian machine")
    table = load()
    values = {}
    for key in load():
        size = int.from_bytes(file.read(8), "little")
        if size != found[key].size:
            raise _Refused("it is cut short")
        values[key] = _values(found[key], file.read(size * found[key].dtype.itemsize))
    return table, values


def _view(tensor: _Tensor, values: dict[str, np.ndarray]) -> np.ndarray:
    flat = values[tensor.storage.key]
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if flat.dtype != tensor.storage.dtype or (0 not in tensor.shape and last >= len(flat)):
        raise _Refused("a tensor reaches beyond its storage")
    strides = tuple(s * flat.itemsize for s in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides, writeable=False)


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of a state dict that ``torch.save`` wrote, by itself or as "state_dict", "model_state_dict" or "model".

    Args:
        path: The file.

    Returns:
        Name -> array, read-only, in the file's order.

    Raises:
        InputError: if the file cannot be opened, is cut short, is none of torch's, or asks for anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            table, values = _layout(file)(file)
        if isinstance(table, dict):
            table = next((table[name] for name in _WRAPPERS if isinstance(table.get(name), dict)), table)
        if not isinstance(table, dict) or not all(isinstance(v, _Tensor) for v in table.values()):
            raise _Refused("it holds something other than a flat table of tensors")
        return {str(name): _view(tensor, values) for name, tensor in table.items()}
    except _Refused as error:
        reason = str(error)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = f"it is damaged or cut short ({type(error).__name__})"
    advice = "give a state dict as torch.save(model.state_dict(), …) writes it, or .safetensors"
    raise InputError(f"{path}: no weights could be read: {reason}; {advice}")
