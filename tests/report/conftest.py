"""Small made-up embeddings with a curved lineage, and the checks that every picture has to pass."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

PURPLES = ("#dccbea", "#b48fd0", "#8856a7", "#4d1a75")
COLOURS = (*PURPLES, "#e34a33", "#31a354")


def _make(per_class=30, dim=12):
    """Four stages on a half circle, two classes elsewhere; the last class of the lineage comes second."""
    rng = np.random.default_rng(0)
    angle = np.pi * (1 - np.linspace(0, 1, 50))
    curve = np.zeros((50, dim))
    curve[:, 0], curve[:, 1] = np.cos(angle), np.sin(angle)
    stages = np.linspace(0, 1, 4)
    labels = np.repeat(np.arange(6), per_class)
    t = np.full(labels.size, np.nan)
    embeddings = 0.1 * rng.normal(size=(labels.size, dim))
    for stage, c in enumerate((0, 2, 3, 1)):
        own = labels == c
        t[own] = stages[stage] + 0.12 * rng.normal(size=per_class)
        embeddings[own, 0] -= np.cos(np.pi * t[own])
        embeddings[own, 1] += np.sin(np.pi * t[own])
    embeddings[labels == 4, 2] += 2
    embeddings[labels == 5, 3] += 2
    return {
        "embeddings": embeddings,
        "labels": labels,
        "t": t,
        "truth": np.where(np.isfinite(t), np.clip(t + 0.05 * rng.normal(size=t.size), 0, 1), np.nan),
        "class_names": ("BLA", "SNE", "MY", "BNE", "EO", "LY"),
        "colours": (PURPLES[0], PURPLES[3], PURPLES[1], PURPLES[2], *COLOURS[4:]),
        "lineages": {"neutrophil": [0, 2, 3, 1]},
        "curves": {"neutrophil": curve},
        "targets": {"neutrophil": curve[[0, 16, 33, 49]]},
        "stages": {"neutrophil": stages},
    }


@pytest.fixture
def cells():
    return _make()


def colour_share(path, colour):
    """Share of pixels that come within a few grey values of a colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(pixels - wanted).max(axis=-1) <= 6).mean())


def check_png(path, *colours):
    """The file opens, is no blank page, leaves no part of itself behind, and holds the colours."""
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG" and min(image.size) > 150
        assert np.asarray(image.convert("L")).std() > 5
    assert not list(path.parent.glob(".*"))
    for colour in colours:
        assert colour_share(path, colour) > 1e-5, colour


def svg_words(path):
    """Every piece of text of an SVG, which must be well-formed XML and hold its words as words."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
