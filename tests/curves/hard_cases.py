"""Curves and points that are hard to project: loops, cusps, coincident and collinear points, ties, far points."""

import numpy as np

from tests.curves.reference import bernstein_table, points_at


def _random(rng, degree, dim):
    return rng.normal(size=(degree + 1, dim))


def _walk(rng, degree, dim):
    return np.cumsum(rng.normal(size=(degree + 1, dim)) + 0.7 * rng.normal(size=dim), 0)


def _loop(rng, degree, dim):
    turns = rng.uniform(0.7, 2.2)
    angle = 2 * np.pi * turns * np.arange(degree + 1) / degree
    plane = np.linalg.qr(rng.normal(size=(dim, 2)))[0].T if dim > 2 else np.eye(2)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) @ plane
    return ring + rng.choice([0, 0.02, 0.2]) * rng.normal(size=ring.shape)


def _closed(rng, degree, dim):
    control = _random(rng, degree, dim)
    control[-1] = control[0]
    return control


def _zigzag(rng, degree, dim):
    """Control points that jump to and fro: cusps and narrow turns."""
    direction, across = rng.normal(size=(2, dim))
    places = np.arange(degree + 1) * rng.choice([0.0, 0.1, 0.3]) + np.arange(degree + 1) % 2
    return (
        places[:, None] * direction + rng.choice([0, 1e-3, 0.1]) * np.linspace(-1, 1, degree + 1)[:, None] ** 2 * across
    )


def _cusp(rng, degree, dim):
    """A curve that stands still in the middle."""
    velocity = rng.normal(size=(degree, dim))
    velocity -= bernstein_table(degree - 1, 0.5) @ velocity
    return np.concatenate([np.zeros((1, dim)), np.cumsum(velocity, 0)]) + rng.choice([0, 1e-3]) * _random(
        rng, degree, dim
    )


def _collinear(rng, degree, dim):
    return rng.normal(size=(degree + 1, 1)) * rng.normal(size=dim)


