"""Weights and images that come out the same everywhere, so that only a torch network's answers need storing."""

import zlib
from functools import cache
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("golden.npz")
#: What pytorch-grad-cam makes of two of the networks for these classes of the two images.
GRADCAM = Path(__file__).with_name("gradcam.npz")
GRADCAM_CLASSES = (3, 700)
#: Both parities at most depths, and not square.
SIZE = (44, 51)
#: Tiny networks, and the ones of their kind whose weights are published.
TINY = {
    "regnet_tiny": "regnet_y_32gf",
    "resnet_tiny": "resnet50",
    "resnext_tiny": "resnext50_32x4d",
    "vgg_tiny": "vgg19_bn",
    "vit_tiny": "vit_l_32",
}


@cache
def golden():
    """Names and shapes of weights, and answers."""
    return dict(np.load(GOLDEN))


def shapes_of(name):
    """Name -> shape of a network's weights."""
    stored = golden()
    shapes = zip(stored[f"{name}/names"].tolist(), stored[f"{name}/shapes"].tolist(), strict=True)
    return {key: tuple(n for n in shape if n) for key, shape in shapes}


def state_of(name):
    """The weights that a network's stored answers are for."""
    return make_state(shapes_of(name))


def make_state(shapes, seed=0):
    """Random arrays by name and shape: He-scaled kernels, BatchNorm far from its start.

    A ResNet's bottlenecks and a RegNet's layers add a fifth of what they would: each of 50 in a row would add as much
    as it is given, and among numbers of 1e10 the last ones' biases are below any tolerance; squeeze and excitation
    takes the sigmoid of such numbers, and is all rounding much sooner.
    """
    state = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        if name.endswith("num_batches_tracked"):
            value = np.array(7, np.int64)
        elif name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = rng.normal(0, 0.3, shape)
        else:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        if (name.startswith("layer") and name.endswith("bn3.weight")) or name.endswith(".f.c.1.weight"):
            value = value / 5
        state[name] = value if value.dtype == np.int64 else value.astype(np.float32)
    return state


def size_of(name, second=False):
    """Of the images that a network's stored answers are for, or a second size; whole patches for a transformer."""
    if name == "vit_tiny":
        return (44, 44) if second else (64, 64)
    return (64, 64) if second else SIZE


def make_images(size=SIZE, batch=2):
    return np.random.default_rng(5).uniform(0, 255, (batch, *size, 3)).astype(np.float32)


def sample(stage):
    """Mean, largest value and 16 entries of a feature map [B, H, W, C]."""
    flat = np.asarray(stage, np.float32).ravel()
    return np.array([flat.mean(), np.abs(flat).max(), *flat[np.linspace(0, flat.size - 1, 16).astype(int)]])
