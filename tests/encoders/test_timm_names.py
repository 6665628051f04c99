"""What timm calls the arrays of torchvision's networks, written down a second time, and timm itself where it is."""

import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from smrjax.encoders import ENCODERS, load_torch_weights, torch_weights
from smrjax.encoders.torch_weights import convert
from smrjax.errors import InputError
from tests.encoders.variables import assert_same, fresh
from tests.encoders.weights import make_images, make_state, shapes_of, state_of

REGNET = [
    (r"^stem\.0", "stem.conv"),
    (r"^stem\.1", "stem.bn"),
    (r"^trunk_output\.block(\d)\.block\d-(\d+)", lambda m: f"s{m[1]}.b{int(m[2]) + 1}"),
    (r"\.f\.([abc])\.0", lambda m: f".conv{' abc'.index(m[1])}.conv"),
    (r"\.f\.([abc])\.1", lambda m: f".conv{' abc'.index(m[1])}.bn"),
    (r"\.f\.se", ".se"),
    (r"\.proj\.0", ".downsample.conv"),
    (r"\.proj\.1", ".downsample.bn"),
    (r"^fc", "head.fc"),
]
VIT = [
    (r"^conv_proj", "patch_embed.proj"),
    (r"^class_token", "cls_token"),
    (r"^encoder\.pos_embedding", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_", "blocks."),
    (r"\.ln_", ".norm"),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj", ".attn.proj"),
    (r"\.mlp\.0", ".mlp.fc1"),
    (r"\.mlp\.3", ".mlp.fc2"),
    (r"^encoder\.ln", "norm"),
    (r"^heads\.head", "head"),
]


def renamed(state, table):
    """The same arrays under other names, each of which comes from one rule at least."""
    result = {}
    for name, array in state.items():
        new = name
        for pattern, replacement in table:
            new = re.sub(pattern, replacement, new)
        assert new != name
        result[new] = array
    return result


def test_a_vgg_of_timm_keeps_its_linear_layers_as_convolutions():
    state = state_of("vgg_tiny")
    theirs = {
        "classifier.0": ("pre_logits.fc1", 3),
        "classifier.3": ("pre_logits.fc2", 1),
        "classifier.6": ("head.fc", 1),
    }
    timm = {}
    for key, value in state.items():
        module, _, array = key.rpartition(".")
        name, size = theirs.get(module, (module, 1))
        turned = value.reshape(len(value), -1, size, size) if name != module and array == "weight" else value
        timm[f"{name}.{array}"] = turned
    variables = fresh("vgg_tiny")
    assert_same(convert(timm, "vgg19_bn", variables), convert(state, "vgg19_bn", variables))


@pytest.mark.parametrize("name", ["regnet_tiny", "regnet_y_32gf"])
def test_a_regnet_of_timm(monkeypatch, name):
    # A large array is one number spread out, which takes no memory, and stays a view.
    monkeypatch.setattr(torch_weights, "jnp", np)
    shapes = shapes_of(name)
    state = {k: np.broadcast_to(np.float32(i), s) for i, (k, s) in enumerate(shapes.items(), start=1)}
    timm, variables = renamed(state, REGNET), fresh(name)
    assert {"stem.bn.running_var", "s1.b1.se.fc1.bias", "s2.b2.conv3.conv.weight", "head.fc.weight"} <= timm.keys()
    assert_same(convert(timm, "regnet_y_32gf", variables), convert(state, "regnet_y_32gf", variables))


def test_a_transformer_of_timm_but_for_its_patches():
    state, variables = state_of("vit_tiny"), fresh("vit_tiny", 44)
    timm = renamed(state, VIT)
    assert {"cls_token", "blocks.0.attn.qkv.bias", "blocks.2.mlp.fc2.weight", "norm.bias", "head.bias"} <= timm.keys()
    theirs, ours = (flatten_dict(convert(s, "vit_l_32", variables)) for s in (timm, state))
    different = {path for path in ours if (theirs[path] != ours[path]).any()}
    assert different == {("params", "stem", "patches", leaf) for leaf in ("kernel", "bias")}


def test_patches_of_timm_see_colours_from_minus_one_to_one():
    """Float64 by hand: the plain linear layer on patches of 2 x / 255 - 1, a class token before them."""
    timm = renamed(state_of("vit_tiny"), VIT)
    variables, images = convert(timm, "vit_l_32", fresh("vit_tiny")), make_images((64, 64))
    _, stages = jax.jit(ENCODERS["vit_tiny"]().apply)(variables, images)
    patches = (2 * images.astype(np.float64) / 255 - 1).reshape(2, 16, 4, 16, 4, 3)
    seen = np.einsum("bhpwqc,ocpq->bhwo", patches, timm["patch_embed.proj.weight"]) + timm["patch_embed.proj.bias"]
    expected = seen.reshape(2, 256, -1) + timm["pos_embed"][:, 1:]
    np.testing.assert_allclose(stages["stem"][:, 1:], expected, atol=1e-5)


def test_a_layer_that_was_there_for_training_alone_is_left_out():
    """The paper takes off the whole prediction head, which has a hidden layer after training on ImageNet-21k."""
    timm, variables = renamed(state_of("vit_tiny"), VIT), fresh("vit_tiny")
    more = timm | {"pre_logits.fc.weight": np.ones((12, 12)), "pre_logits.fc.bias": np.ones(12)}
    assert_same(convert(more, "vit_l_32", variables), convert(timm, "vit_l_32", variables))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("patch_embed.proj.bias"), r"missing: patch_embed\.proj\.bias\)"),
        (
            lambda s: s.update({"fc_norm.weight": s.pop("norm.weight")}),
            r"missing: norm.weight; left over: fc_norm\.weight",
        ),
        (lambda s: s.update({"blocks.1.ls1.gamma": np.ones(12)}), r"left over: blocks\.1\.ls1\.gamma\)"),
        (lambda s: s.update({"patch_embed.proj.weight": np.ones((12, 4, 4, 4))}), r"proj\.weight is \(64, 12\)"),
    ],
)
def test_another_transformer_of_timm_is_named_by_what_differs(change, said):
    timm = renamed(state_of("vit_tiny"), VIT)
    change(timm)
    with pytest.raises(InputError, match=said):
        convert(timm, "vit_l_32", fresh("vit_tiny"))


