"""How descriptors and networks are called in tables and pictures."""

NAMES = {
    "hog": "HOG",
    "shog": "SHOG",
    "lbp": "LBP",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "resnext50_32x4d": "ResNeXt-50",
    "vgg19_bn": "VGG-19-BN",
    "regnet_y_32gf": "RegNetY-32GF",
    "vit_l_32": "ViT-L/32",
    "densenet121": "DenseNet-121",
    "densenet_small": "small DenseNet",
    "densenet_tiny": "tiny DenseNet",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
