import pickle
import zipfile

import numpy as np
import pytest

from smrjax.encoders.pth import read_pth
from smrjax.errors import InputError
from tests.encoders.pickles import (
    START,
    STOP,
    Attack,
    named,
    number,
    ordered,
    table,
    tensor,
    text,
    tupled,
    write_pickles,
    write_zip,
)

WRITERS = pytest.mark.parametrize("write", [write_zip, write_pickles])
NUMBERS = np.arange(12, dtype=np.float32)
GOOD = table(("turned", tensor("7", (3, 2), (1, 3), 12, offset=2)), ("n", tensor("8", (), (), 1, kind="LongStorage")))
ARRAYS = {"7": NUMBERS, "8": np.array([41])}


@WRITERS
def test_reads_views_of_storages(tmp_path, write):
    write(tmp_path / "w.pth", GOOD, ARRAYS)
    read = read_pth(tmp_path / "w.pth")
    np.testing.assert_array_equal(read["turned"], [[2, 5], [3, 6], [4, 7]])
    assert read["n"].dtype == np.int64 and read["n"] == 41


@pytest.mark.parametrize("name", ["w", "state_dict", "epoch"])
@WRITERS
def test_runs_nothing(tmp_path, write, name):
    victim = tmp_path / "victim"
    attack = pickle.dumps({"model": {}, name: Attack(victim)}, 2)
    pickle.loads(attack).popitem()[1].close()
    assert victim.exists(), "the attack is a real one"
    victim.unlink()
    write(tmp_path / "w.pth", attack, {})
    with pytest.raises(InputError, match=r"asks for (_?io|builtins|__builtin__)\.open"):
        read_pth(tmp_path / "w.pth")
    assert not victim.exists()


@pytest.mark.parametrize("name", ["torch.load", "numpy.load", "builtins.eval", "torch._utils._rebuild_parameter"])
def test_refuses_whatever_is_not_on_the_list_by_name(tmp_path, name):
    module, _, function = name.rpartition(".")
    write_zip(tmp_path / "w.pth", table(("w", named(module, function) + tupled(text("x")) + b"R")), {})
    with pytest.raises(InputError, match=name):
        read_pth(tmp_path / "w.pth")


BEYOND = {
    "shape": tensor("7", (13,), (1,), 12),
    "offset": tensor("7", (3,), (1,), 12, offset=10),
    "stride": tensor("7", (3,), (6,), 12),
    "negative offset": tensor("7", (3,), (1,), 12, offset=-1),
    "negative stride": tensor("7", (3,), (-1,), 12, offset=5),
    "offset set later": tensor("7", (3,), (1,), 12, after=b"}(" + text("offset") + number(-99999) + b"ub"),
    "other type": tensor("7", (3,), (1,), 12, kind="LongStorage"),
}


@pytest.mark.parametrize("case", BEYOND)
@WRITERS
def test_no_tensor_reaches_memory_that_is_not_its_own(tmp_path, write, case):
    write(tmp_path / "w.pth", table(("w", BEYOND[case])), {"7": NUMBERS})
    with pytest.raises(InputError, match="no weights could be read"):
        read_pth(tmp_path / "w.pth")


@WRITERS
def test_every_cut_is_noticed(tmp_path, write):
    write(tmp_path / "whole.pth", GOOD, ARRAYS)
    whole = (tmp_path / "whole.pth").read_bytes()
    for end in range(0, len(whole), 7):
        (tmp_path / "cut.pth").write_bytes(whole[:end])
        with pytest.raises(InputError, match="no weights could be read") as said:
            read_pth(tmp_path / "cut.pth")
        assert "\n" not in str(said.value)


def test_a_deflated_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", GOOD)
    with pytest.raises(InputError, match="not one that torch.save wrote"):
        read_pth(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model"])
@WRITERS
def test_a_checkpoint_gives_its_state_dict(tmp_path, write, name):
    """As training programs write it: numbers beside it, and an optimizer with tensors of its own."""
    moments = b"}" + text("state") + b"}" + number(0) + ordered(("exp_avg", tensor("7", (12,), (1,), 12))) + b"ss"
    weights = ordered(("w", tensor("7", (2,), (1,), 12, offset=3)))
    body = START + b"}(" + text("epoch") + number(3) + text("optimizer") + moments + text(name) + weights + b"u" + STOP
    write(tmp_path / "w.pth", body, {"7": NUMBERS})
    read = read_pth(tmp_path / "w.pth")
    assert list(read) == ["w"]
    np.testing.assert_array_equal(read["w"], [3, 4])


@pytest.mark.parametrize("held", [{"epoch": 3}, {"model": {"epoch": 3}}, {"ema": {}, "model": 3}, [], None, "w"])
@WRITERS
def test_anything_else_than_a_table_is_refused(tmp_path, write, held):
    write(tmp_path / "w.pth", pickle.dumps(held, 2), {})
    with pytest.raises(InputError, match="other than a flat table"):
        read_pth(tmp_path / "w.pth")


@WRITERS
def test_a_whole_network_is_refused_by_its_class(tmp_path, write):
    """As ``torch.save(model)``: an object of the network's class; before 1.6 with the class's source beside it."""
    network = named("torchvision.models.resnet", "ResNet")
    if write is write_pickles:
        network = tupled(text("module"), network, text("resnet.py"), text("class ResNet: ...")) + b"Q"
    write(tmp_path / "w.pth", START + network + b")\x81}" + text("training") + b"\x88sb" + STOP, {})
    with pytest.raises(InputError, match=r"asks for torchvision\.models\.resnet\.ResNet.*give a state dict as torch"):
        read_pth(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"<html>not found</html>", "no file of torch's"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "no file of torch's"),
        (pickle.dumps({"w": 1.0}, 2), "does not begin like a file of torch's"),
        (b"PK\x03\x04" + bytes(99), "cut short"),
        (b"\x80", "damaged or cut short"),
    ],
)
def test_files_that_torch_did_not_write(tmp_path, content, said):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_pth(tmp_path / "w.pth")


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_pth(tmp_path / "none.pth")
