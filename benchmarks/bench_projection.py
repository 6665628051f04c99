"""Projection onto a curve beside the matrix product that it cannot do without, and beside general solvers.

Every peer gets the same help that a user would give it: the nearest of 64 places on the curve as a start and its two
neighbours as a bracket, for a whole batch at once where the peer can be vmapped.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import peer

from smrjax.curves import Curve, project, spline

CASES = [(512, 256, 6), (100_000, 2, 6), (100_000, 16, 10), (100_000, 256, 6), (100_000, 1024, 6), (100_000, 256, 20)]
NAME = "N={} D={} C={}".format


def problem(count: int, dim: int, classes: int):
    """A curve through a random walk and cells around it."""
    rng = np.random.default_rng(0)
    control = rng.normal(size=(1, classes, dim)).cumsum(1)
    z = rng.normal(size=(count, dim)) + control[0, rng.integers(0, classes, count)]
    return jnp.asarray(control, jnp.float32), jnp.asarray(z, jnp.float32)


forward = jax.jit(lambda control, z: project(Curve(control), z))
both = jax.jit(jax.value_and_grad(lambda control, z: project(Curve(control), z).sum(), (0, 1)))
product = jax.jit(lambda control, z: z @ control.reshape(-1, z.shape[1]).T)


@jax.jit
def products(control, z):
    """The product of the forward and the two of the backward pass, of which the last fills an array like z."""
    flat = control.reshape(-1, z.shape[1])
    v = z @ flat.T
    return v.T @ z, v @ flat


def against_products(compare, title, case, control, z):
    functions = {
        "project": lambda: forward(control, z),
        "bare product": lambda: product(control, z),
        "forward + backward": lambda: both(control, z),
        "bare products of both": lambda: products(control, z),
    }
    compare(title, case, functions, rounds=15)


@pytest.mark.parametrize("case", CASES, ids=lambda case: NAME(*case))
def bench_product(compare, case):
    against_products(compare, "Projection beside the products it needs", NAME(*case), *problem(*case))


@pytest.mark.parametrize("points", [6, 21])
def bench_pieces(compare, points):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(points, 256)).cumsum(0)
    z = jnp.asarray(rng.normal(size=(100_000, 256)) + means[rng.integers(0, points, 100_000)], jnp.float32)
    case = f"N=100000 D=256, {points - 1} pieces"
    against_products(compare, "Projection onto cubic splines", case, spline(jnp.asarray(means, jnp.float32)).control, z)


def slope(t, control, x):
    """Derivative of half the squared distance along one piece."""
    curve = Curve(control)
    point, tangent = jax.jvp(lambda t: curve(t), (t,), (jnp.ones_like(t),))
    return (point - x) @ tangent


def bracket(control, z):
    """The nearest of 64 places, and its neighbours."""
    t = jnp.linspace(0, 1, 64)
    points = Curve(control)(t)
    best = ((points**2).sum(1) - 2 * z @ points.T).argmin(1)
    return t[best], t[jnp.maximum(best - 1, 0)], t[jnp.minimum(best + 1, 63)]


def solvers(control, z):
    """Peer -> function of nothing."""
    functions = {"project": lambda: forward(control, z)}
    if jaxopt := peer("jaxopt"):

        @jax.jit
        def by_jaxopt(control, z):
            def one(x, start, low, high):
                def distance(t):
                    return 0.5 * ((Curve(control)(t[0]) - x) ** 2).sum()

                solver = jaxopt.ProjectedGradient(distance, jaxopt.projection.projection_box, maxiter=50, tol=1e-5)
                return solver.run(start[None], hyperparams_proj=(low[None], high[None])).params[0]

            return jax.vmap(one)(z, *bracket(control, z))

        functions["jaxopt, projected gradient"] = lambda: by_jaxopt(control, z)
    if optimistix := peer("optimistix"):

        @jax.jit
        def by_optimistix(control, z):
            def one(x, start, low, high):
                found = optimistix.root_find(
                    lambda t, _: slope(t, control, x),
                    optimistix.Newton(rtol=1e-5, atol=1e-6),
                    start,
                    options={"lower": low, "upper": high},
                    max_steps=50,
                    throw=False,
                )
                return found.value

            return jax.vmap(one)(z, *bracket(control, z))

        functions["optimistix, Newton"] = lambda: by_optimistix(control, z)
    if optimize := peer("scipy.optimize"):
        curve, cells = np.asarray(control[0], np.float64), np.asarray(z, np.float64)

        def by_scipy():
            _, low, high = (np.asarray(t, np.float64) for t in bracket(control, z))
            found = []
            for x, a, b in zip(cells, low, high, strict=True):

                def distance(t, x=x):
                    points = curve
                    while len(points) > 1:
                        points = points[:-1] + t * (points[1:] - points[:-1])
                    return ((points[0] - x) ** 2).sum()

                found.append(optimize.minimize_scalar(distance, bounds=(a, b), method="bounded").x)
            return np.array(found)

        functions["scipy, bounded"] = by_scipy
    if torch := peer("torch"):
        places = torch.tensor(np.array(Curve(control)(jnp.linspace(0, 1, 1001))))
        tensor = torch.tensor(np.array(z))
        functions["torch, 1001 places"] = lambda: torch.cdist(tensor, places).argmin(1)
    return functions


@pytest.mark.parametrize("count", [512, 20_000])
def bench_solvers(compare, count):
    control, z = problem(count, 256, 6)
    functions = solvers(control, z)
    if count > 512:
        functions.pop("scipy, bounded", None)  # one cell after another: minutes
    compare("Projection beside general solvers, D=256 C=6", f"N={count}", functions, rounds=5)


def bench_growth_in_cells(growth):
    cases = {count: problem(count, 256, 6) for count in (12_500, 25_000, 50_000, 100_000, 200_000)}
    growth("Projection: growth", "N (D=256, C=6)", list(cases), lambda n: lambda: forward(*cases[n]))


def bench_growth_in_dimensions(growth):
    cases = {dim: problem(50_000, dim, 6) for dim in (64, 128, 256, 512, 1024)}
    growth("Projection: growth", "D (N=50000, C=6)", list(cases), lambda d: lambda: forward(*cases[d]))


def bench_growth_in_classes(growth):
    cases = {classes: problem(50_000, 256, classes) for classes in (3, 5, 10, 20)}
    growth("Projection: growth", "C (N=50000, D=256)", list(cases), lambda c: lambda: forward(*cases[c]))
