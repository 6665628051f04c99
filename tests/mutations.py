"""Files as accidents and malice leave them: bytes that changed, and values that are not what they should be."""

import csv
import io
import json

import numpy as np
from hypothesis import strategies as st

#: What is put into files of words: marks of encodings, ends, numbers beyond all sizes, nesting without end.
PIECES = [
    *(
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x80",
        b"\r",
        b"\n\n",
        b",",
        b";",
        b'"',
        b"'",
        b"\\",
        b"[",
        b"]",
        b"{",
        b"}",
    ),
    *(
        b"=",
        b"#",
        b"1e999",
        b"-1",
        b"NaN",
        b"null",
        b"true",
        b"\\ud800",
        b"\\u0000",
        "\u202e".encode(),
        "\u2028".encode(),
    ),
    *(b"9" * 400, b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"a.a" * 200, b"x" * 140_000),
]

#: Any value of JSON, the odd ones above all.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.sampled_from([2**31, 2**63, -(10**30), 10**400, float("nan"), float("inf"), -0.0, 1e-300, 1e300])
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["\0", "\ud800", "../../x", "/dev/zero", "=cmd()", "<script>", "x" * 5000, "~none/x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def changed_bytes(draw, data):
    """The bytes of a file after one to three changes."""
    for _ in range(draw(st.integers(1, 3))):
        a, b = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        way = draw(st.sampled_from(["flip", "cut", "end", "repeat", "put", "swap"]))
        if way == "flip" and data:
            at = min(a, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif way == "cut":
            data = data[:a] + data[b:]
        elif way == "end":
            data = data[:a]
        elif way == "repeat":
            data = data[:b] + data[a:b] * draw(st.integers(1, 3)) + data[b:]
        elif way == "put":
            data = data[:a] + draw(st.sampled_from(PIECES)) + data[a:]
        else:
            data = data[b:] + data[a:b] + data[:a]
    return data


@st.composite
def changed_json(draw, content):
    """The text of a JSON value, some of whose parts are gone, or others."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 2))):
        holder, key, place = None, None, content
        while isinstance(place, (dict, list)) and place and draw(st.integers(0, 3)):
            key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            holder, place = place, place[key]
        if holder is None:
            content = draw(VALUES) if draw(st.integers(0, 3)) == 0 else content
        elif draw(st.integers(0, 3)) == 0:
            del holder[key]
        else:
            holder[key] = draw(VALUES)
    return json.dumps(content).encode()


#: What is put into a table in the place of a number, a name or a word.
CELLS = st.sampled_from(
    ["", "nan", "inf", "-inf", "1e300", "1e999", "-3", "0", "2", "true", "\0", "/dev/zero", "=1", "x" * 3000, "9" * 400]
) | st.text(max_size=4)


@st.composite
def changed_table(draw, data):
    """The bytes of a table in CSV of which one to three cells are others."""
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


#: Arrays of another type, where these are of numbers.
TYPES = (str, bool, int, float, complex, np.float16)
#: Arrays of another form.
FORMS = (
    *(lambda x: x[:0], lambda x: x[:-1], lambda x: x[:1], lambda x: np.concatenate([x, x])),
    *(lambda x: x[None], lambda x: x.reshape(-1), lambda x: x.T, lambda x: x.reshape(-1)[0]),
)
NUMBERS = [-1, 0, 1, 3, 100]


@st.composite
def changed_arrays(draw, data):
    """The bytes of an archive of arrays, one or two of which are gone, or hold other numbers, types or forms."""
    with np.load(io.BytesIO(data)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(arrays)))
        x, way = arrays[name], draw(st.sampled_from(["gone", "number", "number", "type", "form"]))
        if way == "gone" and len(arrays) > 1:
            del arrays[name]
        elif way == "number" and x.size and x.dtype.kind in "if":
            odd = [np.nan, np.inf, -np.inf, 1e300, 1e30, 1e-300] if x.dtype.kind == "f" else []
            x = x.copy()
            x.reshape(-1)[slice(None) if draw(st.booleans()) else draw(st.integers(0, x.size - 1))] = draw(
                st.sampled_from(NUMBERS + odd)
            )
            arrays[name] = x
        elif way == "type" and x.dtype.kind in "if":
            with np.errstate(all="ignore"):
                arrays[name] = np.nan_to_num(x).astype(draw(st.sampled_from(TYPES)))
        elif way == "form" and x.ndim and x.size:
            arrays[name] = draw(st.sampled_from(FORMS))(x)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()
