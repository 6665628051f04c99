import torch
from torch import nn

from tests.encoders.torch_models.images import normalised


class VGG(nn.Module):
    def __init__(self, rows, hidden=4096, cells=7, classes=1000):
        super().__init__()
        parts, inputs, self.ends = [], 3, {}
        for i, (repeats, width) in enumerate(rows, start=1):
            for _ in range(repeats):
                parts += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                inputs = width
            parts.append(nn.MaxPool2d(2, 2))
            self.ends[len(parts) - 1] = f"block{i}"
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d(cells)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * cells**2, hidden),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )

    def stages(self, images):
        x, found = normalised(images), {}
        for i, part in enumerate(self.features):
            x = part(x)
            if i in self.ends:
                found[self.ends[i]] = x
        x = torch.flatten(self.avgpool(x), 1)
        found["hidden"] = self.classifier[:-1](x)[:, :, None, None]
        return found
