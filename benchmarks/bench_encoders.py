"""Every published encoder on a batch of 224 px in float32: its features, and a step of plain SGD on them.

Beside it the same network in PyTorch, channels last, where torch is. The loss is the mean square of the features, which
costs next to nothing, and there is no head. Memory is our side's alone and does not depend on what the machine does
meanwhile: XLA's own account of the compiled program, which is what goes in and comes out (weights and images; a step
overwrites its weights, which count once) and the most that it keeps in between. Python, compiler and libraries come on
top of it, about 1 GiB.

Part of ``make bench``; these rows alone, on cores that do nothing else (about half an hour, 7 GB with torch):

    python -m pytest benchmarks/bench_encoders.py -o python_files='bench_*.py' -o python_functions='bench_*' \
        -o filterwarnings=default -o timeout=0 --benchmark-quiet
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import peer

from smrjax.encoders import ENCODERS
from smrjax.encoders.torch_names import KEYS

SIZE, RATE = 224, 1e-3
#: The largest get half as many images.
BATCH = dict.fromkeys(KEYS, 8) | {"regnet_y_32gf": 4, "vit_l_32": 4}


def drawn(path, leaf) -> np.ndarray:
    """A variable's first value, by numpy: compiling ``init`` takes longer than what is measured."""
    if path[-1].key in ("kernel", "table"):
        deviation = (2 / np.prod(leaf.shape[:-1])) ** 0.5
        return np.random.default_rng(0).standard_normal(leaf.shape, np.float32) * np.float32(deviation)
    return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)


class Own:
    """A function of nothing, compiled when it is first called, that computes features or trains on."""

    def __init__(self, encoder: str, train: bool):
        model = ENCODERS[encoder](embedding_dim=0, dropout=0.0)
        images = np.random.default_rng(0).integers(0, 256, (BATCH[encoder], SIZE, SIZE, 3), np.uint8)
        self._images = jnp.asarray(images, jnp.float32)
        shapes = jax.eval_shape(model.init, jax.random.key(0), self._images)
        self._variables = jax.tree.map(jnp.asarray, jax.tree_util.tree_map_with_path(drawn, shapes))
        self._program = None

        def step(variables, images):
            def loss(params):
                (z, _), new = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
                return (z**2).mean(), new

            gradients, new = jax.grad(loss, has_aux=True)(variables["params"])
            params = jax.tree.map(lambda p, g: p - RATE * g, variables["params"], gradients)
            return {"params": params, **new}

        def features(variables, images):
            return model.apply(variables, images)[0]

        self._train, self._function = train, jax.jit(step, donate_argnums=0) if train else jax.jit(features)

    def __call__(self):
        if self._program is None:
            self._program = self._function.lower(self._variables, self._images).compile()
        result = self._program(self._variables, self._images)
        if self._train:
            self._variables = result
        return result

    def memory(self) -> float:
        """Bytes, once it has been called."""
        sizes = self._program.memory_analysis()
        kept = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
        return kept + sizes.temp_size_in_bytes


def of_torch(encoder: str, train: bool):
    """The same in PyTorch, or None where it is not installed."""
    torch = peer("torch")
    if not torch:
        return None
    from tests.encoders.torch_models import NETWORKS

    model = NETWORKS[encoder]().to(memory_format=torch.channels_last).train(train)
    for name, parameter in model.named_parameters():
        if name.endswith("pos_embedding"):
            torch.nn.init.normal_(parameter, std=0.02)
    images = torch.randint(0, 256, (BATCH[encoder], 3, SIZE, SIZE)).float()
    images = images.contiguous(memory_format=torch.channels_last)
    # The classifier gets no gradient, and is left alone.
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def features():
        last = list(model.stages(images).values())[-1]
        return last.mean((2, 3)) if last.ndim == 4 else last[:, 0]

    def step():
        optimizer.zero_grad()
        (features() ** 2).mean().backward()
        optimizer.step()

    return step if train else torch.no_grad()(features)


@pytest.mark.parametrize("encoder", KEYS)
@pytest.mark.parametrize("train", [False, True], ids=["features", "step"])
def bench_encoder(compare, encoder, train):
    own, batch = Own(encoder, train), BATCH[encoder]
    functions = {"smrjax": own}
    if (other := of_torch(encoder, train)) is not None:
        functions["PyTorch, channels last"] = other

    def cells(medians):
        return {
            **{f"images/s, {name.partition(',')[0]}": f"{batch / s:.3g}" for name, s in medians.items()},
            "memory": f"{own.memory() / 2**30:.2f} GiB",
        }

    title = "Encoders, training step with SGD" if train else "Encoders, features"
    compare(title, f"{encoder}, {batch} of {SIZE} px", functions, cells, rounds=5, budget=40)
