"""One stained cell, laid onto the planes of dye: body, nucleus, chromatin, granules and vacuoles."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smrjax.data.synthetic_looks import Look
from smrjax.data.synthetic_shapes import (
    OCTAVES,
    Field,
    Grid,
    cut,
    nucleus_discs,
    radial,
    scatter,
    smooth_noise,
    soft_dots,
    soft_mask,
    union_of_discs,
    window,
)
from smrjax.data.synthetic_stain import BLUE, MAGENTA, ORANGE, PINK, SALMON, VIOLET

f32 = np.float32


class Texture(NamedTuple):
    """Noise shared by all that is in one picture, Float[size, size] each; flipped, a field serves twice."""

    waves: Field  # coarse: membranes
    ripples: Field
    mottle: Field
    clumps: Field
    grain: Field  # fine: chromatin
    nuclear_waves: Field
    nuclear_ripples: Field
    nuclear_mottle: Field
    creases: Field

    def cut(self, part: tuple[slice, slice]) -> "Texture":
        """The noise in a window."""
        return Texture(*(field[part] for field in self))


def texture(rng: np.random.Generator, size: int) -> Texture:
    """Draw the noise of a picture."""
    waves, ripples, mottle, clumps, grain = (smooth_noise(rng, size, knots) for knots in OCTAVES)
    return Texture(waves, ripples, mottle, clumps, grain, waves.T, ripples[::-1, ::-1], mottle.T, ripples.T)


def membrane(where: Grid, noise: Texture, look: Look, centre: NDArray, rng: np.random.Generator) -> Field:
    """Signed distance to the membrane of a cell, Float[H, W]."""
    d = radial(where, centre, abs(rng.normal(0, 0.075)), rng.uniform(0, np.pi))
    d += noise.waves * f32(look.ragged) - f32(look.radius)
    d += noise.ripples * f32(0.35 * look.ragged)
    d += noise.mottle * f32(0.05 + 0.1 * look.ragged)
    return d


def paint_cell(
    dyes: Field,
    where: Grid,
    noise: Texture,
    look: Look,
    centre: NDArray,
    outside: Field,
    rng: np.random.Generator,
) -> None:
    """Add one cell to the planes of dye, in place.

    Args:
        dyes: Float[6, size, size].
        where: The pixels.
        noise: Texture of the picture.
        look: Features of the cell.
        centre: Its place, um, Float[2].
        outside: Signed distance to its membrane, Float[size, size].
        rng: Draws the nucleus and the granules.
    """
    part = window(where, centre, 1.25 * look.radius + 4 * look.ragged + 0.5)
    dyes, where, noise, outside = dyes[:, *part], cut(where, part), noise.cut(part), outside[part]
    centres, radii = nucleus_discs(
        rng,
        area=look.nc * np.pi * look.radius**2,
        stretch=look.stretch,
        bend=look.bend,
        pinch=look.pinch,
        lobes=max(1, round(look.lobes)),
        room=look.radius,
        eccentric=look.eccentric,
    )
    centres += centre
    body = soft_mask(outside, where.pixel)
    nuclear = union_of_discs(where, centres, radii)
    nuclear += noise.nuclear_ripples * f32(0.10 + 0.12 * look.folds)
    nuclear += noise.nuclear_mottle * f32(0.05)
    nuclear += noise.nuclear_waves * f32(0.10 + 0.45 * look.folds)
    np.maximum(nuclear, outside + f32(0.25), out=nuclear)
    nucleus = soft_mask(nuclear, where.pixel)

    _paint_cytoplasm(dyes, where, noise, look, centre, centres, outside, body * (1 - f32(0.8) * nucleus))
    _paint_chromatin(dyes, noise, look, nuclear, nucleus)
    _paint_nucleoli(dyes, where, look, centres, radii, nucleus, rng)
    _paint_granules(dyes, where, look, centre, body, nucleus, rng)
    _paint_vacuoles(dyes, where, look, centre, body, nucleus, rng)


def _paint_cytoplasm(
    dyes: Field,
    where: Grid,
    noise: Texture,
    look: Look,
    centre: NDArray,
    nucleus_centres: NDArray,
    outside: Field,
    plasm: Field,
) -> None:
    depth = np.minimum(np.maximum(outside * f32(-1 / (0.35 * look.radius)), 0), 1)
    sheet = plasm * (f32(0.62) + f32(0.38) * depth)
    sheet *= 1 + f32(0.09) * noise.mottle + f32(0.08) * noise.clumps + f32(0.05) * noise.grain
    rna = f32(look.blue) * (f32(1 + look.rim) - f32(look.rim) * depth)
    # The Golgi area is pale and lies in the hollow of the nucleus, on the side that the nucleus leaves free.
    golgi = centre + (centre - nucleus_centres.mean(0)) * (0.4 if look.bend < 1.5 else 0.2)
    pale = f32(look.hof) * soft_dots(where, golgi[None], np.array([0.62 * look.radius]), np.ones(1))
    dyes[BLUE] += sheet * rna * (1 - f32(0.85) * pale)
    dyes[PINK] += sheet * (f32(look.pink) * (1 + f32(0.5) * pale))
    dyes[SALMON] += sheet * f32(look.salmon)


def _paint_chromatin(dyes: Field, noise: Texture, look: Look, nuclear: Field, nucleus: Field) -> None:
    coarse = look.coarse
    clumps = f32(0.25 + 0.85 * coarse) * noise.clumps + f32(0.75 * coarse) * noise.mottle
    clumps += f32(0.75 - 0.35 * coarse) * noise.grain
    # Coarse chromatin is dark blocks with sharp borders, fine chromatin an even veil.
    clumps += f32(0.15)
    clumps *= f32(0.6 + 0.8 * coarse)
    np.tanh(clumps, out=clumps)
    clumps *= f32(look.contrast)
    rim = np.exp(np.square(nuclear + f32(0.45)) * f32(-1 / 0.18)) * f32(0.10 + 0.10 * coarse)
    density = nucleus * (1 + clumps + rim)
    if look.folds > 0.05:
        crease = np.exp(np.square(noise.creases + f32(0.25) * noise.waves) * f32(-14))
        density *= 1 - f32(0.22 * min(look.folds, 1.2)) * crease
    dyes[VIOLET] += f32(look.chromatin) * density
    # Dense chromatin is bluer, the gaps between are redder.
    dyes[BLUE] += nucleus * (f32(0.12 + 0.1 * coarse) + f32(0.6) * clumps)
    dyes[PINK] += nucleus * (f32(0.15) - f32(0.35) * clumps)


def _paint_nucleoli(
    dyes: Field,
    where: Grid,
    look: Look,
    centres: NDArray,
    radii: NDArray,
    nucleus: Field,
    rng: np.random.Generator,
) -> None:
    if look.nucleoli < 0.02:
        return
    n = int(rng.integers(1, 4))
    chosen = rng.integers(0, len(radii), n)
    spots = centres[chosen] + rng.uniform(-0.42, 0.42, (n, 2)) * radii[chosen, None]
    pale = np.minimum(1.5 * soft_dots(where, spots, rng.uniform(0.9, 1.6, n), np.ones(n)), 1)
    pale *= nucleus * f32(min(look.nucleoli, 1.2))
    dyes[VIOLET] *= 1 - f32(0.5) * pale
    dyes[BLUE] += f32(0.14) * pale


def _paint_granules(
    dyes: Field,
    where: Grid,
    look: Look,
    centre: NDArray,
    body: Field,
    nucleus: Field,
    rng: np.random.Generator,
) -> None:
    def dots(n: int, radius: tuple[float, float], strength: tuple[float, float]) -> Field:
        places = scatter(rng, n, centre, 0.97 * look.radius)
        return body * soft_dots(where, places, rng.uniform(*radius, n), rng.uniform(*strength, n))

    # Secondary granules are at the limit of what a lens resolves: a dust.
    if n := int(1000 * look.secondary):
        dyes[MAGENTA] += (dots(n, (0.14, 0.24), (0.15, 0.55)) + f32(0.05) * body) * (1 - f32(0.8) * nucleus)
    if n := int(look.primary):
        dyes[MAGENTA] += dots(n, (0.18, 0.30), (0.4, 0.9)) * (1 - f32(0.35) * nucleus)
    if n := int(look.orange):
        packed = f32(1.2) * body - np.exp(-dots(n, (0.30, 0.46), (0.7, 1.2))) * body
        dyes[ORANGE] += packed * (1 - f32(0.8) * nucleus)
    if n := int(look.dark):
        packed = 1 - np.exp(-1.6 * dots(n, (0.30, 0.55), (0.6, 1.5)))
        dyes[VIOLET] += packed * f32(0.85)
        dyes[MAGENTA] += packed * f32(0.15)


def _paint_vacuoles(
    dyes: Field,
    where: Grid,
    look: Look,
    centre: NDArray,
    body: Field,
    nucleus: Field,
    rng: np.random.Generator,
) -> None:
    n = round(look.vacuoles)
    if n == 0:
        return
    places = scatter(rng, n, centre, 0.97 * look.radius)
    holes = np.minimum(1.4 * soft_dots(where, places, rng.uniform(0.5, 1.0, n), np.ones(n)), 1)
    left = 1 - f32(0.75) * body * holes * (1 - f32(0.75) * nucleus)
    for dye in (BLUE, PINK, MAGENTA):
        dyes[dye] *= left
