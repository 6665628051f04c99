from collections import OrderedDict

from torch import nn
from torch.nn import functional as F

from tests.encoders.torch_models.images import normalised


def conv_norm(inputs, outputs, kernel=1, stride=1, groups=1, relu=True):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([nn.ReLU(inplace=True)] if relu else []))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))).sigmoid()


class YBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, group_width):
        super().__init__()
        self.proj = None
        if inputs != outputs or stride != 1:
            self.proj = conv_norm(inputs, outputs, stride=stride, relu=False)
        parts = OrderedDict(
            a=conv_norm(inputs, outputs),
            b=conv_norm(outputs, outputs, 3, stride, outputs // group_width),
            se=SqueezeExcitation(outputs, int(round(0.25 * inputs))),
            c=conv_norm(outputs, outputs, relu=False),
        )
        self.f = nn.Sequential(parts)

    def forward(self, x):
        return F.relu((x if self.proj is None else self.proj(x)) + self.f(x))


class RegNetY(nn.Module):
    def __init__(self, depths, widths, group_width, stem=32, classes=1000):
        super().__init__()
        self.stem = conv_norm(3, stem, 3, 2)
        blocks, inputs = OrderedDict(), stem
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            layers = OrderedDict()
            for j in range(depth):
                layers[f"block{i}-{j}"] = YBlock(inputs, width, 1 if j else 2, group_width)
                inputs = width
            blocks[f"block{i}"] = nn.Sequential(layers)
        self.trunk_output = nn.Sequential(blocks)
        self.fc = nn.Linear(inputs, classes)

    def stages(self, images):
        x = self.stem(normalised(images))
        found = {"stem": x}
        for name, block in self.trunk_output.named_children():
            x = found[name] = block(x)
        return found
