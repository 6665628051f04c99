"""A training small enough for a test: a linear encoder with BatchNorm on tiny images of separable classes."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from smrjax.data.sampling import pk_batches
from smrjax.encoders.layers import Head
from smrjax.method import Method, smr
from smrjax.taxonomy import Lineage, Taxonomy
from smrjax.train.learner import Cells, Learner, Plan, build
from smrjax.train.optimizer import adamw_cosine
from smrjax.train.step import AXIS

TAXONOMY = Taxonomy(
    name="toy",
    classes=("A", "B", "C", "X"),
    lineages=(Lineage("abc", ("A", "B", "C")),),
    colours=("#111111", "#222222", "#333333", "#444444"),
    titles=("A", "B", "C", "X"),
)


BATCHES = partial(pk_batches, classes_per_batch=4, per_class=4)


class Tiny(nn.Module):
    """BatchNorm over the global batch, dropout, a linear layer: everything a step has to share between devices."""

    axis_name: str | None = AXIS
    stage_names = ("stem", "head")

    @nn.compact
    def __call__(self, images, train=False):
        # A bias before BatchNorm would have no gradient but rounding, which Adam makes as large as any other.
        x = nn.Dense(12, use_bias=False, name="stem_dense")(images / 255)
        # E[(x - m)^2] rather than E[x^2] - m^2, whose cancellation would drown what the tests compare.
        x = nn.BatchNorm(
            use_running_average=not train, axis_name=self.axis_name, use_fast_variance=False, name="stem_norm"
        )(x)
        return Head(8, 0.3, axis_name=self.axis_name, name="head")(nn.relu(x), train), {"stem": x}


def cells(n: int = 96, side: int = 6) -> Cells:
    """Classes differ in colour; the first three lie in order between two colours."""
    rng = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int32) % 4
    colour = np.array([[40, 40, 200], [90, 60, 160], [150, 90, 130], [60, 200, 60]])[labels]
    images = np.clip(colour[:, None, None] + rng.normal(0, 25, (n, side, side, 3)), 0, 255).astype(np.uint8)
    return Cells(
        images.__getitem__,
        images.__getitem__,
        labels,
        {"abc": np.arange(3)},
        np.arange(n * 2 // 3),
        np.arange(n * 2 // 3, n),
    )


def plan(**changes) -> Plan:
    values = dict(epochs=3, steps=4, patience=50, grid_every=2, batches=BATCHES, embed_batch=16, seed=3)
    return Plan(**(values | changes))


def method(**changes) -> Method:
    return smr(TAXONOMY, **({"curve": "bezier", "pull": "normal", "alpha": 0.3} | changes))


def learner(
    how: Method | None = None, *, devices: int = 1, optimizer=None, learning_rate: float = 1e-2, steps=12
) -> Learner:
    model = Tiny()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
    how = how or method()
    optimizer = optimizer or adamw_cosine(
        {"encoder": variables["params"], "head": how.init_head(jax.random.key(1), 8)},
        learning_rate=learning_rate,
        weight_decay=1e-4,
        steps=steps,
    )
    return build(model, variables, how, optimizer, noise, jax.devices()[:devices])


def noise(images, keys):
    # One long row an image: over three axes XLA takes ten seconds to compile threefry on a CPU.
    drawn = jax.vmap(lambda key: jax.random.normal(key, (images[0].size,)))(keys)
    return images.astype(drawn.dtype) + 5 * drawn.reshape(images.shape)
