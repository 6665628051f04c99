"""Parametric t-SNE: a network that lays embeddings out in the plane (van der Maaten 2009; r of SMR, eq. 5).

The network is a pytree of arrays: fitted at the end of an epoch from where it was, constant within the next
one, while the gradient of the reduced loss flows through it into the embeddings.

    params = init_network(key, z.shape[1])
    params = fit(params, z, key)          # at the end of every epoch
    plane = embed(params, z)              # Float[B, 2], in every step
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from smrjax.losses.affinities import joint_affinities, squared_distances

Params = dict[str, Any]


def init_network(key: jax.Array, dim: int, *, widths: tuple[int, ...] = (500, 500, 2000)) -> Params:
    """Weights of a network dim - widths - 2 with rectifiers between (van der Maaten 2009 has 500-500-2000).

    Args:
        key: Random key.
        dim: Dimension of the embeddings.
        widths: Sizes of the hidden layers.

    Returns:
        A pytree: "layers", a list of {"kernel", "bias"}; "input" and "output", a {"shift", "scale"} each,
        which `fit` sets so that the network sees centred embeddings and its layout has a fixed size.

    >>> params = init_network(jax.random.key(0), 8, widths=(16,))
    >>> embed(params, jnp.ones((3, 8))).shape
    (3, 2)
    """
    sizes = (dim, *widths, 2)
    keys = jax.random.split(key, len(sizes) - 1)
    layers = [
        {"kernel": jax.random.normal(k, (m, n)) * jnp.sqrt(2 / m), "bias": jnp.zeros(n)}  # He et al. 2015
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    # A layout that starts small unfolds; one that starts at t-SNE's final size stays tangled.
    layers[-1]["kernel"] *= 0.1
    return {
        "layers": layers,
        "input": {"shift": jnp.zeros(dim), "scale": jnp.ones(())},
        "output": {"shift": jnp.zeros(2), "scale": jnp.ones(())},
    }


@jax.jit
def embed(params: Params, z: jax.Array) -> jax.Array:
    """Place of each embedding in the plane, differentiable in z.

    Args:
        params: From `init_network` or `fit`.
        z: Embeddings, Float[B, D].

    Returns:
        Float[B, 2]. After `fit`, the layout of the fitted embeddings is centred and has root mean square
        radius 1: t-SNE's own scale (tens of units, growing with the number of points and of steps) would
        otherwise decide how much alpha weighs against a triplet margin on unit vectors.
    """
    return _affine(params["output"], _run(params["layers"], _affine(params["input"], z)))


@partial(jax.jit, static_argnames=("steps", "batch_size"))
def fit(
    params: Params,
    z: jax.Array,
    key: jax.Array,
    *,
    perplexity: float = 30.0,
    steps: int = 30,
    batch_size: int = 1024,
    learning_rate: float = 2e-3,
) -> Params:
    """Fit the network to the embeddings of an epoch, starting from where it was.

    Minimises the KL divergence from the joint neighbourhood probabilities of a random minibatch to those of
    its layout under a Student t kernel, with Adam (its state starts anew) and a learning rate that rises for
    a tenth of the steps, then falls to 0 along a cosine. Perplexity counts neighbours within the minibatch,
    so large minibatches see finer structure: at the same cost, 1024 x 30 comes much closer to t-SNE's own
    optimum than 256 x 120. The first fits are coarse; four or five reach a steady layout. Compiled once for a
    shape of z.

    Args:
        params: Network to start from.
        z: Embeddings, Float[N, D]. With fewer than 3 there is nothing to lay out and the network comes back
            as it was.
        key: Random key for the minibatches.
        perplexity: Effective number of neighbours, lowered to (minibatch - 1) / 3 where that is less.
        steps: Number of minibatches.
        batch_size: Size of a minibatch; all N where there are fewer.
        learning_rate: Highest learning rate of Adam; from about 1e-2 the layout explodes.

    Returns:
        The fitted network, same shapes and dtypes.

    >>> z = jax.random.normal(jax.random.key(1), (40, 8))
    >>> params = fit(init_network(jax.random.key(0), 8, widths=(16,)), z, jax.random.key(2), steps=5)
    >>> print(f"{jnp.sqrt((embed(params, z) ** 2).sum(1).mean()):.3f}")
    1.000
    """
    # Only here: reading cells along curves in the plane needs no optimiser.
    import optax

    n = len(z)
    if n < 3:
        return params
    z = z.astype(params["input"]["shift"].dtype)
    params = {**params, "input": _standardise(z, z.shape[1])}
    z = _affine(params["input"], z)
    batch_size = min(batch_size, n)
    schedule = optax.warmup_cosine_decay_schedule(learning_rate / 10, learning_rate, steps // 10, steps)
    optimizer = optax.adam(schedule)

    def step(state: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        layers, opt_state = state
        batch = z[jax.random.permutation(key, n)[:batch_size]]
        p = joint_affinities(batch, perplexity)
        gradient = jax.grad(lambda layers: kl_divergence(_run(layers, batch), p))(layers)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(layers, updates), opt_state), None

    start = (params["layers"], optimizer.init(params["layers"]))
    (layers, _), _ = lax.scan(step, start, jax.random.split(key, steps))
    return {**params, "layers": layers, "output": _standardise(_run(layers, z), 1)}


@jax.jit
def kl_divergence(plane: jax.Array, p: jax.Array) -> jax.Array:
    """KL(P || Q), where Q are the joint probabilities of a layout under a Student t kernel.

    Source: van der Maaten 2009, eqs. 3 and 4, with one degree of freedom.

    Args:
        plane: Layout, Float[B, 2] in t-SNE's own scale (1 is the width of the kernel).
        p: Joint probabilities of the same points, Float[B, B] (`joint_affinities`).

    Returns:
        A scalar.

    >>> p = (1 - jnp.eye(3)) / 6  # everybody equally near to everybody: an equilateral triangle
    >>> corners = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    >>> print(f"{jnp.abs(kl_divergence(corners, p)):.4f}")
    0.0000
    """
    kernel = (1 - jnp.eye(len(plane), dtype=plane.dtype)) / (1 + squared_distances(plane))
    tiny = jnp.finfo(kernel.dtype).tiny
    # log Q = log kernel - log sum(kernel); P sums to 1, and 0 log 0 is 0.
    own = (p * (jnp.log(jnp.maximum(p, tiny)) - jnp.log(jnp.maximum(kernel, tiny)))).sum()
    return own + jnp.log(kernel.sum())


def _run(layers: list[dict[str, jax.Array]], x: jax.Array) -> jax.Array:
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
    return x @ layers[-1]["kernel"] + layers[-1]["bias"]


def _affine(parts: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return (x - parts["shift"]) * parts["scale"]


def _standardise(x: jax.Array, square_length: float) -> dict[str, jax.Array]:
    """Shift and scale after which x is centred and its mean squared length is `square_length`."""
    shift = x.mean(0)
    square = ((x - shift) ** 2).sum(1).mean() / square_length
    # All points in one place: nothing to scale by.
    return {"shift": shift, "scale": jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 1)}
