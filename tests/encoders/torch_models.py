"""The reference networks, written with torch alone: names of torchvision and timm, features and pooled features."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F


def normalised(images):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images / 255 - mean[:, None, None]) / std[:, None, None]


class DenseLayer(nn.Module):
    def __init__(self, channels, growth, bottleneck):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y), inplace=True))], 1)


class DenseNet121(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        parts = [
            ("conv0", nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)),
            ("norm0", nn.BatchNorm2d(64)),
            ("relu0", nn.ReLU(inplace=True)),
            ("pool0", nn.MaxPool2d(3, stride=2, padding=1)),
        ]
        channels = 64
        for i, layers in enumerate((6, 12, 24, 16), start=1):
            block = OrderedDict()
            for j in range(1, layers + 1):
                block[f"denselayer{j}"] = DenseLayer(channels, 32, 4)
                channels += 32
            parts.append((f"denseblock{i}", nn.Sequential(block)))
            if i < 4:
                transition = OrderedDict(
                    norm=nn.BatchNorm2d(channels),
                    relu=nn.ReLU(inplace=True),
                    conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
                    pool=nn.AvgPool2d(2, 2),
                )
                parts.append((f"transition{i}", nn.Sequential(transition)))
                channels //= 2
        parts.append(("norm5", nn.BatchNorm2d(channels)))
        self.features = nn.Sequential(OrderedDict(parts))
        self.classifier = nn.Linear(channels, classes)

    def stages(self, images):
        x = normalised(images)
        ends = {"pool0": "stem", "transition1": "block1", "transition2": "block2", "transition3": "block3"}
        found = {}
        for name, part in self.features.named_children():
            x = part(x)
            if name in ends:
                found[ends[name]] = x
        found["block4"] = F.relu(x)
        return found


class Residual(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        else:
            self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "bn3"):
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, layers, bottleneck, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for i, repeats in enumerate(layers, start=1):
            width, block = 32 * 2**i, []
            for j in range(repeats):
                block.append(Residual(inputs, width, 2 if i > 1 and j == 0 else 1, bottleneck))
                inputs = 4 * width if bottleneck else width
            setattr(self, f"layer{i}", nn.Sequential(*block))
        self.fc = nn.Linear(inputs, classes)

    def stages(self, images):
        x = F.relu(self.bn1(self.conv1(normalised(images))))
        found = {"stem": F.max_pool2d(x, 3, 2, 1)}
        for i in range(1, 5):
            found[f"block{i}"] = getattr(self, f"layer{i}")(found["stem" if i == 1 else f"block{i - 1}"])
        return found


class SameConv2d(nn.Conv2d):
    """TensorFlow's padding: as much as a whole last window needs, the odd row and column at the end."""

    def forward(self, x):
        need = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, s, k in zip(x.shape[2:], self.stride, self.kernel_size, strict=True)
        ]
        (h, w) = need
        return super().forward(F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2)))


def relu6(x):
    return F.relu6(x, inplace=True)


def tf_norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        middle = inputs * expansion
        dw = SameConv2d(middle, middle, kernel, stride, groups=middle, bias=False)
        if expansion == 1:
            self.conv_dw, self.bn1 = dw, tf_norm(middle)
            self.conv_pw, self.bn2 = nn.Conv2d(middle, outputs, 1, bias=False), tf_norm(outputs)
        else:
            self.conv_pw, self.bn1 = nn.Conv2d(inputs, middle, 1, bias=False), tf_norm(middle)
            self.conv_dw, self.bn2 = dw, tf_norm(middle)
            self.conv_pwl, self.bn3 = nn.Conv2d(middle, outputs, 1, bias=False), tf_norm(outputs)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        if hasattr(self, "bn3"):
            y = relu6(self.bn2(self.conv_dw(relu6(self.bn1(self.conv_pw(x))))))
            y = self.bn3(self.conv_pwl(y))
        else:
            y = self.bn2(self.conv_pw(relu6(self.bn1(self.conv_dw(x)))))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.conv_stem, self.bn1 = SameConv2d(3, 32, 3, 2, bias=False), tf_norm(32)
        rows = "1 3 1 1 16|2 3 2 6 24|2 5 2 6 40|3 3 2 6 80|3 5 1 6 112|4 5 2 6 192|1 3 1 6 320"
        blocks, inputs = [], 32
        for row in rows.split("|"):
            repeats, kernel, stride, expansion, outputs = map(int, row.split())
            block = []
            for i in range(repeats):
                block.append(Inverted(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
            blocks.append(nn.Sequential(*block))
        self.blocks = nn.Sequential(*blocks)
        self.conv_head, self.bn2 = nn.Conv2d(320, 1280, 1, bias=False), tf_norm(1280)
        self.classifier = nn.Linear(1280, classes)

    def stages(self, images):
        x = relu6(self.bn1(self.conv_stem((images - 127) / 128)))
        found = {"stem": x}
        for i, block in enumerate(self.blocks, start=1):
            x = found[f"block{i}"] = block(x)
        found["top"] = relu6(self.bn2(self.conv_head(x)))
        return found


NETWORKS = {
    "densenet121": DenseNet121,
    "efficientnet_lite0": EfficientNetLite0,
    "resnet18": partial(ResNet, (2, 2, 2, 2), False),
    "resnet152": partial(ResNet, (3, 8, 36, 3), True),
}
