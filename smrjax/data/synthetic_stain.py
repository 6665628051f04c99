"""Dyes, slides and camera of the synthetic cells: from amounts of dye to bytes, by Beer and Lambert's law."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smrjax.data.synthetic_shapes import SIDE, Field, Grid

#: Planes of dye. Azure B is violet in chromatin and blue in RNA; eosin pink, salmon, orange; both magenta.
VIOLET, BLUE, PINK, SALMON, ORANGE, MAGENTA = range(6)
#: Optical density (natural logarithm) of one unit of each dye for red, green and blue light.
DENSITY = np.array(
    [
        [1.16, 1.88, 0.42],
        [1.05, 0.86, 0.21],
        [0.26, 0.58, 0.20],
        [0.20, 0.40, 0.30],
        [0.17, 0.72, 0.58],
        [0.62, 1.35, 0.46],
    ]
)
_AZURE = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.6])
# Third word of a slide's seed. Not 0: seed sequences pad with zeros, [seed, slide, 0] is the cell `slide`.
_SLIDE_STREAM = 0x51D3


class Stain(NamedTuple):
    """What one slide does to every cell on it."""

    density: Field  # Float[6, 3], optical density of one unit of each dye
    white: Field  # Float[3], light through bare glass, 0..255
    plasma: float  # dried plasma around the cells, units of pink
    blur: float  # focus, um
    sharpening: float  # by the camera, share
    noise: float  # camera noise, grey levels
    vignette: float  # loss of light in the corners, share


@lru_cache(maxsize=256)
def stain(slide: int, seed: int) -> Stain:
    """The staining and the light of a slide; the same for every cell on it."""
    rng = np.random.default_rng([seed, slide, _SLIDE_STREAM])
    azure, eosin = np.exp(rng.normal(0, [0.10, 0.16]))
    strength = azure * _AZURE + eosin * (1 - _AZURE)
    # Hues move with pH and age of the stain: a tint common to all dyes, and a little of each its own.
    tint = np.exp(rng.normal(0, [0.10, 0.05, 0.12])) * np.exp(rng.normal(0, 0.03, (6, 3)))
    warm = rng.random()
    cream, lilac = np.array([252.0, 232.0, 209.0]), np.array([226.0, 223.0, 237.0])
    white = (warm * cream + (1 - warm) * lilac) * rng.uniform(0.88, 1.05)
    return Stain(
        density=(DENSITY * tint * strength[:, None]).astype(np.float32),
        white=np.minimum(white, 253).astype(np.float32),
        plasma=rng.uniform(0.0, 0.10),
        blur=rng.uniform(0.09, 0.19),
        sharpening=rng.uniform(0.1, 0.6),
        noise=rng.uniform(1.2, 3.2),
        vignette=rng.uniform(0.0, 0.10),
    )


def _blur(where: Grid, sigma: float) -> Field:
    weights = np.exp(np.square(where.x[:, None] - where.x[None, :]) * np.float32(-0.5 / sigma**2))
    return weights / weights.sum(1, keepdims=True)


def photograph(dyes: Field, where: Grid, slide: Stain, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light through the dyes, lens and camera: Float[6, size, size] -> uint8 [size, size, 3].

    The noise is drawn pixel by pixel and last, so that all that comes before is the same scene at every size.
    """
    size = len(where.x)
    defocus = slide.blur * np.exp(min(max(rng.normal(0, 0.35), -0.7), 0.7))
    lamp = rng.normal(0, 2.0, 2)
    exposure = np.exp(rng.normal(0, 0.02))

    optical = slide.density.T @ dyes.reshape(6, -1)
    light = np.exp(-optical).reshape(3, size, size)
    # A lens blurs, a camera sharpens: edges of cells get the faint bright seam of real photographs.
    lens = _blur(where, max(defocus, 0.3 * where.pixel))
    lens = lens + np.float32(slide.sharpening) * (lens - _blur(where, 0.35 + defocus))
    light = np.maximum(lens @ light @ lens.T, 0)
    x, y = where.x - np.float32(lamp[0]), where.y - np.float32(lamp[1])
    corner = np.float32(slide.vignette * 2 / SIDE**2)
    light *= (1 - corner * (x[None, :] ** 2 + y[:, None] ** 2)) * np.float32(exposure)
    light *= slide.white[:, None, None]
    # Three cameras in one: part of the noise is common to the channels, as demosaicing makes it.
    grain = rng.standard_normal((4, size, size), dtype=np.float32) * np.float32(slide.noise * 0.7)
    light += grain[:3]
    light += grain[3]
    light += np.float32(0.5)
    np.clip(light, 0, 255, out=light)
    return np.ascontiguousarray(light.astype(np.uint8).transpose(1, 2, 0))
