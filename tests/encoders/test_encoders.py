from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.encoders import ENCODERS, efficientnet
from smrjax.encoders.densenet import DenseNet
from smrjax.encoders.efficientnet import EfficientNetLite0
from smrjax.encoders.layers import Head
from smrjax.encoders.resnet import ResNet
from smrjax.encoders.vgg import adaptive_mean
from smrjax.encoders.vit import standardise
from smrjax.errors import InputError

tiny_densenet = partial(DenseNet, embedding_dim=5, blocks=(1, 2), growth=4, stem_features=6, stem_kernel=3)
tiny_resnet = partial(ResNet, embedding_dim=5, layers=(1, 1), width=8)
TINY = {
    "densenet": tiny_densenet,
    "efficientnet": partial(EfficientNetLite0, embedding_dim=5),
    "regnet": partial(ENCODERS["regnet_tiny"], embedding_dim=5, layers=(1, 1)),
    "resnet": tiny_resnet,
    "resnet_bottleneck": partial(tiny_resnet, bottleneck=True),
    "vit": partial(ENCODERS["vit_tiny"], embedding_dim=5, blocks=(1, 1)),
    "vgg": partial(ENCODERS["vgg_tiny"], embedding_dim=5),
    "resnext": partial(ENCODERS["resnext_tiny"], embedding_dim=5, layers=(1, 1)),
}
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)), jnp.float32)


def shapes_of(model, size=64):
    image = jnp.zeros((1, size, size, 3))
    return jax.eval_shape(lambda key, x: model.init_with_output(key, x), jax.random.key(0), image)


PUBLISHED = {
    "densenet121": 7_978_856,
    "efficientnet_lite0": 4_652_008,
    "regnet_y_32gf": 145_046_770,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "vgg19_bn": 143_678_248,
    "vit_l_32": 306_535_400,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameters_are_as_many_as_published(name, count):
    _, variables = shapes_of(ENCODERS[name](embedding_dim=1000), size=224)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def test_widths_and_depths_of_a_regnet_are_quantised_as_in_the_paper():
    """Equations 2 to 4 of Radosavovic et al. 2020, and widths that a group divides (their appendix)."""
    model = ENCODERS["regnet_y_32gf"]()
    wanted = 232 + 115.89 * np.arange(20)
    steps = np.round(np.log(wanted / 232) / np.log(2.53))
    quantised = np.round(232 * 2.53**steps / 8) * 8
    widths, layers = np.unique(quantised, return_counts=True)
    assert model.layers == tuple(layers)
    assert model.widths == tuple(np.round(widths / model.group_width) * model.group_width)


@pytest.mark.parametrize("name", ENCODERS)
def test_stages_are_named_in_order_and_own_all_parameters(name):
    model = ENCODERS[name](embedding_dim=7)
    (z, stages), variables = shapes_of(model)
    assert z.shape == (1, 7) and z.dtype == jnp.float32
    assert {*stages, "head"} == set(model.stage_names)
    assert set(variables["params"]) == set(model.stage_names)
    heights = [stages[stage].shape[1] for stage in model.stage_names[:-1] if stage != "hidden"]
    assert heights == sorted(heights, reverse=True) and heights[-1] >= 2


@cache
def tiny_variables(family):
    """Drawn by numpy: compiling ``init`` with its many random keys takes longer than all the rest."""
    _, shapes = shapes_of(TINY[family](), IMAGES.shape[1])
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        middle, spread = (1.0, 0.1) if path[-1].key in ("scale", "var") else (0.0, 0.3)
        return jnp.asarray(rng.normal(middle, spread, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def step(family, frozen):
    """Gradients and new statistics of one training step."""
    model = TINY[family](frozen_stages=frozen)
    variables = tiny_variables(family)

    @jax.jit
    def run(variables):
        def loss(params):
            (z, _), new = model.apply(
                {**variables, "params": params},
                IMAGES,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(2)},
            )
            return (z**2).sum(), new.get("batch_stats", {})

        return jax.grad(loss, has_aux=True)(variables["params"])

    return model.stage_names, variables.get("batch_stats", {}), *run(variables)


@pytest.mark.parametrize("frozen", [0, 2])
@pytest.mark.parametrize("family", TINY)
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(family, frozen, monkeypatch):
    monkeypatch.setattr(efficientnet, "LITE0", efficientnet.LITE0[:1])
    names, before, gradients, after = step(family, frozen)
    for index, name in enumerate(names):
        # A convolution's bias before BatchNorm has a gradient of zero, but for rounding.
        paths = jax.tree_util.tree_leaves_with_path(gradients[name])
        leaves = [leaf for path, leaf in paths if not (path[-1].key == "bias" and "conv" in path[-2].key)]
        assert all((leaf == 0).all() for leaf in leaves) == (index < frozen), name
        assert all(bool((leaf != 0).any()) for leaf in leaves) == (index >= frozen), name
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), before.get(name, {}), after.get(name, {}))
        assert all(went == (index >= frozen) for went in jax.tree.leaves(moved)), name


