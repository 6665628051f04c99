"""Shapes and textures of the synthetic cells: signed distances, smooth noise, soft dots.

Lengths are micrometres (um), the origin is the middle of the picture, and nothing but the sampling depends on
the number of pixels: the same scene can be drawn at any size. Distances are negative inside.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

#: Side of the picture in um, whatever its number of pixels: room for a promyelocyte and its neighbours.
SIDE = 25.0
#: Knots across the picture of each noise field, from the waviness of membranes to the grain of chromatin.
OCTAVES = (5, 12, 28, 50, 84)
#: Width of an edge seen through the microscope, um.
EDGE = 0.3
# Distances are computed in bands of rows, so that the intermediate [nodes, rows, size] stays in the cache.
_BAND = 1 << 17


class Grid(NamedTuple):
    """Where the pixels are, um: centres of columns x Float[W] and rows y Float[H], spacing."""

    x: Field
    y: Field
    pixel: float


@lru_cache(maxsize=8)
def grid(size: int) -> Grid:
    """The pixels of a picture with `size` pixels a side."""
    pixel = SIDE / size
    axis = ((np.arange(size) + 0.5) * pixel - SIDE / 2).astype(np.float32)
    axis.setflags(write=False)
    return Grid(axis, axis, pixel)


def window(where: Grid, centre: NDArray, reach: float) -> tuple[slice, slice]:
    """Rows and columns of the pixels within `reach` um of a point along each axis; may be empty."""
    found = []
    for middle, pixels in ((centre[1], len(where.y)), (centre[0], len(where.x))):
        low = math.floor((middle - reach + SIDE / 2) / where.pixel)
        high = math.ceil((middle + reach + SIDE / 2) / where.pixel)
        found.append(slice(min(max(low, 0), pixels), min(max(high, 0), pixels)))
    return found[0], found[1]


def cut(where: Grid, part: tuple[slice, slice]) -> Grid:
    """The pixels of a window."""
    return Grid(where.x[part[1]], where.y[part[0]], where.pixel)


@lru_cache(maxsize=64)
def _spline_matrix(size: int, knots: int) -> Field:
    """Cubic B-splines averaged over pixels, so that fine noise fades, not aliases: [size, knots + 3]."""
    per_pixel = max(1, int(np.ceil(6 * knots / size)))
    u = (np.arange(size * per_pixel) + 0.5) * knots / (size * per_pixel)
    distance = np.abs(u[:, None] - np.arange(-1, knots + 2)[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far).reshape(size, per_pixel, knots + 3).mean(1)
    return weights.astype(np.float32)


def smooth_noise(rng: np.random.Generator, size: int, knots: int) -> Field:
    """Smooth random field of about unit variance, Float[size, size]; one wave takes about two of the `knots`.

    The random numbers are those of the knots, so the field is the same at every size.
    """
    lattice = rng.standard_normal((knots + 3, knots + 3), dtype=np.float32)
    weights = _spline_matrix(size, knots)
    # White noise through cubic B-splines has variance 151/315 a dimension on average.
    return weights @ (lattice / np.float32(151 / 315)) @ weights.T


def soft_mask(distance: Field, pixel: float, width: float = EDGE) -> Field:
    """1 inside, 0 outside, and a smooth step as wide as the edge and the pixel between them."""
    t = distance * np.float32(-1.0 / np.hypot(width, pixel))
    t += np.float32(0.5)
    np.minimum(np.maximum(t, 0, out=t), 1, out=t)
    step = t * np.float32(-2)
    step += np.float32(3)
    step *= t
    step *= t
    return step


def radial(where: Grid, centre: NDArray, stretch: float = 0.0, angle: float = 0.0) -> Field:
    """Distance to a point, Float[H, W], in a plane ``1 + stretch`` longer along `angle`, thinner across."""
    x, y = where.x[None, :] - np.float32(centre[0]), where.y[:, None] - np.float32(centre[1])
    c, s = math.cos(angle), math.sin(angle)
    along, across = 1 / (1 + stretch) ** 2, (1 + stretch) ** 2
    # A quadratic form: two terms on the axes, one product on the plane.
    squares = np.float32(along * c * c + across * s * s) * x * x
    squares = squares + np.float32(along * s * s + across * c * c) * y * y
    if stretch:
        squares += (np.float32(2 * c * s * (along - across)) * x) * y
        np.maximum(squares, 0, out=squares)
    return np.sqrt(squares, out=squares)


def union_of_discs(where: Grid, centres: NDArray, radii: NDArray) -> Field:
    """Signed distance to the union of discs: centres Float[K, 2], radii Float[K] -> Float[H, W]."""
    x2 = np.square(where.x[None, :] - centres[:, 0, None].astype(np.float32))
    y2 = np.square(where.y[None, :] - centres[:, 1, None].astype(np.float32))
    r = radii.astype(np.float32)[:, None, None]
    height, width = len(where.y), len(where.x)
    rows = max(1, _BAND // (len(radii) * max(width, 1)))
    out = np.empty((height, width), np.float32)
    for top in range(0, height, rows):
        d = y2[:, top : top + rows, None] + x2[:, None, :]
        np.sqrt(d, out=d)
        d -= r
        d.min(axis=0, out=out[top : top + rows])
    return out


def soft_dots(where: Grid, centres: NDArray, radii: NDArray, strengths: NDArray) -> Field:
    """Sum of round blurred dots, Float[H, W]; each a Gaussian seen through the pixel, so that none is lost.

    A Gaussian is a product of two, so K dots are one product of matrices: [H, K] x [K, W].
    """
    sigma2 = np.square(np.float32(0.6) * radii.astype(np.float32))
    seen2 = sigma2 + np.float32(where.pixel**2 / 12)
    middles = centres.astype(np.float32)
    x = np.square(where.x[:, None] - middles[:, 0]) * (-0.5 / seen2)
    y = np.square(where.y[:, None] - middles[:, 1]) * (-0.5 / seen2)
    y = np.exp(y, out=y) * (strengths.astype(np.float32) * sigma2 / seen2)
    return y @ np.exp(x, out=x).T


def scatter(rng: np.random.Generator, count: int, centre: NDArray, radius: float) -> NDArray:
    """`count` points spread evenly over a disc: Float[count, 2]."""
    angle = rng.random(count) * (2 * np.pi)
    reach = radius * np.sqrt(rng.random(count))
    points = np.empty((count, 2))
    points[:, 0] = centre[0] + reach * np.cos(angle)
    points[:, 1] = centre[1] + reach * np.sin(angle)
    return points


def nucleus_discs(
    rng: np.random.Generator,
    *,
    area: float,
    stretch: float,
    bend: float,
    pinch: float,
    lobes: int,
    room: float,
    eccentric: float,
) -> tuple[NDArray, NDArray]:
    """A nucleus as discs along a bent line: round, oval, kidney, band or lobes with bridges, one family.

    Args:
        rng: Draws the direction, the meander and the sizes of the lobes.
        area: About the area of the nucleus, um^2.
        stretch: Length of the line over the half-width of the nucleus; 0 is a disc.
        bend: Angle that the line turns, radians.
        pinch: How far the nucleus narrows between lobes, 0 (not) to 1 (to a thread).
        lobes: Number of lobes.
        room: Radius of the cell, um; the nucleus is moved and shrunk until it fits.
        eccentric: Distance of the nucleus from the middle of the cell, as a share of the room left.

    Returns:
        centres Float[K, 2] relative to the cell's, radii Float[K].
    """
    nodes = int(min(max(4 + 3 * stretch + 18 * pinch, 5), 40))
    s = np.arange(nodes) / (nodes - 1) - 0.5
    turn, way, wave = rng.uniform(0, 2 * np.pi, 3)
    swing, curl = rng.normal(0, [0.3, 0.45])
    lobe_sizes, end_sizes = 1 + rng.normal(0, 0.16, lobes), 1 + rng.normal(0, 0.12, 2) * min(stretch / 3, 1)

    # Pinched, the line is a string of lobes, and its length follows from their number.
    stretch = (1 - pinch) * stretch + pinch * 2.7 * (lobes - 1)
    half = math.sqrt(area / (math.pi + (1 - pinch) * 2 * stretch + pinch * 3.0 * (lobes - 1)))
    heading = turn + bend * (s + swing * (s * s - 1 / 12))
    heading += curl * min(stretch / 4, 1) * np.sin(2 * np.pi * s + wave)
    step = stretch * half / nodes
    x, y = np.cumsum(step * np.cos(heading)), np.cumsum(step * np.sin(heading))

    lobe = (s + 0.5) * (lobes - 1)
    neck = np.abs(np.sin(np.pi * lobe)) ** 2.5
    radii = half * np.interp(lobe, np.arange(lobes), lobe_sizes) * (1 - 0.82 * pinch * neck)
    radii *= end_sizes[0] + (s + 0.5) * (end_sizes[1] - end_sizes[0])

    share = radii / radii.sum()
    x -= x @ share
    y -= y @ share
    reach = float(np.max(np.hypot(x, y) + radii))
    shrink = min(1.0, 0.93 * room / reach)
    offset = eccentric * max(0.96 * room - reach * shrink, 0.0)
    centres = np.stack([x * shrink + offset * math.cos(way), y * shrink + offset * math.sin(way)], axis=1)
    return centres, radii * shrink
