"""Projection onto a curve beside the matrix product that it cannot do without: `make bench`.

Forward is `project`; both is its value with the gradients in the embeddings and the control points. The ratio of a
row to "product" says what the search for the nearest point costs.
"""

import jax
import pytest

from smrjax.curves import Curve, project

CASES = [(512, 256, 6), (100_000, 256, 6), (100_000, 16, 10)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "N={} D={} C={}".format(*case))
@pytest.mark.parametrize("what", ["product", "forward", "both"])
def bench_projection(benchmark, case, what):
    count, dim, classes = case
    benchmark.group = "project, N={} D={} C={}".format(*case)
    z = jax.random.normal(jax.random.key(0), (count, dim))
    control = jax.random.normal(jax.random.key(1), (1, classes, dim)).cumsum(1)

    def forward(control, z):
        return project(Curve(control), z)

    functions = {
        "product": lambda control, z: z @ control[0].T,
        "forward": forward,
        "both": lambda control, z: jax.value_and_grad(lambda *x: forward(*x).sum(), (0, 1))(control, z),
    }
    function = jax.jit(functions[what])
    jax.block_until_ready(function(control, z))  # compiled beforehand
    benchmark.pedantic(lambda: jax.block_until_ready(function(control, z)), rounds=15, warmup_rounds=2)
