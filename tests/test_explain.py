"""Heat maps of whole networks, beside those of pytorch-grad-cam 1.5.7 (stored by tests/encoders/make_gradcam.py)."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from smrjax.curves import Curve
from smrjax.encoders import ENCODERS
from smrjax.encoders.torch_weights import convert
from smrjax.errors import InputError
from smrjax.evaluate import gradcam, rescale, upsample
from smrjax.evaluate.svm_model import from_estimator
from smrjax.explain import (
    _maps,
    class_score,
    explain,
    map_sizes,
    maturity,
    opposite,
    similarity,
    svm_score,
    usual_stage,
)
from smrjax.losses import tsne
from smrjax.train.step import unit
from tests.encoders.test_torch_weights import fresh, shapes_of
from tests.encoders.weights import GRADCAM, GRADCAM_CLASSES, TINY, make_images, make_state, size_of

RNG = np.random.default_rng(0)
HEADS = {"resnet_tiny": "fc", "vit_tiny": "heads.head"}


@cache
def golden():
    return dict(np.load(GRADCAM))


def parts_of(name, seed=0):
    """A reference network here: encoder without an embedding layer, its variables, its own last layer as the head."""
    state = make_state(shapes_of(name), seed)
    head = {"kernel": state[f"{HEADS[name]}.weight"].T, "bias": state[f"{HEADS[name]}.bias"]}
    return ENCODERS[name](embedding_dim=0), convert(state, TINY[name], fresh(name)), head


def check_maps(name, expected, seed=0):
    model, variables, head = parts_of(name, seed)
    images, target = make_images(size_of(name)), class_score(head, GRADCAM_CLASSES)
    _, stages = jax.jit(model.apply)(variables, images)
    for number, stage in enumerate(("block1", "block2"), start=2):
        rest, theirs = model.clone(first_stage=number), expected[f"{name}/{stage}"]
        ours = jax.jit(partial(gradcam, lambda x, rest=rest: target(rest.apply(variables, x)[0])))(stages[stage])
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.max())


@pytest.mark.parametrize("name", HEADS)
def test_maps_are_those_of_pytorch_grad_cam(name):
    assert golden()[f"{name}/block1"].max() > 0
    check_maps(name, golden())


@pytest.mark.parametrize("name", HEADS)
def test_maps_are_those_of_pytorch_grad_cam_here(name):
    pytest.importorskip("pytorch_grad_cam")
    from tests.encoders.make_gradcam import maps_of

    check_maps(name, maps_of(name, seed=1), seed=1)


@pytest.mark.parametrize(
    ("name", "stage"), [("resnet_tiny", "block2"), ("resnet_tiny", "block1"), ("vit_tiny", "block1")]
)
def test_images_become_the_maps_of_pytorch_grad_cam(name, stage):
    """That package stretches each map from its smallest to its largest value before it is resized, and after."""
    model, variables, head = parts_of(name)
    images = make_images(size_of(name)).astype(np.uint8)
    exact = images.astype(np.float32)
    maps = explain(model, variables, class_score(head, GRADCAM_CLASSES), stage=stage, normalize=False)
    np.testing.assert_array_equal(maps(images), maps(exact))
    found = maps(make_images(size_of(name)))
    key = f"{name}/{stage}"
    small, full = golden()[key], golden()[f"{key}/full"]
    assert found.shape == exact.shape[:3]
    np.testing.assert_allclose(found, upsample(jnp.asarray(small), exact.shape[1:3]), atol=1e-4 * small.max())
    stretched = found - small.min((1, 2), keepdims=True)
    stretched -= stretched.min((1, 2), keepdims=True)
    np.testing.assert_allclose(rescale(stretched)[:, ::3, ::3], full, atol=1e-3)


def abstract(name, size=64):
    """Encoder, shapes of its variables and of a cell's image."""
    model, image = ENCODERS[name](embedding_dim=5), jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
    return model, variables, image


def shape_at(model, variables, image, stage=None):
    def maps_of(variables, image):
        return explain(model, variables, lambda z: z[:, 0], stage=stage)(image)

    return jax.eval_shape(maps_of, variables, image).shape