def _coincident(rng, degree, dim):
    control = _random(rng, degree, dim)
    kind = rng.integers(4)
    if kind == 0:
        control[: 1 + (degree + 1) // 2] = control[0]
    elif kind == 1:
        control[(degree + 1) // 2 :] = control[-1]
    elif kind == 2:
        control[1:-1] = control[1:2]
    else:
        control = control[rng.integers(0, 2, degree + 1)]
    return control


def _mirrored(rng, degree, dim):
    """Symmetric about the hyperplane x0 = 0, so points on it are ties."""
    control = _random(rng, degree, dim)
    other = control[::-1] * np.where(np.arange(dim) == 0, -1, 1)
    return (control + other) / 2


def _outlier(rng, degree, dim):
    control = 1e-2 * rng.normal(size=(degree + 1, dim))
    control[rng.integers(degree + 1)] += rng.normal(size=dim)
    return control


def _straight(rng, degree, dim):
    line = np.linspace(0, 1, degree + 1)[:, None] * rng.normal(size=dim)
    return line + rng.choice([0, 1e-4, 1e-2]) * rng.normal(size=line.shape)


def _helix(rng, degree, dim):
    s = np.linspace(0, rng.uniform(4, 14), degree + 1)
    frame = rng.normal(size=(3, dim))
    return np.stack([np.cos(s), np.sin(s), 0.1 * s], -1) @ frame


FAMILIES = {
    "random": _random, "walk": _walk, "loop": _loop, "closed": _closed, "zigzag": _zigzag, "cusp": _cusp,
    "collinear": _collinear, "coincident": _coincident, "mirrored": _mirrored, "outlier": _outlier,
    "straight": _straight, "helix": _helix,
}  # fmt: skip


def curve(rng, family, pieces, degree, dim):
    """Control points [pieces, degree + 1, dim]; pieces are joined, smoothly in half of the cases."""
    parts = [FAMILIES[family](rng, degree, dim)]
    smooth = rng.random() < 0.5
    while len(parts) < pieces:
        part = FAMILIES[family](rng, degree, dim)
        part = part - part[0] + parts[-1][-1]
        if smooth and degree > 1:
            part[1] = 2 * parts[-1][-1] - parts[-1][-2]
        parts.append(part)
    control = np.stack(parts)
    if pieces > 1 and rng.random() < 0.2:
        control[-1, -1] = control[0, 0]
    scale = rng.choice([1, 1, 1, 1e-3, 30.0])
    offset = rng.choice([0, 0, 1, 10]) * np.sqrt(((control - control.mean((0, 1))) ** 2).sum(-1).max())
    return scale * (control + offset * rng.normal(size=dim) / np.sqrt(dim))


def points(rng, control, count):
    """Points [count, dim] in equal parts: around, on, near, beyond the ends, far, tied, at centres of curvature."""
    dim = control.shape[-1]
    flat = control.reshape(-1, dim)
    centre = flat.mean(0)
    size = max(np.sqrt(((flat - centre) ** 2).sum(-1).max()), 1e-30)
    kinds = np.array_split(np.arange(count), 8)
    z = np.empty((count, dim))
    noise = rng.normal(size=(count, dim)) / np.sqrt(dim)
    t = rng.random(count)
    t[::17], t[1::17] = 0, 1
    on = points_at(control, t)
    step = 1e-4
    before, after = points_at(control, np.clip(t - step, 0, 1)), points_at(control, np.clip(t + step, 0, 1))
    velocity, acceleration = (after - before) / (2 * step), (after - 2 * on + before) / step**2
    speed = (velocity**2).sum(-1, keepdims=True) + 1e-300
    normal = acceleration - (acceleration * velocity).sum(-1, keepdims=True) / speed * velocity
    bend = (normal**2).sum(-1, keepdims=True) + 1e-300
    evolute = on + np.clip(speed / bend, 0, 3 * size / np.sqrt(bend)) * normal
    reach = 10.0 ** rng.uniform(-4, 0, size=(count, 1))
    for kind, rows in enumerate(kinds):
        if kind == 0:
            z[rows] = centre + 1.5 * size * noise[rows]
        elif kind == 1:
            z[rows] = on[rows]
        elif kind == 2:
            z[rows] = on[rows] + size * reach[rows] * noise[rows]
        elif kind == 3:
            end = np.where(rng.random((len(rows), 1)) < 0.5, control[0, 0], control[-1, -1])
            z[rows] = end + size * reach[rows] * noise[rows]
        elif kind == 4:
            z[rows] = centre + size * 10.0 ** rng.uniform(0.5, 4, size=(len(rows), 1)) * noise[rows]
        elif kind == 5:  # moved onto the hyperplane that is equally far from two points of the curve
            a, b = on[rows], points_at(control, rng.random(len(rows)))
            middle, across = (a + b) / 2, (b - a)
            free = size * noise[rows]
            z[rows] = (
                middle
                + free
                - (free * across).sum(-1, keepdims=True) * across / ((across**2).sum(-1, keepdims=True) + 1e-300)
            )
        elif kind == 6:
            z[rows] = evolute[rows] + size * 1e-3 * reach[rows] * noise[rows] * (rng.random((len(rows), 1)) < 0.7)
        else:  # exact ties of mirrored curves, the centre, and convex mixtures of control points
            z[rows] = rng.dirichlet(np.ones(len(flat)), len(rows)) @ flat
            z[rows[::3]] = centre
            z[rows[1::3]] = np.where(np.arange(dim) == 0, 0, z[rows[1::3]])
    return z


def batch(seed, pieces, degree, dim, curves, per_curve):
    """Control points [curves, pieces, degree + 1, dim] and points [curves, per_curve, dim], every family in turn."""
    rng = np.random.default_rng(seed)
    names = list(FAMILIES)
    control = np.stack([curve(rng, names[i % len(names)], pieces, degree, dim) for i in range(curves)])
    return control, np.stack([points(rng, c, per_curve) for c in control])
