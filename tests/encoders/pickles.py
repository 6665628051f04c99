"""Files of torch's written opcode by opcode, so that torch is not needed and malice can be exact."""

import pickle
import struct
import zipfile

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


def ordered(*items):
    """An OrderedDict with an attribute or none, as state dicts are."""
    pairs = b"".join(text(name) + value for name, value in items)
    return named("collections", "OrderedDict") + b")R(" + pairs + b"u" + b"}" + b"b"


def table(*items):
    return START + ordered(*items) + STOP


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


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