@pytest.mark.parametrize("frozen", [-1, 4])
def test_the_head_cannot_be_frozen(frozen):
    with pytest.raises(ValueError, match="stem, block1, block2, head"):
        tiny_densenet(frozen_stages=frozen).init(jax.random.key(0), IMAGES)


def train_forward(model, images, seed=0):
    """((embeddings, stages), new statistics), compiled: faster than one operation at a time."""

    @jax.jit
    def run(variables, images, key):
        return model.apply(variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": key})

    return run(tiny_variables("densenet"), images, jax.random.key(seed))


def test_bfloat16_computes_in_it_and_keeps_float32_outside():
    (z, stages), new = train_forward(tiny_densenet(dtype=jnp.bfloat16), IMAGES)
    assert z.dtype == jnp.float32 and {x.dtype for x in stages.values()} == {jnp.dtype(jnp.bfloat16)}
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype(jnp.float32)}
    _, variables = shapes_of(tiny_densenet(dtype=jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    (exact, _), _ = train_forward(tiny_densenet(), IMAGES)
    assert 0 < jnp.abs(z - exact).max() < 0.05 * jnp.abs(exact).max()


@pytest.mark.parametrize("family", ["regnet", "resnext", "vgg", "vit"])
def test_other_families_compute_in_bfloat16_too(family):
    (z, stages), variables = shapes_of(TINY[family](dtype=jnp.bfloat16), IMAGES.shape[1])
    assert z.dtype == jnp.float32 and {x.dtype for x in stages.values()} == {jnp.dtype(jnp.bfloat16)}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_a_batch_over_devices_gives_the_embeddings_of_the_whole_batch():
    model = partial(tiny_densenet, dropout=0.0)
    (whole, _), _ = train_forward(model(), IMAGES)

    @jax.jit
    @partial(jax.vmap, axis_name="device")
    def embed(images):
        return model(axis_name="device").apply(tiny_variables("densenet"), images, train=True, mutable=["batch_stats"])

    (parts, _), _ = embed(IMAGES.reshape(2, 2, 16, 16, 3))
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, atol=1e-4)
    (half, _), _ = train_forward(model(), IMAGES[:2])
    assert not np.allclose(half, whole[:2], atol=1e-2)


def test_evaluation_is_the_same_for_an_image_alone_and_in_a_batch():
    apply = jax.jit(partial(tiny_densenet(axis_name="device").apply, tiny_variables("densenet")))
    np.testing.assert_allclose(apply(IMAGES)[0][1:2], apply(IMAGES[1:2])[0], rtol=1e-4, atol=1e-5)


def test_dropout_follows_its_key_in_training_alone():
    first, again, other = (train_forward(tiny_densenet(dropout=0.5), IMAGES, seed)[0][0] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("first", [1, 2])
def test_leaving_out_stages_goes_on_from_what_they_returned(first):
    def embed(model, images):
        return jax.jit(model.apply)(tiny_variables("densenet"), images)

    z, stages = embed(tiny_densenet(), IMAGES)
    model = tiny_densenet(first_stage=first)
    again, later = embed(model, stages[model.stage_names[first - 1]])
    assert set(later) == set(model.stage_names[first:-1])
    np.testing.assert_allclose(again, z, rtol=1e-4, atol=1e-5)


def test_an_embedding_of_size_zero_is_the_pooled_features():
    model = tiny_densenet(embedding_dim=0)
    z, stages = jax.jit(model.apply)(tiny_variables("densenet"), IMAGES)
    np.testing.assert_allclose(z, np.asarray(stages["block2"]).mean((1, 2)), rtol=1e-5)


def test_a_vgg_without_an_embedding_layer_gives_its_hidden_features():
    z, stages = jax.jit(TINY["vgg"](embedding_dim=0).apply)(tiny_variables("vgg"), IMAGES)
    assert z.shape == (4, 12)
    np.testing.assert_array_equal(z, np.asarray(stages["hidden"])[:, 0, 0])


def test_a_transformer_without_an_embedding_layer_gives_its_class_token():
    z, stages = jax.jit(TINY["vit"](embedding_dim=0).apply)(tiny_variables("vit"), IMAGES)
    assert stages["block2"].shape == (4, 1 + 4 * 4, 12)
    np.testing.assert_array_equal(z, np.asarray(stages["block2"])[:, 0])


def test_standardised_tokens_and_their_gradient_are_those_of_the_plain_formula():
    def plain(x):
        return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)

    with jax.enable_x64(True):
        x, ct = (jnp.asarray(np.random.default_rng(seed).normal(3, 1e-3, (2, 3, 5))) for seed in (0, 1))
        (ours, back), (expected, expected_back) = jax.vjp(standardise, x), jax.vjp(plain, x)
        np.testing.assert_allclose(ours, expected, rtol=1e-9)
        np.testing.assert_allclose(*back(ct), *expected_back(ct), rtol=1e-7)


def test_images_that_cannot_be_cut_into_patches_are_refused():
    with pytest.raises(InputError, match="64 x 50 px cannot be cut into patches of 4 px"):
        jax.eval_shape(TINY["vit"]().init, jax.random.key(0), jnp.zeros((1, 64, 50, 3)))


@pytest.mark.parametrize(("size", "cells"), [((7, 7), 7), ((2, 3), 7), ((14, 9), 7), ((15, 5), 3), ((1, 4), 3)])
def test_adaptive_means_are_a_loop_over_torchs_cells(size, cells):
    """Cell i of n over H rows: floor(i H / n) to ceil((i + 1) H / n), of torch's ``adaptive_avg_pool2d``."""
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    parts = [[slice(i * n // cells, -((-(i + 1) * n) // cells)) for i in range(cells)] for n in size]
    means = [[x[:, rows, columns].mean((1, 2)) for columns in parts[1]] for rows in parts[0]]
    np.testing.assert_allclose(adaptive_mean(jnp.asarray(x), cells), np.array(means).transpose(2, 0, 1, 3), atol=1e-6)


def test_dropout_over_devices_is_that_of_one_device():
    head, x = partial(Head, features=0, dropout=0.5), jnp.ones((4, 1, 1, 50))

    def drop(x, axis_name=None):
        return head(axis_name=axis_name).apply({}, x, True, rngs={"dropout": jax.random.key(0)})

    parts = jax.vmap(partial(drop, axis_name="device"), axis_name="device")(x.reshape(2, 2, 1, 1, 50))
    np.testing.assert_array_equal(parts.reshape(4, 50), drop(x))
    assert set(np.unique(drop(x))) == {0.0, 2.0}
