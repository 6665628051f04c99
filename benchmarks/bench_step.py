"""A training step with triplets, AdamW and all, beside the same network in PyTorch, and beside itself in bfloat16.

All sides get batches of one size and keep everything on the device; torch runs channels last.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import peer, side_by_side

from smrjax.encoders import ENCODERS
from smrjax.method import tml
from smrjax.train import parallel
from smrjax.train.learner import build
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.state import create
from smrjax.train.step import AXIS

CASES = [("densenet121", 16, 64), ("densenet121", 8, 224), ("efficientnet_lite0", 16, 96)]
CLASSES = 4


def plain(images, keys):
    """No augmentation."""
    return images.astype(jnp.float32)


def learner_and_arguments(
    encoder: str, batch: int, size: int, method, *, classes: int = CLASSES, augment=plain, dtype=jnp.float32
):
    """What `build` makes, and the arguments of its step."""
    rng = np.random.default_rng(0)
    model = ENCODERS[encoder](embedding_dim=256, axis_name=AXIS, dtype=dtype)
    images = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
    variables = jax.jit(lambda key, x: model.init(key, x, train=False))(jax.random.key(0), images.astype(np.float32))
    y = np.arange(batch) % classes
    cells = jnp.asarray(rng.normal(size=(64 * classes, 256)), jnp.float32)
    goal = method.refit(cells, jnp.arange(64 * classes) % classes, None, jax.random.key(0))
    head = method.init_head(jax.random.key(0), 256)
    optimizer = adamw_cosine(
        {"encoder": variables["params"], "head": head}, learning_rate=1e-3, weight_decay=1e-4, steps=1000, frozen=()
    )
    devices = jax.devices()[:1]
    learner = build(model, variables, method, optimizer, augment, devices)
    state = create(variables, method, optimizer, goal, jax.random.key(0), 256)
    shared = [parallel.share(x, devices) for x in (images, y)]
    return learner, (parallel.replicate(state, devices), *shared, jax.random.key(1))


def own_step(encoder: str, batch: int, size: int, method, **how):
    """A function of nothing that trains on; more as in `learner_and_arguments`."""
    learner, (state, *rest) = learner_and_arguments(encoder, batch, size, method, **how)
    mapped = [state]

    def step():
        mapped[0] = learner.step(mapped[0], *rest)
        return mapped[0].step

    return step


def torch_step(encoder: str, batch: int, size: int):
    """The same in PyTorch, or None where it is not installed."""
    torch, metric = peer("torch"), peer("pytorch_metric_learning.losses")
    if not (torch and metric):
        return None
    from pytorch_metric_learning.reducers import AvgNonZeroReducer

    from tests.encoders.torch_models import NETWORKS

    model = NETWORKS[encoder](classes=256).to(memory_format=torch.channels_last).train()
    loss = metric.TripletMarginLoss(margin=0.1, triplets_per_anchor="all", reducer=AvgNonZeroReducer())
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-4)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    y = torch.arange(batch) % CLASSES

    def step():
        optimizer.zero_grad()
        features = list(model.stages(images.float()).values())[-1]
        loss(model.classifier(features.mean((2, 3))), y).backward()
        optimizer.step()

    return step


@cache
def peak() -> float:
    """Operations a second of a product of two float32 matrices of 4,096 rows, the most that can be hoped for."""
    a = jax.random.normal(jax.random.key(0), (4096, 4096))
    product = jax.jit(jnp.dot)
    return 2 * 4096**3 / side_by_side({"": lambda: product(a, a)}, rounds=5)[""][0]


def operations(encoder: str, batch: int, size: int) -> float:
    """Of a step: three times those of the encoder forward, since backward takes twice as many."""
    model = ENCODERS[encoder](embedding_dim=256)
    images = jnp.zeros((batch, size, size, 3))
    variables = jax.eval_shape(lambda key: model.init(key, images, train=False), jax.random.key(0))
    forward = jax.jit(lambda variables, images: model.apply(variables, images, train=False)[0])
    return 3 * forward.lower(variables, images).cost_analysis()["flops"]


@pytest.mark.parametrize("case", CASES, ids="{0[0]}, {0[1]} of {0[2]} px".format)
def bench_step(compare, case):
    encoder, batch, size = case
    functions = {"smrjax": own_step(encoder, batch, size, tml())}
    if (other := torch_step(encoder, batch, size)) is not None:
        functions["PyTorch, channels last"] = other
    functions["smrjax, bfloat16"] = own_step(encoder, batch, size, tml(), dtype=jnp.bfloat16)

    def rates(medians):
        seconds = medians["smrjax"]
        share = operations(encoder, batch, size) / seconds / peak()
        return {"images/s": f"{batch / seconds:.3g}", "of a matrix product's rate": f"{100 * share:.2g} %"}

    compare("Training step", f"{encoder}, {batch} of {size} px", functions, rates, rounds=9, budget=180)
