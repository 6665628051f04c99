"""``--init FILE`` with every kind of file that is none of this network's: one line is said, nothing in it is run."""

import io
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import smr
from experiments.runtime import leave
from tests.encoders.pickles import START, STOP, Attack, named, table, tensor, write_pickles, write_zip
from tests.encoders.weights import shapes_of

# A few hundred cells leave the rarest class out of a fold, of which the data room warns.
pytestmark = pytest.mark.filterwarnings("ignore:classes without a cell")

FEW = ["--count", "360", "--image-size", "16", "--folds", "3"]
ONE = {"7": np.zeros(1, np.float32)}


def complaint(capsys, monkeypatch, tmp_path, *words):
    """The one line that a command says which has to fail with exit code 2, leaving no run behind."""
    monkeypatch.setattr(sys, "argv", ["smr", *FEW, *words, "--out", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as end:
        leave(smr.main)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert not list((tmp_path / "runs").glob("smr/*"))
    assert lines[-1].startswith("error: ")
    # Before it a bar may have shown how cells are rendered.
    assert not [line for line in lines[:-1] if "rror" in line or "Traceback" in line]
    return lines[-1]


def table_of(name):
    """A state dict of a network's names and shapes, all views of a single number, as torch's ``expand`` makes them."""
    return table(*((key, tensor("7", shape, (0,) * len(shape), 1)) for key, shape in shapes_of(name).items()))


def picture():
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "PNG")
    return file.getvalue()


def network(cls="torchvision.models.resnet.ResNet"):
    module, _, name = cls.rpartition(".")
    return START + named(module, name) + b")\x81" + STOP


CONTENTS = {"a text": b"<html>not found</html>\n" * 9, "an image": picture(), "nothing": b""}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin"])
@pytest.mark.parametrize("content", CONTENTS)
def test_files_of_another_kind(content, suffix, capsys, monkeypatch, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(CONTENTS[content])
    said = complaint(capsys, monkeypatch, tmp_path, "--encoder", "densenet_tiny", "--init", str(path))
    assert f"{path}: no weights could be read" in said


@pytest.mark.parametrize("write", [write_zip, write_pickles, "safetensors"])
def test_a_download_that_was_cut_off(write, capsys, monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    if write == "safetensors":
        path = path.with_suffix(".safetensors")
        pytest.importorskip("safetensors.numpy").save_file({"w": np.zeros(99)}, path)
    else:
        write(path, table(("w", tensor("7", (1000,), (1,), 1000))), {"7": np.zeros(1000, np.float32)})
    path.write_bytes(path.read_bytes()[:-200])
    said = complaint(capsys, monkeypatch, tmp_path, "--encoder", "densenet_tiny", "--init", str(path))
    assert f"{path}: no weights could be read" in said and ("cut short" in said or "is it whole?" in said)


@pytest.mark.parametrize("write", [write_zip, write_pickles])
@pytest.mark.parametrize("key", ["", "state_dict"])
def test_a_file_that_tries_to_run_code(write, key, capsys, monkeypatch, tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "weights.pth"
    write(path, pickle.dumps({key: Attack(victim)} if key else Attack(victim), 2), {})
    said = complaint(capsys, monkeypatch, tmp_path, "--encoder", "densenet_tiny", "--init", str(path))
    assert f"{path}: no weights could be read: it asks for" in said and ".open, which is no part of" in said
    assert not victim.exists()


@pytest.mark.parametrize("write", [write_zip, write_pickles])
def test_a_whole_network_instead_of_its_weights(write, capsys, monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    write(path, network(), {})
    said = complaint(capsys, monkeypatch, tmp_path, "--encoder", "densenet_tiny", "--init", str(path))
    assert "asks for torchvision.models.resnet.ResNet" in said and "model.state_dict()" in said


@pytest.mark.parametrize(
    ("other", "differs", "most"),
    [
        ("densenet121", "missing: ", "left over: features.conv0.weight"),
        ("vit_l_32", "missing: ", "left over: class_token"),
        # All names of a ResNet-18 are names of a ResNet-50, too.
        ("resnet50", "left over: layer1.0.conv3.weight", "of another shape: layer"),
    ],
)
def test_weights_of_another_network(other, differs, most, capsys, monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    write_zip(path, table_of(other), ONE)
    said = complaint(capsys, monkeypatch, tmp_path, "--encoder", "resnet18", "--init", str(path))
    assert f"{path}: these are not the weights of resnet18" in said
    assert differs in said and most in said


def test_weights_for_a_network_of_our_own(capsys, monkeypatch, tmp_path):
    write_zip(tmp_path / "weights.pth", table_of("resnet_tiny"), ONE)
    words = ["--encoder", "densenet_tiny", "--init", str(tmp_path / "weights.pth")]
    assert "densenet_tiny has no torch counterpart" in complaint(capsys, monkeypatch, tmp_path, *words)
