"""What torchvision and timm call the modules of our encoders."""

from collections.abc import Callable, Mapping
from typing import Any

from smrjax.encoders.efficientnet import LITE0
from smrjax.encoders.vgg import LAYERS

#: (stage, ..., module) of a variable, as in ("block1", "layer2", "conv1").
VariablePath = tuple[str, ...]


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


#: Modules of a layer, or of the stem: in torchvision and in timm.
_REGNET = {
    "conv": ("stem.0", "stem.conv"),
    "norm": ("stem.1", "stem.bn"),
    "conv1": ("f.a.0", "conv1.conv"),
    "norm1": ("f.a.1", "conv1.bn"),
    "conv2": ("f.b.0", "conv2.conv"),
    "norm2": ("f.b.1", "conv2.bn"),
    "excite.linear1": ("f.se.fc1", "se.fc1"),
    "excite.linear2": ("f.se.fc2", "se.fc2"),
    "conv3": ("f.c.0", "conv3.conv"),
    "norm3": ("f.c.1", "conv3.bn"),
    "shortcut_conv": ("proj.0", "downsample.conv"),
    "shortcut_norm": ("proj.1", "downsample.bn"),
}


def regnet_key(path: VariablePath, state: Mapping[str, Any]) -> str:
    """Name in torchvision of a module of `regnet.RegNetY`, or timm's if the state dict has those."""
    timm = "stem.conv.weight" in state
    match path:
        case ["stem", module]:
            return _REGNET[module][timm]
        case [stage, layer, *modules]:
            number = int(layer.removeprefix("layer"))
            place = f"s{stage[-1]}.b{number}" if timm else f"trunk_output.{stage}.{stage}-{number - 1}"
            return f"{place}.{_REGNET['.'.join(modules)][timm]}"
    raise ValueError(f"no such module: {path}")


def vgg_key(path: VariablePath, state: Mapping[str, Any]) -> str:
    """Name in torchvision of a module of `vgg.VGG`, or timm's if the state dict has those."""
    stage, module = path
    number = int(module[-1]) - 1
    if stage == "hidden":
        return f"pre_logits.fc{number + 1}" if "pre_logits.fc1.weight" in state else f"classifier.{3 * number}"
    # A layer is a convolution, BatchNorm and relu; a block ends with a max-pool.
    block = int(stage.removeprefix("block")) - 1
    return f"features.{3 * (sum(LAYERS[:block]) + number) + block + module.startswith('norm')}"


#: Modules of a layer, or beside the layers: in torchvision and in timm.
_VIT = {
    "patches": ("conv_proj", "patch_embed.proj"),
    "class_token": ("class_token", "cls_token"),
    "positions": ("encoder.pos_embedding", "pos_embed"),
    "norm": ("encoder.ln", "norm"),
    "norm1": ("ln_1", "norm1"),
    "attention.in_proj": ("self_attention.in_proj", "attn.qkv"),
    "attention.out_proj": ("self_attention.out_proj", "attn.proj"),
    "norm2": ("ln_2", "norm2"),
    "linear1": ("mlp.0", "mlp.fc1"),
    "linear2": ("mlp.3", "mlp.fc2"),
}


def vit_key(path: VariablePath, state: Mapping[str, Any]) -> str:
    """Name in torchvision of a module of `vit.VisionTransformer`, or timm's if the state dict has those."""
    timm = "patch_embed.proj.weight" in state
    match path:
        case [_, module]:
            return _VIT[module][timm]
        case [_, layer, *modules]:
            number = int(layer.removeprefix("layer")) - 1
            place = f"blocks.{number}" if timm else f"encoder.layers.encoder_layer_{number}"
            return f"{place}.{_VIT['.'.join(modules)][timm]}"
    raise ValueError(f"no such module: {path}")


#: Name in `ENCODERS` -> (path of a module without its collection, state dict) -> name of the torch module.
KEYS: dict[str, Callable[[VariablePath, Mapping[str, Any]], str]] = {
    "densenet121": densenet_key,
    "efficientnet_lite0": efficientnet_key,
    "regnet_y_32gf": regnet_key,
    "resnet18": resnet_key,
    "resnet50": resnet_key,
    "resnet152": resnet_key,
    "resnext50_32x4d": resnet_key,
    "vgg19_bn": vgg_key,
    "vit_l_32": vit_key,
}
