from torch import nn
from torch.nn import functional as F

from tests.encoders.torch_models.images import normalised


class Residual(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck, groups, base_width):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            middle = int(width * (base_width / 64)) * groups
            self.conv1, self.bn1 = nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle)
            conv = nn.Conv2d(middle, middle, 3, stride, 1, groups=groups, bias=False)
            self.conv2, self.bn2 = conv, nn.BatchNorm2d(middle)
            self.conv3, self.bn3 = nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
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
    """A ``base_width`` counts the channels of a group in blocks of 64, as torchvision's ``width_per_group``."""

    def __init__(self, layers, bottleneck, first=64, groups=1, base_width=64, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first)
        inputs, self.blocks = first, len(layers)
        for i, repeats in enumerate(layers, start=1):
            width, block = first * 2 ** (i - 1), []
            for j in range(repeats):
                stride = 2 if i > 1 and j == 0 else 1
                block.append(Residual(inputs, width, stride, bottleneck, groups, base_width))
                inputs = 4 * width if bottleneck else width
            setattr(self, f"layer{i}", nn.Sequential(*block))
        self.fc = nn.Linear(inputs, classes)

    def stages(self, images):
        x = F.relu(self.bn1(self.conv1(normalised(images))))
        found = {"stem": F.max_pool2d(x, 3, 2, 1)}
        for i in range(1, self.blocks + 1):
            found[f"block{i}"] = getattr(self, f"layer{i}")(found["stem" if i == 1 else f"block{i - 1}"])
        return found
