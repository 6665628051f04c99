"""The embedding as a page shows it: cells to point at, to filter and to pin, with their images and the curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from smrjax.errors import InputError
from smrjax.report.figures import check_classes, class_groups
from smrjax.report.overlays import coloured
from smrjax.report.sprites import Sheet, sprite_sheet

#: More cells than this make no page that stays fluid; a sample is shown instead.
MOST = 5000
#: Joined in this order, in a function of their own.
SCRIPTS = ("plot.js", "filters.js", "tray.js", "explorer.js")


@dataclass(frozen=True)
class Scene:
    """The cells of a fold, whose embedding is a space of its own.

    Attributes:
        fold: Its number, by which it is chosen.
        points: [N, 2] finite, where the cells lie in the picture. Of more than 5,000 a sample is shown, and said so.
        names: N names, shown as they are.
        labels: [N] true class indices, -1 where not known.
        predicted: [N] class indices.
        t: [N] maturity, NaN where a cell has none.
        curves: Lineage -> [M, 2] polyline from its youngest to its ripest.
        targets: Lineage -> [K, 2] points on its curve.
        images: u8 [N, S, S, 3] or None; a memory map is fine, only what is shown is read.
    """

    fold: int
    points: np.ndarray
    names: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray
    t: np.ndarray
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    images: np.ndarray | None = None


def explorer(
    scenes: Iterable[Scene],
    *,
    classes: Sequence[str],
    titles: Sequence[str],
    colours: Sequence[str],
    title: str,
    lineages: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> str:
    """An HTML section with a scatter of cells; a page of several needs `plotly_script` once, before or after them.

    One scene is shown at a time, the first one first. All lie in the page, the images of each as a sheet of their own,
    which takes at most 7.6 MB and is not decoded before its scene is chosen.

    Args:
        scenes: One or several, of different folds. Of an iterator, one at a time is in memory with its images.
        classes: [C] codes.
        titles: [C] long names.
        colours: [C] "#rrggbb".
        title: one line that says what is seen.
        lineages: name -> class indices, youngest first, by which the legend is ordered.
        seed: of the samples, and of the order in which cells lie over each other.

    Returns:
        The section: style, controls, data and script, with nothing to fetch.

    Raises:
        InputError: points or curves that are not finite.
        ValueError: arrays that do not belong together; no scene, or two of one fold.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("names", "x", "y", "labels", "predicted", "t")}
    told, sheets = [], []
    # By map, which keeps no scene while the next one is made.
    for own, about, sheet in map(lambda scene: _packed(scene, len(classes), seed), scenes):
        told.append(about | {"first": len(columns["names"])})
        sheets.append(f'<template class="sheet"><img alt="" src="{sheet.uri}"></template>' if sheet else "")
        for name, column in columns.items():
            column += own[name]
    folds = [about["fold"] for about in told]
    if not folds or len(set(folds)) < len(folds):
        raise ValueError(f"scenes of the folds {folds}: want one or more, each of another fold")
    known = [c for c in columns["labels"] if c >= 0] + columns["predicted"]
    check_classes(classes, colours, lineages or {}, np.array(known, int))
    if len(titles) != len(classes):
        raise ValueError(f"{len(titles)} titles for {len(classes)} classes")
    data = {
        **columns,
        "scenes": told,
        "classes": list(classes),
        "titles": list(titles),
        "colours": list(colours),
        "groups": list(class_groups(len(classes), lineages or {}).items()),
        "heat": ["#" + bytes(colour).hex() for colour in coloured(np.linspace(0, 1, 64))],
    }
    script = "\n".join(_file(name) for name in SCRIPTS)
    options = "".join(f"<option>{fold}</option>" for fold in folds)
    return Template(_file("explorer.html")).substitute(
        title=escape(title),
        folds=f'<label>Fold <select name="fold">{options}</select></label>' if len(folds) > 1 else "",
        style=_file("explorer.css"),
        data=script_json(data),
        sheets="\n".join(filter(None, sheets)),
        script=f'(() => {{\n"use strict";\n{script}}})();\n',
    )


def _packed(scene: Scene, classes: int, seed: int) -> tuple[dict[str, list[Any]], dict[str, Any], Sheet | None]:
    """The columns of a scene's cells in the page, what else the page is told of the scene, and its images."""
    points, t = np.asarray(scene.points, np.float64), np.asarray(scene.t, np.float64)
    labels, predicted = (np.asarray(column).astype(int) for column in (scene.labels, scene.predicted))
    names, images, count = scene.names, scene.images, len(points)
    shapes = {"names": (len(names),), "labels": labels.shape, "predicted": predicted.shape}
    shapes |= {"t": t.shape, "images": (count,) if images is None else images.shape[:1]}
    wrong = [f"{name} {shape}" for name, shape in shapes.items() if shape != (count,)]
    if points.shape != (count, 2) or wrong:
        raise ValueError(
            f"points {points.shape} and {', '.join(wrong) or 'the rest'} do not belong together: want [N, 2], [N]"
        )
    lines = {f"curve {name}": line for name, line in scene.curves.items()}
    lines |= {f"targets of {name}": line for name, line in scene.targets.items()}
    for name, line in ({"points": points} | lines).items():
        _check_finite(f"fold {scene.fold}, {name}", line)

    # Sampled by the classes that are known, and in mixed order: no class lies on top of the others.
    strata = np.where(labels >= 0, labels, classes + predicted)
    rows = stratified(strata, min(count, MOST), seed=seed)
    rows = np.random.default_rng(seed).permutation(rows)
    sheet = sprite_sheet(images[np.sort(rows)][np.argsort(np.argsort(rows))]) if images is not None and count else None
    digits = _digits(points)
    columns = {
        "names": [names[i] for i in rows],
        "x": np.round(points[rows, 0], digits).tolist(),
        "y": np.round(points[rows, 1], digits).tolist(),
        "labels": labels[rows].tolist(),
        "predicted": predicted[rows].tolist(),
        "t": [round(value, 4) if np.isfinite(value) else None for value in t[rows].tolist()],
    }
    about = {
        "fold": int(scene.fold),
        "count": len(rows),
        "note": f"A sample of {len(rows):,} of {count:,} cells, drawn class by class." if len(rows) < count else "",
        "curves": [_line(name, line, digits) for name, line in scene.curves.items()],
        "targets": [_line(name, line, digits) for name, line in scene.targets.items()],
        "sheet": sheet and {"columns": sheet.columns, "pitch": sheet.pitch, "side": sheet.side},
    }
    return columns, about, sheet


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


def _check_finite(name: str, array: np.ndarray) -> None:
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
