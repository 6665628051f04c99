"""Nearest points in float64 with numpy alone: the authority that `project` is held against."""

from math import comb

import numpy as np


def bernstein_table(degree, t):
    t = np.asarray(t, np.float64)[..., None]
    i = np.arange(degree + 1)
    return np.array([comb(degree, k) for k in i], float) * t**i * (1 - t) ** (degree - i)


def points_at(control, t):
    """Points of a curve of joined pieces at t in [0, 1], by the definition."""
    control, t = np.asarray(control, np.float64), np.asarray(t, np.float64)
    pieces, degree = control.shape[0], control.shape[1] - 1
    index = np.minimum((t * pieces).astype(int), pieces - 1)
    return np.einsum("...k,...kd->...d", bernstein_table(degree, t * pieces - index), control[index])


def in_span(control, z):
    """The same problem in the at most pieces * (degree + 1) dimensions of the control points' span."""
    control, z = np.asarray(control, np.float64), np.asarray(z, np.float64)
    centre = control.reshape(-1, control.shape[-1]).mean(0)
    flat = control.reshape(-1, control.shape[-1]) - centre
    if flat.shape[1] <= flat.shape[0]:
        return control - centre, z - centre, np.zeros(len(z))
    axes = np.linalg.svd(flat, full_matrices=False)[2]
    inside = (z - centre) @ axes.T
    off = ((z - centre - inside @ axes) ** 2).sum(-1)
    return (flat @ axes.T).reshape(*control.shape[:2], -1), inside, off


def squared_size(control):
    """Largest squared distance of a control point from their centre."""
    flat = np.asarray(control, np.float64).reshape(-1, control.shape[-1])
    return ((flat - flat.mean(0)) ** 2).sum(-1).max()


def nearest(control, z, grid=512):
    """Smallest squared distance of each z, Float[N], and the t where it is met.

    The squared distance at `grid` steps of each piece; every local minimum among them that is within a hundredth of
    the curve's squared size of the lowest is narrowed down by Newton's method and bisection.
    """
    control, z, off = in_span(control, z)
    pieces, degree = control.shape[0], control.shape[1] - 1
    u = np.linspace(0, 1, grid + 1)
    curve = np.concatenate([bernstein_table(degree, u) @ piece for piece in control])
    best, where = np.full(len(z), np.inf), np.empty(len(z))
    chunk = max(1, 2_000_000 // len(curve))
    for start in range(0, len(z), chunk):
        x = z[start : start + chunk]
        f = (curve**2).sum(1) - 2 * x @ curve.T + (x**2).sum(1)[:, None]
        f = f.reshape(len(x), pieces, grid + 1)
        fenced = np.pad(f, ((0, 0), (0, 0), (1, 1)), constant_values=np.inf)
        low = f.min((1, 2), keepdims=True)
        local = (f <= fenced[..., :-2]) & (f <= fenced[..., 2:]) & (f <= low + 0.01 * (low + squared_size(control)))
        sample, piece, place = np.nonzero(local)
        at, distance = _polish(control, x[sample], piece, u[place], 1 / grid)
        order = np.lexsort((distance, sample))
        first = order[np.unique(sample[order], return_index=True)[1]]
        best[start : start + chunk] = distance[first]
        where[start : start + chunk] = (piece[first] + at[first]) / pieces
    return best + off, where


def _polish(control, x, piece, u, width):
    degree = control.shape[1] - 1
    rows = control[piece]
    first = degree * np.diff(rows, axis=1)
    second = (degree - 1) * np.diff(first, axis=1) if degree > 1 else np.zeros_like(first)

    def parts(u):
        b = [(bernstein_table(c.shape[1] - 1, u)[:, None] @ c)[:, 0] for c in (rows, first, second)]
        apart = b[0] - x
        return (apart**2).sum(-1), (apart * b[1]).sum(-1), (b[1] ** 2).sum(-1) + (apart * b[2]).sum(-1)

    low, high = np.clip(u - width, 0, 1), np.clip(u + width, 0, 1)
    best_u, best = u, np.full(len(u), np.inf)
    for step in range(16):
        value, slope, bend = parts(u)
        better = value < best
        best_u, best = np.where(better, u, best_u), np.where(better, value, best)
        low, high = np.where(slope < 0, u, low), np.where(slope < 0, high, u)
        newton = u - slope / np.where(bend > 0, bend, np.inf)
        inside = (newton >= low) & (newton <= high) & (step % 5 < 4)
        u = np.where(inside, newton, (low + high) / 2)
    return best_u, best


def nearest_by_roots(control, z):
    """Smallest squared distance from all roots of the derivative, as eigenvalues of colleague matrices. Slow."""
    control, z, off = in_span(control, z)
    degree = control.shape[1] - 1
    terms = 2 * degree
    angle = np.pi * (np.arange(terms) + 0.5) / terms
    u = (np.cos(angle) + 1) / 2
    best = np.full(len(z), np.inf)
    for piece in control:
        position = bernstein_table(degree, u) @ piece
        velocity = degree * bernstein_table(degree - 1, u) @ np.diff(piece, axis=0)
        slope = (position * velocity).sum(1) - z @ velocity.T
        series = slope @ np.cos(np.outer(angle, np.arange(terms))) * 2 / terms
        series[:, 0] /= 2
        for i, coefficients in enumerate(series):
            small = np.abs(coefficients) < 1e-15 * np.abs(coefficients).max()
            used = np.polynomial.chebyshev.chebtrim(np.where(small, 0, coefficients))
            roots = np.polynomial.chebyshev.chebroots(used) if len(used) > 1 else np.zeros(0)
            real = roots.real[np.abs(roots.imag) < 1e-5]
            places = np.concatenate([[0, 1], np.clip((real + 1) / 2, 0, 1)])
            apart = bernstein_table(degree, places) @ piece - z[i]
            best[i] = min(best[i], (apart**2).sum(1).min())
    return best + off
