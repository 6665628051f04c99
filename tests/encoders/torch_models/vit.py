from collections import OrderedDict
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from tests.encoders.torch_models.images import normalised

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


def interpolate_embeddings(table, side):
    """As torchvision's function of this name, for an image of side x side patches."""
    first, rest = table[:, :1], table[:, 1:].permute(0, 2, 1)
    old = int(rest.shape[-1] ** 0.5)
    rest = rest.reshape(1, -1, old, old)
    rest = F.interpolate(rest, size=side, mode="bicubic", align_corners=True)
    return torch.cat([first, rest.flatten(2).permute(0, 2, 1)], 1)


class EncoderBlock(nn.Module):
    def __init__(self, heads, width, hidden):
        super().__init__()
        self.ln_1 = LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.0), nn.Linear(hidden, width), nn.Dropout(0.0)
        )

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    def __init__(self, tokens, layers, heads, width, hidden):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, tokens, width))
        blocks = {f"encoder_layer_{i}": EncoderBlock(heads, width, hidden) for i in range(layers)}
        self.layers = nn.Sequential(OrderedDict(blocks))
        self.ln = LayerNorm(width)


class VisionTransformer(nn.Module):
    """The stages end after the layers named in ``ends``; images of another size get interpolated positions."""

    def __init__(self, image_size, patch, ends, heads, width, hidden, classes=1000):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = Encoder((image_size // patch) ** 2 + 1, ends[-1], heads, width, hidden)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(width, classes)))
        self.ends = ends

    def stages(self, images):
        x = self.conv_proj(normalised(images))
        side = x.shape[-1]
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x.flatten(2).permute(0, 2, 1)], 1)
        table = self.encoder.pos_embedding
        x = x + (table if table.shape[1] == x.shape[1] else interpolate_embeddings(table, side))
        found = {"stem": x}
        for i, layer in enumerate(self.encoder.layers, start=1):
            x = layer(x)
            if i in self.ends:
                found[f"block{self.ends.index(i) + 1}"] = self.encoder.ln(x) if i == self.ends[-1] else x
        return found
