"""Synthetic marrow: drawn Pappenheim-stained bone-marrow cells whose continuous maturity is known.

Fifteen kinds of cells, as in SMR (Gräbel et al. 2022, section II): six stages of the neutrophil lineage, four
of the erythroid lineage and five others. One number, the maturity in [0, 1], drives size, nucleus, chromatin,
colour and granules of a lineage; individuals, slides, neighbours and optics vary around it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smrjax.data.synthetic_scene import draw
from smrjax.data.synthetic_stain import stain

#: Changes whenever a picture or an annotation changes: part of the key of every cache.
VERSION = "1.0.0"
#: Codes of the classes; the first six are the neutrophil lineage, the next four the erythroid lineage.
CLASSES = tuple("BLA PMY MYE MMY BNE SNE PEB BEB PCE OCE BAS EOS LYM PMO MON".split())
#: Share of each class, about that of a marrow in which rare cells were looked for.
WEIGHTS = (0.04, 0.06, 0.12, 0.11, 0.14, 0.16, 0.025, 0.04, 0.11, 0.06, 0.01, 0.035, 0.06, 0.01, 0.02)
#: Slides, each with its own staining and light.
SLIDES = 24
#: Deviation of the expert's reading of maturity, in stages.
READING_NOISE = 0.12

_LINEAGES = {"neutrophil": (0, 6), "erythroid": (6, 4)}  # first class, number of stages
_CUMULATIVE = np.cumsum(WEIGHTS)


class Cell(NamedTuple):
    """A picture and what is known of it."""

    image: NDArray[np.uint8]  # [size, size, 3], RGB
    label: int  # index into CLASSES, as an expert would say
    maturity: float  # the truth, in [0, 1] along the lineage; NaN outside the lineages
    slide: int


class _Annotation(NamedTuple):
    label: int
    maturity: float
    slide: int
    kind: str
    progress: float


def _annotate(rng: np.random.Generator) -> _Annotation:
    label = int(np.searchsorted(_CUMULATIVE, rng.random() * _CUMULATIVE[-1], side="right"))
    slide = int(rng.integers(SLIDES))
    within, misread = rng.random(), rng.normal(0, READING_NOISE)
    for kind, (first, stages) in _LINEAGES.items():
        if first <= label < first + stages:
            maturity = (label - first + within + misread) / stages
            maturity = 1 - abs(1 - abs(maturity))
            return _Annotation(label, maturity, slide, kind, maturity)
    return _Annotation(label, float("nan"), slide, CLASSES[label], within)


def sample(index: int, seed: int = 0) -> tuple[int, float, int]:
    """Annotation of a cell without its picture: label, maturity (NaN outside the lineages), slide.

    Within a lineage of C stages a cell labelled s has the maturity (s + u + e) / C, reflected into [0, 1]:
    u is uniform in [0, 1), e the expert's error, normal with deviation `READING_NOISE`. So every stage has an
    equal share of the maturity, labels overlap near the borders, and the classes have exactly the `WEIGHTS`.
    Of a stage's cells, ``READING_NOISE / sqrt(2 pi)`` lie beyond each border with another, 8 % in all.

    Args:
        index: Number of the cell, 0 or more.
        seed: Names the data set.

    Example:
        >>> sample(7) == render(7, size=16)[1:]
        True
    """
    found = _annotate(np.random.default_rng([seed, index]))
    return found.label, found.maturity, found.slide


def render(index: int, *, size: int = 64, seed: int = 0) -> Cell:
    """Draw one cell; the same for the same (seed, index), whatever else is drawn.

    Machines that round products of matrices differently may differ by a grey level here and there.

    Args:
        index: Number of the cell, 0 or more.
        size: Pixels a side, 16 to 512; the scene, 25 um a side, does not depend on it.
        seed: Names the data set: other cells, other slides.

    Raises:
        ValueError: `size` out of range, `index` or `seed` negative.

    Example:
        >>> cell = render(0, size=32)
        >>> cell.image.shape, CLASSES[cell.label]
        ((32, 32, 3), ...)
    """
    if not 16 <= size <= 512:
        raise ValueError(f"size must be from 16 to 512 pixels, got {size}")
    rng = np.random.default_rng([seed, index])
    found = _annotate(rng)
    around = [_annotate(rng) for _ in range(min(int(rng.poisson(0.9)), 3))]
    image = draw(
        found.kind,
        found.progress,
        slide=stain(found.slide, seed),
        neighbours=[(other.kind, other.progress) for other in around],
        size=size,
        rng=rng,
    )
    return Cell(image, found.label, found.maturity, found.slide)
