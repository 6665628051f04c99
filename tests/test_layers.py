"""Imports point one way: rooms, method, train, predict and report, experiments."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What a room may import of smrjax besides itself, `errors` and `files`; everything else is an arrow that points back.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "taxonomy": set(),
    "curves": set(),
    "targets": set(),
    "guides": set(),
    "encoders": set(),
    "data": set(),
    "evaluate": set(),
    "classical": set(),
    "losses": {"curves"},
    "method": {"taxonomy", "curves", "targets", "losses", "guides"},
    "train": {"taxonomy", "curves", "targets", "losses", "guides", "encoders", "data", "evaluate", "method"},
    "explain": {"curves", "evaluate", "method", "train"},
    "report": {"taxonomy"},
    "predict": {"taxonomy", "curves", "encoders", "data", "evaluate", "method", "train"},
}

# Third-party packages and the only places that may import them.
HOMES = {
    "sklearn": {"smrjax/evaluate", "smrjax/classical", "smrjax/data/folds.py"},
    "skimage": {"smrjax/classical"},
    "distributed": {
        "experiments/cluster.py",
        *(f"experiments/sweep_{part}.py" for part in ("client", "queue", "worker")),
    },
    "networkx": {"smrjax/guides"},
    "igraph": {"smrjax/guides"},
    "umap": {"smrjax/guides", "smrjax/report/projection.py"},
    "tensorflow_datasets": {"smrjax/data"},
    "h5py": {"smrjax/data"},
    "matplotlib": {"smrjax/report"},
    # States, and the barrier at which processes wait.
    "orbax": {"smrjax/train/state.py", "smrjax/train/processes.py"},
    "jax2onnx": {"smrjax/predict/onnx.py"},
    "onnxruntime": {"smrjax/predict/onnx.py"},
}

SOURCES = sorted(path.relative_to(ROOT) for top in ("smrjax", "experiments") for path in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> list[str]:
    """Every module that a file imports anywhere, at its top or inside a function."""
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_point_one_way(path):
    own = path.parts[1].removesuffix(".py")
    for module in imports(path):
        if module.startswith("experiments"):
            assert path.parts[0] == "experiments", f"{path} imports {module}"
        if path.parts[0] == "smrjax" and own != "__init__" and module.startswith("smrjax."):
            assert room(module) in ALLOWED[own] | {own, "errors", "files", "__version__"}, f"{path} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_packages_stay_in_their_rooms(path):
    for module in imports(path):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert any(str(path).startswith(home) for home in homes), f"{path} imports {module}"


def test_pmap_is_said_in_one_file():
    users = [str(p) for p in SOURCES if "pmap(" in (ROOT / p).read_text()]
    assert users == ["smrjax/train/parallel.py"]
