"""The pictures of a run, drawn from the files in its folder and the cells."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.fold_files import read_result
from smrjax.curves import Curve
from smrjax.data import CellSet
from smrjax.report import (
    Readout,
    confusion_figure,
    contact_sheet,
    embedding_figure,
    learning_figure,
    maturity_figure,
    true_maturity_figure,
)
from smrjax.taxonomy import Taxonomy
from smrjax.train.fold_arrays import need, read_curves, read_embeddings

#: What a readout is called in a picture.
TITLES = {"own": "the method's own curve", "line": "line fitted afterwards", "bezier": "Bézier fitted afterwards"}


def draw_pictures(
    folder: Path, cells: CellSet, taxonomy: Taxonomy, *, folds: tuple[int, ...], title: str
) -> list[Path]:
    """Draw everything that a run has the files for.

    Every cell is shown as it was when it was in the test part of its fold; the embedding is that of the first fold,
    since each fold has a space of its own.

    Returns:
        The PNG files; an SVG lies beside most.
    """
    out = folder / "pictures"
    out.mkdir(exist_ok=True)
    n = len(taxonomy.classes)
    tests = [_test_part(folder / f"fold_{fold}", n) for fold in folds]
    rows, labels, predicted = (np.concatenate([test[k] for test in tests]) for k in ("rows", "labels", "predicted"))
    lineages = {line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages}
    look: dict[str, Any] = {"class_names": taxonomy.titles, "colours": taxonomy.colours, "lineages": lineages}
    counts = np.zeros((n, n), int)
    np.add.at(counts, (labels, predicted), 1)
    results = {fold: read_result(folder / f"fold_{fold}") for fold in folds}
    history = [{"fold": fold} | row for fold, result in results.items() for row in result.get("history", ())]
    drawn = [
        contact_sheet(
            out / "cells.png",
            images=cells.images,
            labels=cells.labels,
            title=f"{len(cells.labels)} cells of {cells.name}",
            **look,
        ),
        confusion_figure(out / "confusion.png", counts=counts, title=f"{title}: test cells of all folds", **look),
    ]
    if history:
        drawn.append(learning_figure(out / "learning.png", rows=history, title=f"{title}: training"))
    ordered = {name: members for name, members in lineages.items() if len(members) > 1}
    if not ordered:
        return drawn

    stages = {name: len(members) for name, members in ordered.items()}
    fitted = [read_curves(folder / f"fold_{fold}", stages, tests[0]["place"].shape[1]) for fold in folds]
    for fold, one in zip(folds, fitted, strict=True):
        need(folder / f"fold_{fold}" / "curves.npz", one, *(f"control_{name}" for name in ordered))
    stored = fitted[0]
    curves = {name: Curve(jnp.asarray(stored[f"control_{name}"])) for name in ordered}
    drawn.append(
        embedding_figure(
            out / "embedding.png",
            embeddings=tests[0]["place"],
            labels=tests[0]["labels"],
            curves={name: np.asarray(curve(np.linspace(0, 1, 100))) for name, curve in curves.items()},
            targets={name: np.asarray(curve(stored[f"targets_{name}"])) for name, curve in curves.items()},
            title=f"{title}: test cells of fold {folds[0]} with curves and targets",
            **look,
        )
    )
    names = [name for name in TITLES if all(f"t_{name}" in test for test in tests)]
    t = {name: np.concatenate([test[f"t_{name}"] for test in tests]) for name in names}
    # A method whose own curve is that line is not shown twice.
    names = [name for name in names if name == names[0] or not np.allclose(t[name], t[names[0]], equal_nan=True)]
    # What differs between folds (places by frequency, the classifier) is shown as its mean.
    places = {name: np.mean([one[f"targets_{name}"] for one in fitted], 0) for name in ordered}
    even = {name: np.linspace(0, 1, len(members)) for name, members in ordered.items()}
    drawn.append(
        maturity_figure(
            out / "maturity.png",
            readouts=[
                Readout(
                    TITLES[name],
                    t[name],
                    places if name == names[0] else even,
                    boundaries={
                        line: np.mean([one[f"boundaries_{name}_{line}"] for one in fitted], 0)
                        for line in ordered
                        if f"boundaries_{name}_{line}" in stored
                    },
                    nearest=_nearest(
                        cells, rows, labels, np.concatenate([test[f"missed_{name}"] for test in tests]), ordered
                    ),
                )
                for name in names[:2]
            ],
            labels=labels,
            title=f"{title}: where test cells lie along their lineage",
            **(look | {"lineages": ordered}),
        )
    )
    if cells.maturity is not None:
        drawn.append(
            true_maturity_figure(
                out / "true_maturity.png",
                recovered={TITLES[name]: t[name] for name in names},
                truth=cells.maturity[rows],
                labels=labels,
                title=f"{title}: recovered against true maturity",
                **(look | {"lineages": ordered}),
            )
        )
    return drawn


def _test_part(fold: Path, classes: int) -> dict[str, np.ndarray]:
    """Arrays of the test cells of a fold: rows, labels, predicted, place; by readout raw t and distance to target."""
    arrays = read_embeddings(fold, classes)
    need(fold / "embeddings.npz", arrays, "part")
    test = arrays["part"] == 2
    found = {name: array[test] for name, array in arrays.items()}
    found["rows"] = np.flatnonzero(test)
    found.setdefault("place", found["embeddings"])
    return found


def _nearest(
    cells: CellSet,
    rows: np.ndarray,
    labels: np.ndarray,
    missed: np.ndarray,
    lineages: dict[str, list[int]],
    count: int = 2,
) -> dict[int, np.ndarray]:
    """Images of the cells of each class that lie closest to its target, in all dimensions of the embedding."""
    nearest = {}
    for c in (c for members in lineages.values() for c in members):
        own = np.flatnonzero(labels == c)
        best = own[np.argsort(missed[own], kind="stable")[:count]]
        nearest[c] = np.asarray(cells.images[rows[best]])
    return nearest
