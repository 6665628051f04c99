"""The reference networks, written with torch alone: names of torchvision and timm, and the features of each stage."""

from functools import partial

from tests.encoders.torch_models.densenet import DenseNet121
from tests.encoders.torch_models.efficientnet import EfficientNetLite0
from tests.encoders.torch_models.regnet import RegNetY
from tests.encoders.torch_models.resnet import ResNet
from tests.encoders.torch_models.vgg import VGG
from tests.encoders.torch_models.vit import VisionTransformer

NETWORKS = {
    "densenet121": DenseNet121,
    "efficientnet_lite0": EfficientNetLite0,
    "regnet_tiny": partial(RegNetY, (1, 2), (8, 16), 8, stem=16),
    "regnet_y_32gf": partial(RegNetY, (2, 5, 12, 1), (232, 696, 1392, 3712), 232),
    "resnet18": partial(ResNet, (2, 2, 2, 2), False),
    "resnet50": partial(ResNet, (3, 4, 6, 3), True),
    "resnet152": partial(ResNet, (3, 8, 36, 3), True),
    "resnet_tiny": partial(ResNet, (1, 2), True, first=8),
    "resnext50_32x4d": partial(ResNet, (3, 4, 6, 3), True, groups=32, base_width=4),
    # 8 channels x 16 / 64 = 2 a group.
    "resnext_tiny": partial(ResNet, (1, 2), True, first=8, groups=6, base_width=16),
    "vgg19_bn": partial(VGG, [(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)]),
    "vgg_tiny": partial(VGG, [(2, 6), (2, 8)], hidden=12, cells=3),
    "vit_l_32": partial(VisionTransformer, 224, 32, (6, 12, 18, 24), 16, 1024, 4096),
    "vit_tiny": partial(VisionTransformer, 64, 4, (1, 3), 3, 12, 20),
}