SHOWN = {
    "densenet121": "block4",
    "densenet_small": "block3",
    "densenet_tiny": "block2",
    "efficientnet_lite0": "top",
    "regnet_tiny": "block2",
    "regnet_y_32gf": "block4",
    "resnet18": "block4",
    "resnet50": "block4",
    "resnet152": "block4",
    "resnet_tiny": "block2",
    "resnext50_32x4d": "block4",
    "resnext_tiny": "block2",
    "vgg19_bn": "block5",
    "vgg_tiny": "block2",
    "vit_l_32": "block3",
    "vit_tiny": "block1",
}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_shows_its_last_stage_with_places(name):
    model, variables, image = abstract(name)
    assert next(reversed(map_sizes(model, variables, 64, 64))) == SHOWN[name]
    # At the papers' size that is the one shown, and it has places enough.
    sizes = map_sizes(*abstract(name, 224)[:2], 224, 224)
    if "small" not in name and "tiny" not in name:
        assert usual_stage(sizes) == SHOWN[name] and sizes[SHOWN[name]] == (7, 7)
    # The pass through a large network is the same as through a tiny one of its kind.
    if "tiny" in name or "small" in name or name == "efficientnet_lite0":
        assert shape_at(model, variables, image) == (1, 64, 64)


def test_small_images_show_an_earlier_stage():
    """At 64 px the last maps of the small DenseNet have 4 places a side."""
    sizes = map_sizes(*abstract("densenet_small")[:2], 64, 64)
    assert sizes["block3"] == (4, 4) and min(sizes[usual_stage(sizes)]) >= 6
    assert usual_stage({"stem": (16, 16), "block1": (8, 8), "block2": (7, 6), "block3": (3, 3)}) == "block2"
    assert usual_stage({"stem": (5, 9), "block1": (4, 9)}) == "stem"
    assert usual_stage({}) is None
    small = jnp.asarray(RNG.integers(0, 256, (2, 64, 64, 3), np.uint8))
    variables = ENCODERS["densenet_tiny"](embedding_dim=5).init(jax.random.key(0), small[:1].astype(jnp.float32))
    model = ENCODERS["densenet_tiny"](embedding_dim=5)
    usual = usual_stage(map_sizes(model, variables, 64, 64))
    target = similarity(np.ones(5))
    ours, named = (explain(model, variables, target, stage=stage)(small) for stage in (None, usual))
    np.testing.assert_array_equal(ours, named)


@pytest.mark.parametrize("name", [name for name in ENCODERS if "tiny" in name])
def test_every_stage_with_places_has_a_map(name):
    model, variables, image = abstract(name)
    sizes = map_sizes(model, variables, 64, 64)
    assert list(sizes) == [stage for stage in model.stage_names if stage in sizes]
    left_out = set(model.stage_names) - set(sizes)
    assert left_out == {"head"} | {"vit_tiny": {"block2"}, "vgg_tiny": {"hidden"}}.get(name, set())
    assert {shape_at(model, variables, image, stage) for stage in sizes} == {(1, 64, 64)}


def test_tokens_fill_the_grid_of_an_image_that_is_no_square():
    model = ENCODERS["vit_tiny"]()
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 20, 36, 3)))
    assert map_sizes(model, variables, 20, 36) == {"stem": (5, 9), "block1": (5, 9)}


@pytest.mark.parametrize("stage", ["head", "hidden", "neck"])
def test_stages_without_a_map_are_refused(stage):
    with pytest.raises(InputError, match=f"'{stage}' has no heat map .* 64 x 64 px; choose one of block1, block2$"):
        model, variables, image = abstract("vgg_tiny")
        explain(model, variables, similarity(np.ones(5)), stage=stage)(np.zeros(image.shape))


def test_images_too_small_for_any_map_are_refused():
    with pytest.raises(InputError, match="no stage has a heat map for images of 2 x 2 px: give larger images"):
        model, variables, image = abstract("resnet_tiny", 2)
        explain(model, variables, similarity(np.ones(5)))(np.zeros(image.shape))


def test_neither_frozen_stages_nor_other_cells_nor_other_labels_matter():
    model, variables, head = parts_of("resnet_tiny")
    images = make_images((32, 32), batch=3)
    frozen = model.clone(frozen_stages=2, axis_name="devices")

    def maps(model, labels, images):
        return explain(model, variables, class_score(head, labels), stage="stem", normalize=False)(images)

    expected = maps(model, [3, 700, 9], images)
    assert expected.max((1, 2)).min() > 0
    compiled = _maps._cache_size()
    np.testing.assert_array_equal(maps(frozen, [3, 700, 9], images), expected)
    other = maps(model, [700, 700, 700], images[::-1])
    assert _maps._cache_size() == compiled
    np.testing.assert_allclose(other[1], expected[1], atol=1e-5 * expected.max())
    assert np.abs(other[2] - expected[0]).max() > 1e-2 * expected.max()


