from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from tests.encoders.torch_models.images import normalised


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
