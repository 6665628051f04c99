"""Where a step's and an epoch's time goes: each part compiled by itself, beside the whole."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bench_step import own_step

from smrjax.data.augment import augment
from smrjax.encoders import ENCODERS
from smrjax.evaluate.svm import fit_svm, fit_svm_at, gamma_unit
from smrjax.method import smr, tml
from smrjax.taxonomy import load_taxonomy
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.step import unit

TAXONOMY = load_taxonomy("marrow15")
CLASSES = TAXONOMY.classes
METHODS = {"TML": tml(), "SMR, projected, Bézier": smr(TAXONOMY, curve="bezier", pull="projected")}
CASES = [("densenet_small", 60, 64), ("densenet121", 60, 64)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids="{0[0]}, {0[1]} of {0[2]} px".format)
def bench_parts(compare, case, method):
    encoder, batch, size = case
    how, rng = METHODS[method], np.random.default_rng(0)
    model = ENCODERS[encoder](embedding_dim=256)
    images = jnp.asarray(rng.integers(0, 256, (batch, size, size, 3), np.uint8))
    variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), images.astype(jnp.float32))
    y = jnp.arange(batch) % len(CLASSES)
    z = unit(jnp.asarray(rng.normal(size=(batch, 256)), jnp.float32))
    everyone = unit(jnp.asarray(rng.normal(size=(960, 256)), jnp.float32))
    goal = how.refit(everyone, jnp.arange(960) % len(CLASSES), None, jax.random.key(0))
    params = {"encoder": variables["params"], "head": how.init_head(jax.random.key(0), 256)}
    optimizer = adamw_cosine(params, learning_rate=1e-3, weight_decay=1e-4, steps=1000, frozen=())
    opt_state = jax.jit(optimizer.init)(params)

    @jax.jit
    def network(params, images):
        def total(params):
            (raw, _), stats = model.apply(
                {"params": params, "batch_stats": variables["batch_stats"]},
                images.astype(jnp.float32),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(0)},
            )
            return raw.sum(), stats

        return jax.grad(total, has_aux=True)(params)

    loss = jax.jit(jax.grad(lambda z: how.loss(z, y, goal, params["head"])[0]))
    update = jax.jit(lambda grads, state: optax.apply_updates(params, optimizer.update(grads, state, params)[0]))
    look = jax.jit(augment)
    functions = {
        "whole step, without augmentation": own_step(encoder, batch, size, how, classes=len(CLASSES)),
        "encoder, forward and backward": lambda: network(params["encoder"], images),
        "augmentation": lambda: look(images, jax.random.key(0)),
        "loss and its gradient": lambda: loss(z),
        "optimizer": lambda: update(params, opt_state),
    }
    compare("Parts of a step", f"{encoder}, {batch} of {size} px, {method}", functions, rounds=7, budget=120)


@pytest.mark.parametrize("method", METHODS)
def bench_end_of_epoch(compare, method):
    """At the paper's size: 3,800 cells of 15 classes in 256 dimensions."""
    rng = np.random.default_rng(0)
    y = np.arange(3800) % len(CLASSES)
    z = rng.normal(size=(len(CLASSES), 256))[y] + 2.2 * rng.normal(size=(3800, 256))
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    how = METHODS[method]
    goal = how.refit(jnp.asarray(z), jnp.asarray(y), None, jax.random.key(0))
    refit = jax.jit(how.refit)
    on_device = jnp.asarray(z), jnp.asarray(y)
    functions = {
        "refit": lambda: refit(*on_device, goal, jax.random.key(0)),
        "SVM at the last pair": lambda: fit_svm_at(z, y, C=10.0, gamma=gamma_unit(z)),
        "SVM grid, every fifth epoch": lambda: fit_svm(z, y),
    }
    compare("End of an epoch, n=3800 D=256, 15 classes", method, functions, rounds=3, budget=60)
