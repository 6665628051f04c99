"""The whole picture: a cell in the middle, its neighbours, red cells, platelets, the slide and the camera."""

import math

import numpy as np
from numpy.typing import NDArray

from smrjax.data.synthetic_cell import Texture, membrane, paint_cell, texture
from smrjax.data.synthetic_looks import Look, look
from smrjax.data.synthetic_shapes import (
    SIDE,
    Field,
    Grid,
    cut,
    grid,
    radial,
    scatter,
    soft_dots,
    soft_mask,
    window,
)
from smrjax.data.synthetic_stain import BLUE, MAGENTA, PINK, SALMON, VIOLET, Stain, photograph

f32 = np.float32


def draw(
    kind: str,
    progress: float,
    *,
    slide: Stain,
    neighbours: list[tuple[str, float]],
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw a cell of a chosen kind and maturity.

    Args:
        kind: "neutrophil", "erythroid" or the code of one of the five others.
        progress: Maturity in [0, 1]; for the others, how far along the range of what one sees.
        slide: Its staining and light.
        neighbours: Kind and progress of the cells around it, most of them cut by the frame.
        size: Pixels a side.
        rng: Draws all the rest.

    Returns:
        uint8 [size, size, 3].
    """
    where = grid(size)
    noise = texture(rng, size)
    dyes = np.zeros((6, size, size), f32)
    dyes[PINK] += f32(slide.plasma) * (1 + f32(0.3) * noise.waves)

    middle = rng.normal(0, 0.5, 2)
    chosen = look(kind, progress, rng)
    outside = membrane(where, noise, chosen, middle, rng)
    cells = [(chosen, middle, outside)]
    taken = outside
    for other_kind, other_progress in neighbours:
        placed = _neighbour(where, noise, look(other_kind, other_progress, rng), chosen, middle, taken, rng)
        cells.append(placed)
        taken = np.minimum(taken, placed[2])
    free = soft_mask(-taken, where.pixel)
    _paint_red_cells(dyes, where, noise, free, middle, chosen.radius, rng)
    _paint_platelets(dyes, where, free, rng)
    for features, place, distance in cells:
        paint_cell(dyes, where, noise, features, place, distance, rng)
    return photograph(dyes, where, slide, rng)


def _neighbour(
    where: Grid,
    noise: Texture,
    other: Look,
    chosen: Look,
    middle: NDArray,
    taken: Field,
    rng: np.random.Generator,
) -> tuple[Look, NDArray, Field]:
    angle = rng.uniform(0, 2 * np.pi)
    reach = max(chosen.radius + other.radius * rng.uniform(0.95, 1.2), 0.5 * SIDE * rng.uniform(0.8, 1.2))
    place = middle + reach * np.array([math.cos(angle), math.sin(angle)])
    edge = membrane(where, noise, other, place, rng)
    # Cells that touch flatten each other.
    return other, place, np.maximum(edge, f32(0.15) - taken)


def _paint_red_cells(
    dyes: Field,
    where: Grid,
    noise: Texture,
    free: Field,
    middle: NDArray,
    radius: float,
    rng: np.random.Generator,
) -> None:
    """Biconcave discs around the cell in the middle, side by side, a few on top of each other."""
    n = int(rng.poisson(11.0))
    places = rng.uniform(-0.58 * SIDE, 0.58 * SIDE, (n, 2))
    sizes = 3.6 * np.exp(rng.normal(0, 0.07, n))
    closeness, crowded, young = rng.random((3, n))
    pallor, strength = rng.uniform(0.45, 1.0, n), rng.uniform(0.75, 1.1, n)
    tilt, angle = np.abs(rng.normal(0, 0.07, n)), rng.uniform(0, np.pi, n)
    away = places - middle
    far = np.hypot(away[:, 0], away[:, 1]) + 1e-6
    places = middle + away * np.maximum(1.0, (radius + sizes * (0.75 + 0.3 * closeness)) / far)[:, None]
    gaps = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1))
    drawn: list[int] = []
    for i in range(n):
        if crowded[i] > 0.12 and (gaps[i, drawn] < 1.75 * sizes[i]).any():
            continue
        drawn.append(i)
        part = window(where, places[i], 1.2 * sizes[i] + 1.3)
        d = radial(cut(where, part), places[i], tilt[i], angle[i])
        d += noise.ripples[part] * f32(0.12) + noise.nuclear_waves[part] * f32(0.22)
        rho2 = np.square(d * f32(1 / sizes[i]))
        thin = np.exp(rho2 * f32(-1 / 0.21)) + f32(0.3) * rho2 * rho2 * rho2
        disc = soft_mask(d - f32(sizes[i]), where.pixel) * free[part]
        thickness = 1 - f32(pallor[i]) * thin + f32(0.03) * noise.mottle[part]
        dyes[SALMON, *part] += disc * thickness * f32(strength[i])
        if young[i] > 0.9:  # still some RNA in it
            dyes[BLUE, *part] += disc * f32(0.12)


def _paint_platelets(dyes: Field, where: Grid, free: Field, rng: np.random.Generator) -> None:
    for _ in range(int(rng.poisson(0.35))):
        place = rng.uniform(-0.48 * SIDE, 0.48 * SIDE, 2)
        grains = scatter(rng, 14, place, 0.8)
        dots = soft_dots(where, grains, rng.uniform(0.3, 0.55, 14), rng.uniform(0.15, 0.5, 14))
        veil = soft_dots(where, place[None], np.array([1.6]), np.ones(1))
        dyes[MAGENTA] += free * dots
        dyes[VIOLET] += free * (f32(0.3) * dots + f32(0.08) * veil)
