"""The reader meets files written here opcode by opcode, so that torch is not needed and malice can be exact."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from smrjax.encoders.pth import read_pth
from smrjax.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
START, STOP = b"\x80\x02", b"."


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def tupled(*items):
    return b"(" + b"".join(items) + b"t"


def storage(key, size, kind="FloatStorage"):
    return tupled(text("storage"), named("torch", kind), text(key), text("cpu"), number(size), b"N") + b"Q"


def tensor(key, shape, strides, size, offset=0, kind="FloatStorage", after=b""):
    arguments = tupled(
        storage(key, size, kind),
        number(offset),
        tupled(*map(number, shape)),
        tupled(*map(number, strides)),
        b"\x89",
        named("collections", "OrderedDict") + b")R",
    )
    return named("torch._utils", "_rebuild_tensor_v2") + arguments + b"R" + after


def table(*items):
    pairs = b"".join(text(name) + value for name, value in items)
    return START + named("collections", "OrderedDict") + b")R(" + pairs + b"u" + b"}" + b"b" + STOP


def write_zip(path, body, arrays):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/byteorder", "little")
        for key, array in arrays.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())


def write_pickles(path, body, arrays):
    head = [pickle.dumps(x, 2) for x in (MAGIC, 1001, {"little_endian": True})]
    data = b"".join(struct.pack("<q", a.size) + a.tobytes() for a in arrays.values())
    path.write_bytes(b"".join(head) + body + pickle.dumps(list(arrays), 2) + data)


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


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@WRITERS
def test_runs_nothing(tmp_path, write):
    victim = tmp_path / "victim"
    attack = pickle.dumps({"w": Attack(victim)}, 2)
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
    with pytest.raises(InputError, match="not one that torch wrote"):
        read_pth(tmp_path / "w.pth")


def test_a_wrapped_table_is_refused(tmp_path):
    write_zip(tmp_path / "w.pth", pickle.dumps({"epoch": 3}, 2), {})
    with pytest.raises(InputError, match="other than a flat table"):
        read_pth(tmp_path / "w.pth")


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_pth(tmp_path / "none.pth")
