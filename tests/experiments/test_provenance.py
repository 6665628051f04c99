"""What a summary says of the code it was made by, against git itself."""

import subprocess
from pathlib import Path

import pytest

from experiments.provenance import device, git_state, versions


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *names, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "smrjax").mkdir()
    (tmp_path / "smrjax" / "a.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "a")
    return tmp_path


def test_commit_and_changes_since(checkout):
    commit = git(checkout, "rev-parse", "HEAD").strip()
    assert git_state(checkout) == {"commit": commit, "changed": False}
    # Runs and notes beside the code do not change it; a new file of code does.
    (checkout / "notes.txt").write_text("a")
    assert git_state(checkout) == {"commit": commit, "changed": False}
    (checkout / "smrjax" / "b.py").write_text("b = 1\n")
    assert git_state(checkout) == {"commit": commit, "changed": True}
    (checkout / "smrjax" / "b.py").unlink()
    (checkout / "smrjax" / "a.py").write_text("a = 2\n")
    assert git_state(checkout) == {"commit": commit, "changed": True}


def test_a_repository_around_an_installed_package_is_not_its_own(checkout):
    (checkout / "env" / "smrjax").mkdir(parents=True)
    assert git_state(checkout / "env") is None


def test_a_hooks_repository_is_not_taken_for_it(checkout, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    found = git_state(checkout)
    monkeypatch.undo()
    assert found == {"commit": git(checkout, "rev-parse", "HEAD").strip(), "changed": False}


@pytest.mark.parametrize("fault", ["no git", "no commit", "damaged"])
def test_it_never_fails(fault, checkout, monkeypatch):
    if fault == "no git":
        monkeypatch.setenv("PATH", "")
    elif fault == "no commit":
        git(checkout, "update-ref", "-d", "HEAD")
    else:
        (checkout / ".git" / "HEAD").write_text("?")
    assert git_state(checkout) is None


def test_versions_and_device():
    import jax
    import numpy
    import orbax.checkpoint
    import PIL

    assert versions()["numpy"] == numpy.__version__ and versions()["jax"] == jax.__version__
    assert versions()["pillow"] == PIL.__version__
    assert versions()["orbax-checkpoint"] == orbax.checkpoint.__version__
    found = device()
    assert (found["count"], found["processes"]) == (4, 1)
    # The processor by its name, which JAX does not know.
    name, _, kind = found["kind"].rpartition(" ")
    assert name and kind == f"({jax.devices()[0].device_kind})"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and "model name" in cpuinfo.read_text():
        assert f": {name}\n" in cpuinfo.read_text()
