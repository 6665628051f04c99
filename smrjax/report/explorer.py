"""The embedding as a page shows it: cells to point at, to filter and to pin, with their images and the curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from smrjax.errors import InputError
from smrjax.report.figures import check_classes, class_groups
from smrjax.report.overlays import coloured
from smrjax.report.sprites import sprite_sheet

#: More cells than this make no page that stays fluid; a sample is shown instead.
MOST = 5000
#: Joined in this order, in a function of their own.
SCRIPTS = ("plot.js", "filters.js", "tray.js", "explorer.js")


def explorer(
    *,
    points: np.ndarray,
    names: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    folds: np.ndarray,
    t: np.ndarray,
    classes: Sequence[str],
    titles: Sequence[str],
    colours: Sequence[str],
    curves: Mapping[str, np.ndarray],
    images: np.ndarray | None,
    title: str,
    targets: Mapping[str, np.ndarray] | None = None,
    lineages: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> str:
    """An HTML section with a scatter of cells; a page of several needs `plotly_script` once, before or after them.

    Args:
        points: [N, 2] finite, where the cells lie in the picture. Of more than 5,000 a sample is shown, and said so.
        names: N names, shown as they are.
        labels: [N] true class indices, -1 where not known.
        predicted: [N] class indices.
        folds: [N] the fold in which each was predicted.
        t: [N] maturity, NaN where a cell has none.
        classes: [C] codes.
        titles: [C] long names.
        colours: [C] "#rrggbb".
        curves: lineage -> [M, 2] polyline from its youngest to its ripest.
        images: u8 [N, S, S, 3] or None; a memory map is fine, only what is shown is read.
        title: one line that says what is seen.
        targets: lineage -> [K, 2] points on its curve.
        lineages: name -> class indices, youngest first, by which the legend is ordered.
        seed: of the sample, and of the order in which cells lie over each other.

    Returns:
        The section: style, controls, data and script, with nothing to fetch.

    Raises:
        InputError: points or curves that are not finite.
        ValueError: arrays that do not belong together.
    """
    points, t = np.asarray(points, np.float64), np.asarray(t, np.float64)
    labels, predicted, folds = (np.asarray(column).astype(int) for column in (labels, predicted, folds))
    targets = targets or {}
    count = len(points)
    shapes = {"names": (len(names),), "labels": labels.shape, "predicted": predicted.shape, "folds": folds.shape}
    shapes |= {"t": t.shape, "images": (count,) if images is None else images.shape[:1]}
    wrong = [f"{name} {shape}" for name, shape in shapes.items() if shape != (count,)]
    if points.shape != (count, 2) or wrong:
        raise ValueError(
            f"points {points.shape} and {', '.join(wrong) or 'the rest'} do not belong together: want [N, 2], [N]"
        )
    check_classes(classes, colours, lineages or {}, np.concatenate([labels[labels >= 0], predicted]))
    if len(titles) != len(classes):
        raise ValueError(f"{len(titles)} titles for {len(classes)} classes")
    _check_finite({"points": points} | {f"curve {name}": line for name, line in curves.items()})
    _check_finite({f"targets of {name}": line for name, line in targets.items()})

    # Sampled by the classes that are known, and in mixed order: no class lies on top of the others.
    strata = np.where(labels >= 0, labels, len(classes) + predicted)
    rows = stratified(strata, min(count, MOST), seed=seed)
    rows = np.random.default_rng(seed).permutation(rows)
    sheet = sprite_sheet(images[np.sort(rows)][np.argsort(np.argsort(rows))]) if images is not None and count else None
    digits = _digits(points)
    data = {
        "names": [names[i] for i in rows],
        "x": np.round(points[rows, 0], digits).tolist(),
        "y": np.round(points[rows, 1], digits).tolist(),
        "labels": labels[rows].tolist(),
        "predicted": predicted[rows].tolist(),
        "folds": folds[rows].tolist(),
        "t": [round(value, 4) if np.isfinite(value) else None for value in t[rows].tolist()],
        "classes": list(classes),
        "titles": list(titles),
        "colours": list(colours),
        "groups": list(class_groups(len(classes), lineages or {}).items()),
        "curves": [_line(name, line, digits) for name, line in curves.items()],
        "targets": [_line(name, line, digits) for name, line in targets.items()],
        "heat": ["#" + bytes(colour).hex() for colour in coloured(np.linspace(0, 1, 64))],
        "sheet": sheet and {"columns": sheet.columns, "pitch": sheet.pitch, "side": sheet.side},
    }
    note = f"A sample of {len(rows):,} of {count:,} cells, drawn class by class." if len(rows) < count else ""
    script = "\n".join(_file(name) for name in SCRIPTS)
    return Template(_file("explorer.html")).substitute(
        title=escape(title),
        note=note,
        style=_file("explorer.css"),
        data=script_json(data),
        sheet=f'<img class="sheet" alt="" hidden src="{sheet.uri}">' if sheet else "",
        script=f'(() => {{\n"use strict";\n{script}}})();\n',
    )


def plotly_script() -> str:
    """The script element with Plotly, some 5 MB, which draws the explorers of a page."""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def script_json(value: Any) -> str:
    r"""JSON that nothing in it can end, wherever in a page it stands.

    >>> print(script_json(["</script>"]))
    ["\u003c/script\u003e"]
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def stratified(strata: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Rows of a sample in which every stratum has its share, and none is missing.

    One of each stratum first, the rest evenly: a stratum of n of N cells gets 1 + (n - 1)(count - K)/(N - K), to the
    next whole number up or down, where K is the number of strata.

    Args:
        strata: Int [N].
        count: how many rows, from the number of strata to N.
        seed: of the draw.

    Returns:
        Int [count], ascending.

    Raises:
        ValueError: a count that cannot be had.
    """
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(len(strata))
    values, first = np.unique(strata[mixed], return_index=True)
    if not len(values) <= count <= len(strata):
        raise ValueError(f"{count} rows of {len(strata)} in {len(values)} strata")
    rest = np.delete(mixed, first)
    rest = rest[np.argsort(strata[rest], kind="stable")]
    more = count - len(values)
    # At even steps through the strata one after the other, from a random start.
    steps = np.floor((np.arange(more) + rng.random()) * len(rest) / max(more, 1)).astype(int)
    return np.sort(np.concatenate([mixed[first], rest[steps]]))


def _check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        array = np.asarray(array)
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"{name} {array.shape}: want [N, 2]")
        broken = int((~np.isfinite(array)).any(axis=1).sum())
        if broken:
            raise InputError(f"{name}: {broken} of {len(array)} places are not finite; lower the learning rate")


def _digits(points: np.ndarray) -> int:
    """Decimals after which a difference is less than a ten-thousandth of the picture."""
    span = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    return 4 - int(np.floor(np.log10(span))) if span > 0 else 4


def _line(name: str, points: np.ndarray, digits: int) -> dict[str, Any]:
    x, y = np.round(np.asarray(points, np.float64), digits).T.tolist()
    return {"name": name, "x": x, "y": y}


def _file(name: str) -> str:
    return (resources.files("smrjax.report") / "web" / name).read_text(encoding="utf-8")