LAYERS, WIDTHS = (1, 1, 2, 2), (8, 16, 32, 64)


def networks_of_timm():
    """Small ones of both kinds: name, network, colours that it sees, and the same one of ours."""
    from timm.models import get_pretrained_cfg, regnet, vision_transformer

    # 8 and 12 more a layer, doubled where the logarithm rounds up: the widths above.
    small = regnet.RegNetCfg(depth=6, w0=8, wa=12.0, wm=2.0, group_size=8, se_ratio=0.25, stem_width=16)
    yield (
        "regnet_y_32gf",
        regnet.RegNet(small),
        get_pretrained_cfg("regnety_320.tv2_in1k"),
        ENCODERS["regnet_tiny"](layers=LAYERS, widths=WIDTHS),
    )
    small = {"img_size": 64, "patch_size": 4, "embed_dim": 12, "depth": 3, "num_heads": 3, "mlp_ratio": 20 / 12}
    yield (
        "vit_l_32",
        vision_transformer.VisionTransformer(**small),
        get_pretrained_cfg("vit_large_patch32_384.orig_in21k_ft_in1k"),
        ENCODERS["vit_tiny"](),
    )


def test_answers_are_those_of_timm_here(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    for name, network, config, model in networks_of_timm():
        state = make_state({k: tuple(v.shape) for k, v in network.state_dict().items()})
        network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
        torch.save(network.state_dict(), tmp_path / "w.pth")
        images = make_images((64, 64))
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (config.mean, config.std))
        with torch.no_grad():
            seen = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
            expected = network.eval().forward_features(seen).numpy()
        shapes = jax.eval_shape(model.init, jax.random.key(0), images)
        zeros = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
        _, stages = jax.jit(model.apply)(load_torch_weights(tmp_path / "w.pth", name, zeros), images)
        ours = np.asarray(stages[model.stage_names[-2]])
        expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
        assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max(), name
