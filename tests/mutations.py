"""Files as accidents and malice leave them: bytes that changed, and values that are not what they should be."""

import json

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
