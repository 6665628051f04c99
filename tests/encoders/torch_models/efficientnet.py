from torch import nn
from torch.nn import functional as F


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
