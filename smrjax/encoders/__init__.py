"""Networks from images to embeddings, with named stages, and their published weights."""

from collections.abc import Callable

import flax.linen as nn

from smrjax.encoders.densenet import densenet121, densenet_small, densenet_tiny
from smrjax.encoders.efficientnet import EfficientNetLite0
from smrjax.encoders.regnet import regnet_tiny, regnet_y_32gf
from smrjax.encoders.resnet import resnet18, resnet50, resnet152, resnet_tiny, resnext50_32x4d, resnext_tiny
from smrjax.encoders.stem import IMAGENET, Channels
from smrjax.encoders.torch_weights import IMAGENET_WEIGHTS, load_torch_weights
from smrjax.encoders.vgg import vgg19_bn, vgg_tiny
from smrjax.encoders.vit import vit_l_32, vit_tiny

#: name -> (embedding_dim, dropout, dtype, frozen_stages, axis_name, channels) -> module; see `densenet.DenseNet`.
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "densenet121": densenet121,
    "densenet_small": densenet_small,
    "densenet_tiny": densenet_tiny,
    "efficientnet_lite0": EfficientNetLite0,
    "regnet_tiny": regnet_tiny,
    "regnet_y_32gf": regnet_y_32gf,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet152": resnet152,
    "resnet_tiny": resnet_tiny,
    "resnext50_32x4d": resnext50_32x4d,
    "resnext_tiny": resnext_tiny,
    "vgg19_bn": vgg19_bn,
    "vgg_tiny": vgg_tiny,
    "vit_l_32": vit_l_32,
    "vit_tiny": vit_tiny,
}

__all__ = ["ENCODERS", "IMAGENET", "IMAGENET_WEIGHTS", "Channels", "load_torch_weights"]
