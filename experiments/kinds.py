"""Whether JSON of a file is of the kind that its reader works with: asked where it is read, said with the file's name.

A kind is a type: `float` is a finite number up to `LARGEST` and `int` a whole one, neither of them a boolean; `str` is
words that can be drawn, and `Path` any, as names of files may be. Or it is None; ``[kind]`` for a list; a tuple for one
of several; a dictionary for an object. Of the names in that, those that end in ``?`` may be missing, and the type `str`
stands for all others, which may be anything without it.
"""

import re
from pathlib import Path
from typing import Any

from smrjax.errors import InputError
from smrjax.files import read_json

#: No score, loss, place or count is larger, and pictures of larger ones have no axes.
LARGEST = 1e30
#: A score of some cells; none where they leave it undefined.
SCORE = (float, None)

#: Characters that neither XML nor a drawing has: control characters, and halves of others.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WORDS = {
    float: "a number",
    int: "a whole number",
    str: "words",
    bool: "true or false",
    Path: "words",
    dict: "an object",
    list: "a list",
}


def read_kind(path: Path, kind: Any) -> Any:
    """Read JSON of a kind.

    Raises:
        InputError: if the file is missing, damaged or of another kind.
    """
    return check_kind(path, read_json(path), kind)


def check_kind(path: Path, value: Any, kind: Any) -> Any:
    """JSON of a file, if it is of a kind.

    Args:
        path: Of the file, for the message.
        value: That was read from it.
        kind: See above.

    Raises:
        InputError: naming the first place that is of another kind.

    Example:
        >>> check_kind(Path("a.json"), {"n": 1, "more": []}, {"n": int, "x?": [float]})
        {'n': 1, 'more': []}
        >>> check_kind(Path("a.json"), {"n": 1, "x": [0.5, None]}, {"n": int, "x?": [float]})
        Traceback (most recent call last):
        smrjax.errors.InputError: a.json: x/1 is null, not a number; it is damaged, or of another version
    """
    wrong = _misfit(value, kind, "")
    if wrong:
        raise InputError(f"{path}: {wrong}; it is damaged, or of another version")
    return value


def _misfit(value: Any, kind: Any, place: str) -> str:
    """What is wrong, in words; empty where nothing is."""
    if isinstance(kind, tuple):
        wrong = [_misfit(value, one, place) for one in kind]
        return wrong[0] if all(wrong) else ""
    inner = f"{place}/" if place else ""
    if isinstance(kind, list) and isinstance(value, list):
        return _first(_misfit(one, kind[0], f"{inner}{i}") for i, one in enumerate(value))
    if isinstance(kind, dict) and isinstance(value, dict):
        named = {name.removesuffix("?"): one for name, one in kind.items() if name is not str}
        missing = [name for name in kind if name is not str and not name.endswith("?") and name not in value]
        if missing:
            return f"{place or 'it'} has no {missing[0]!r}"
        others = kind.get(str)
        return _first(
            f"a name in {place or 'it'} cannot be written"
            if _misfit(name, str, "")
            else _misfit(one, named.get(name, others), inner + name)
            for name, one in value.items()
            if name in named or others is not None
        )
    if _is(value, kind):
        return ""
    wanted = "null" if kind is None else _WORDS[kind if isinstance(kind, type) else type(kind)]
    found = "null" if value is None else _WORDS[type(value)] if isinstance(value, dict | list) else repr(value)[:40]
    return f"{place or 'it'} is {found}, not {wanted}"


def _first(wrong: Any) -> str:
    return next(filter(None, wrong), "")


def _is(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind in (int, float):
        kinds = (int,) if kind is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= LARGEST
    if kind is str:
        return isinstance(value, str) and not _UNWRITABLE.search(value)
    if kind is Path:
        return isinstance(value, str)
    return isinstance(kind, type) and isinstance(value, kind)
