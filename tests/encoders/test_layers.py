import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.encoders import layers, spatial
from smrjax.encoders.depthwise import conv_depthwise
from smrjax.encoders.layers import batch_norm, conv_pointwise, convolve, halve, max_pool, pads_of
from smrjax.encoders.spatial import conv_patches, conv_plain, conv_spatial


def grown(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize(
    ("height", "kernel", "strides", "padding"),
    [(8, 3, 1, "SAME"), (7, 3, 2, "SAME"), (8, 5, 2, "SAME"), (5, 5, 1, 2), (6, 3, 3, 1), (1, 5, 2, "SAME")],
)
def test_depthwise_form_and_its_gradients_match_xla(height, kernel, strides, padding):
    with jax.enable_x64(True):
        size = (height, height + 1)
        x, w = grown((2, *size, 3), 0), grown((kernel, kernel, 1, 3), 1)
        pads = pads_of(size, kernel, strides, padding)
        y, back = jax.vjp(lambda x, w: conv_depthwise(x, w, strides, pads), x, w)
        expected, expected_back = jax.vjp(lambda x, w: conv_plain(x, w, strides=strides, pads=pads, groups=3), x, w)
        ct = grown(y.shape, 2)
        for ours, theirs in zip((y, *back(ct)), (expected, *expected_back(ct)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("strides", [1, 2])
def test_pointwise_form_and_its_gradients_match_xla(strides):
    with jax.enable_x64(True):
        x, w = grown((2, 5, 6, 3), 0), grown((1, 1, 3, 4), 1)
        y, back = jax.vjp(lambda x, w: conv_pointwise(x, w, strides=strides), x, w)
        pads = ((0, 0), (0, 0))
        expected, expected_back = jax.vjp(lambda x, w: conv_plain(x, w, strides=strides, pads=pads), x, w)
        ct = grown(y.shape, 2)
        for ours, theirs in zip((y, *back(ct)), (expected, *expected_back(ct)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("cache", [0, 2**21], ids=["one image at a time", "all together"])
@pytest.mark.parametrize("channels", [(3, 4), (4, 2)], ids=["shifted images", "shifted gradients"])
@pytest.mark.parametrize(
    ("height", "kernel", "strides", "padding"),
    [(8, 3, 1, "SAME"), (7, 3, 2, "SAME"), (9, 7, 2, 3), (5, 5, 1, 2), (6, 3, 3, 1), (1, 5, 2, "SAME"), (7, 1, 2, 1)],
)
def test_weight_gradient_matches_xla(monkeypatch, height, kernel, strides, padding, channels, cache):
    monkeypatch.setattr(spatial, "CACHE", cache)
    with jax.enable_x64(True):
        size = (height, height + 1)
        x, w = grown((3, *size, channels[0]), 0), grown((kernel, kernel, *channels), 1)
        pads = pads_of(size, kernel, strides, padding)
        y, back = jax.vjp(lambda x, w: conv_spatial(x, w, strides, pads), x, w)
        expected, expected_back = jax.vjp(lambda x, w: conv_plain(x, w, strides=strides, pads=pads), x, w)
        ct = grown(y.shape, 2)
        for ours, theirs in zip((y, *back(ct)), (expected, *expected_back(ct)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("height", "kernel", "strides", "padding"),
    [(2, 3, 1, 1), (1, 3, 1, "SAME"), (4, 3, 2, 1), (3, 3, 3, 0), (5, 5, 2, "SAME"), (1, 5, 2, "SAME"), (6, 7, 4, 3)],
)
def test_patches_and_their_gradients_match_xla(height, kernel, strides, padding):
    with jax.enable_x64(True):
        size = (height, height + 1)
        x, w = grown((2, *size, 3), 0), grown((kernel, kernel, 3, 4), 1)
        pads = pads_of(size, kernel, strides, padding)
        y, back = jax.vjp(lambda x, w: conv_patches(x, w, strides=strides, pads=pads), x, w)
        expected, expected_back = jax.vjp(lambda x, w: conv_plain(x, w, strides=strides, pads=pads), x, w)
        ct = grown(y.shape, 2)
        for ours, theirs in zip((y, *back(ct)), (expected, *expected_back(ct)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(("groups", "width"), [(3, 2), (4, 2), (6, 2), (3, 64)])
def test_grouped_form_and_its_gradients_match_xla(groups, width):
    with jax.enable_x64(True):
        x, w = grown((2, 5, 6, groups * width), 0), grown((3, 3, width, groups * 5), 1)
        pads = ((1, 1), (1, 1))
        y, back = jax.vjp(lambda x, w: convolve(x, w, strides=2, padding=1, groups=groups), x, w)
        expected, expected_back = jax.vjp(lambda x, w: conv_plain(x, w, strides=2, pads=pads, groups=groups), x, w)
        ct = grown(y.shape, 2)
        for ours, theirs in zip((y, *back(ct)), (expected, *expected_back(ct)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize(("kernel", "depthwise"), [(1, False), (3, False), (3, True)])
def test_every_platform_gets_the_same_numbers_from_the_same_kernel(monkeypatch, kernel, depthwise):
    x, w = grown((2, 6, 6, 3), 0), grown((kernel, kernel, 1 if depthwise else 3, 3), 1)
    answers = []
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(layers.jax, "default_backend", lambda backend=backend: backend)
        answers.append((convolve(x, w, strides=2, padding="SAME", depthwise=depthwise), max_pool(x)))
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-5)


def test_pools_match_a_loop_over_windows():
    x = np.asarray(grown((2, 7, 6, 3), 0), np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    largest = [[padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in (0, 2, 4)] for i in (0, 2, 4, 6)]
    np.testing.assert_array_equal(max_pool(jnp.asarray(x)), np.array(largest).transpose(2, 0, 1, 3))
    means = [[x[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2, 4)] for i in (0, 2, 4)]
    np.testing.assert_allclose(halve(jnp.asarray(x)), np.array(means).transpose(2, 0, 1, 3), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 20, 60), (5, 5, 1, 400)], ids=str)
def test_kernels_begin_with_the_deviation_of_he_et_al(shape):
    """Deviation (2 / fan-in) ** 0.5, equation 10 of He et al. 2015; cut at two deviations of the uncut normal."""
    kernel = np.asarray(layers.he_normal(jax.random.key(3), shape))
    assert kernel.shape == shape
    deviation = np.sqrt(2 / np.prod(shape[:3]))
    assert kernel.std() == pytest.approx(deviation, rel=0.03) and abs(kernel.mean()) < 0.05 * deviation
    assert np.abs(kernel).max() < 2.3 * deviation


class Norm(nn.Module):
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        norm = batch_norm("norm", train, epsilon=1e-3, momentum=0.01, axis_name=self.axis_name, dtype=jnp.float32)
        return norm(x)


def test_batch_norm_by_hand():
    x = np.asarray(grown((4, 3, 3, 2), 0), np.float64) * 2 + 5
    variables = {
        "params": {"norm": {"scale": jnp.array([2.0, 0.5]), "bias": jnp.array([1.0, -1.0])}},
        "batch_stats": {"norm": {"mean": jnp.array([4.0, 6.0]), "var": jnp.array([3.0, 0.2])}},
    }
    y, new = Norm().apply(variables, jnp.asarray(x, jnp.float32), True, mutable=["batch_stats"])
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3) * [2, 0.5] + [1, -1], atol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["norm"]["mean"], 0.99 * np.array([4, 6]) + 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(new["batch_stats"]["norm"]["var"], 0.99 * np.array([3, 0.2]) + 0.01 * var, rtol=1e-5)
    y = Norm().apply(variables, jnp.asarray(x, jnp.float32), False)
    np.testing.assert_allclose(y, (x - [4, 6]) / np.sqrt(np.array([3.001, 0.201])) * [2, 0.5] + [1, -1], atol=1e-4)


def test_batch_norm_over_a_device_axis_is_that_of_the_whole_batch():
    x = jnp.asarray(grown((4, 3, 3, 2), 0), jnp.float32)
    variables = Norm().init(jax.random.key(0), x, False)

    def one(part):
        return Norm("device").apply(variables, part, True, mutable=["batch_stats"])

    y, new = jax.vmap(one, axis_name="device")(x.reshape(2, 2, 3, 3, 2))
    whole, expected = Norm().apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(y.reshape(x.shape), whole, atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(new), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, np.stack([theirs, theirs]), atol=1e-6)
