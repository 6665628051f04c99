"""What JSON of a file may be, against what it is: by hand."""

import json
from pathlib import Path

import pytest

from experiments.kinds import LARGEST, check_kind, read_kind
from smrjax.errors import InputError

RUN = {"title": str, "seed?": int, "scores": {str: (float, None)}, "sets": [{"n": int, str: [str]}], "data?": Path}
WHOLE = {
    "title": "α\u00a0=\u30000.2",
    "scores": {"F": 1, "τ": None, "-": -LARGEST},
    "sets": [{"n": 0, "of": ["a"]}],
    "more": {"x": [None]},
    "data": "caf\udce9\0",
}


@pytest.mark.parametrize("value", [WHOLE, WHOLE | {"scores": {}, "sets": [], "seed": 3}])
def test_what_is_of_a_kind_comes_back(value):
    assert check_kind(Path("run.json"), value, RUN) is value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "it is a list, not an object"),
        ({"title": "x"}, "it has no 'scores'"),
        (WHOLE | {"title": None}, "title is null, not words"),
        (WHOLE | {"title": "\ud800"}, r"title is '\ud800', not words"),
        (WHOLE | {"title": "a\0"}, r"title is 'a\x00', not words"),
        (WHOLE | {"seed": True}, "seed is True, not a whole number"),
        (WHOLE | {"seed": 1.0}, "seed is 1.0, not a whole number"),
        (WHOLE | {"seed": None}, "seed is null, not a whole number"),
        (WHOLE | {"scores": {"F": float("nan")}}, "scores/F is nan, not a number"),
        (WHOLE | {"scores": {"F": float("-inf")}}, "scores/F is -inf, not a number"),
        (WHOLE | {"scores": {"F": 2 * LARGEST}}, "scores/F is 2e+30, not a number"),
        (WHOLE | {"scores": {"F": True}}, "scores/F is True, not a number"),
        (WHOLE | {"scores": {"\udc80": 1}}, "a name in scores cannot be written"),
        (WHOLE | {"sets": {}}, "sets is an object, not a list"),
        (WHOLE | {"sets": [{"n": 1}, {}]}, "sets/1 has no 'n'"),
        (WHOLE | {"sets": [{"n": 1, "of": [1]}]}, "sets/0/of/0 is 1, not words"),
        (WHOLE | {"data": 3}, "data is 3, not words"),
    ],
)
def test_what_is_not_is_said_with_its_place(value, said):
    with pytest.raises(InputError) as error:
        check_kind(Path("run.json"), value, RUN)
    assert str(error.value) == f"run.json: {said}; it is damaged, or of another version"


def test_numbers_beyond_all_sizes(tmp_path):
    path = tmp_path / "a.json"
    for text in ("1e999", "NaN", "1" + "0" * 400):
        path.write_text(f'{{"a": {text}}}')
        with pytest.raises(InputError, match="a.json: a is .*, not a number"):
            read_kind(path, {"a": float})
    for inner in (json.dumps("9" * 10_000), "[" * 900 + "]" * 900):
        path.write_text(f'{{"a": {inner}}}')
        with pytest.raises(InputError) as error:
            read_kind(path, {"a": float})
        assert len(str(error.value)) < len(str(path)) + 150