def test_a_unit_embedding_has_no_length_to_explain():
    model, variables, _ = parts_of("resnet_tiny")

    def square(z):
        return (z**2).sum(-1)

    long, short = (explain(model, variables, square, normalize=n)(make_images()).max() for n in (False, True))
    assert long > 1e-3 and short < 1e-6 * long


def test_places_for_and_against_balance_where_embeddings_have_length_one():
    """Euler's theorem: what does not change with all features alike has a gradient at right angles to them."""
    features = jnp.asarray(np.abs(RNG.normal(size=(3, 4, 5, 6))))
    head = {"kernel": RNG.normal(size=(6, 2)), "bias": np.ones(2)}
    sums = []
    for target in (class_score(head, 1), opposite(class_score(head, 1))):
        sums.append(gradcam(lambda x, target=target: target(unit(x.mean((1, 2)))), features).sum((1, 2)))
    assert min(sums[0]) > 0.1
    np.testing.assert_allclose(*sums, rtol=1e-4)


def test_maturity_along_a_line_is_linear_also_beyond_its_ends():
    line = Curve(jnp.array([[[1.0, 0.0, 0.0], [1.0, 4.0, 0.0]]]))
    z = jnp.array([[3.0, 1.0, -2.0], [0.0, -2.0, 0.0], [0.0, 6.0, 1.0]])
    target = maturity(line)
    np.testing.assert_allclose(target(z), [0.25, -0.5, 1.5], rtol=1e-6)
    for one, slope in ((target, 0.25), (opposite(target), -0.25)):
        gradient = jax.grad(lambda z, one=one: one(z).sum())(z)
        np.testing.assert_allclose(gradient, [[0, slope, 0]] * 3, atol=1e-7)


def test_maturity_in_a_reduced_space_is_that_of_the_cells_place_in_it():
    z = RNG.normal(size=(4, 6)).astype(np.float32)
    reducer = tsne.init_network(jax.random.key(0), 6)
    place = np.asarray(tsne.embed(reducer, z))
    first, last = place[0], place[1] + 1
    expected = (place - first) @ (last - first) / ((last - first) ** 2).sum()
    target = maturity(Curve(jnp.stack([first, last])[None]), reducer)
    np.testing.assert_allclose(target(z), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_similarity_is_the_cosine(shape):
    z, other = RNG.normal(size=(3, 5)), RNG.normal(size=shape)
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(z, np.broadcast_to(other, (3, 5)), strict=True)
    ]
    np.testing.assert_allclose(similarity(other)(jnp.asarray(z)), cosines, rtol=1e-5)


def test_class_scores_are_logits():
    z, kernel, bias = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 4)), RNG.normal(size=4)
    expected = (z @ kernel + bias)[[0, 1, 2], [3, 0, 3]]
    np.testing.assert_allclose(class_score({"kernel": kernel, "bias": bias}, [3, 0, 3])(z), expected, rtol=1e-5)
    scaled = class_score({"kernel": kernel, "bias": bias, "log_scale": np.log(16.0)}, 2)(z)
    np.testing.assert_allclose(scaled, 16 * (z @ kernel)[:, 2] + bias[2], rtol=1e-5)
    with pytest.raises(ValueError, match="labels run from 0 to 4, but there are 4 classes"):
        class_score({"kernel": kernel, "bias": bias}, [0, 4])


@pytest.mark.parametrize("classes", [(7,), (2, 5), (0, 2, 3, 9)])
def test_svm_scores_are_sums_of_scikit_learns_decisions(classes):
    y = np.repeat(classes, 8)
    x, z = RNG.normal(size=(len(y), 3)) + y[:, None] / 4, RNG.normal(size=(len(classes), 3))
    if len(classes) == 1:
        from smrjax.evaluate.svm_model import constant_model

        np.testing.assert_array_equal(svm_score(constant_model(7, 3), 7)(z), [0])
        return
    machine = SVC(C=2.0, gamma=0.3, decision_function_shape="ovo").fit(x, y)
    pairs = machine.decision_function(z)
    # Of two classes scikit-learn's one value is positive for the second.
    pairs = -pairs[:, None] if pairs.ndim == 1 else pairs
    sums = np.zeros((len(z), len(classes)))
    for pair, (i, j) in enumerate(zip(*np.triu_indices(len(classes), 1), strict=True)):
        sums[:, i] += pairs[:, pair]
        sums[:, j] -= pairs[:, pair]
    svm = from_estimator(machine, x[machine.support_], gamma=0.3)
    np.testing.assert_allclose(svm_score(svm, classes)(jnp.asarray(z)), np.diag(sums), atol=1e-5)
    with pytest.raises(ValueError, match=r"labels \[1\] are none of the machine's"):
        svm_score(svm, [classes[0], 1])
