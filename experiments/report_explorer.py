"""Section of the report in which cells are pointed at: the test cells of one fold as points, with the curves."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from experiments.report_cells import Images
from experiments.report_runs import Fold, Run
from smrjax.curves import Curve
from smrjax.errors import InputError
from smrjax.report import explorer, plotly_script
from smrjax.report.explorer import MOST, stratified
from smrjax.report.page import Html, Section, words
from smrjax.report.projection import plane_of, umap_plane

#: Lineage -> points, Float[n, 2].
Lines = dict[str, np.ndarray]


def explore(run: Run, images: Images, layout: str) -> Section:
    """The first fold of a run: each fold has a space of its own, so no picture holds two.

    Args:
        run: With embeddings; nothing is shown of one without.
        images: Of its cells.
        layout: "pca", "umap" or "reducer".

    Raises:
        InputError: for the layout "reducer" of a run that learns no reduced space of two dimensions.
    """
    fold = run.folds[0]
    if not fold.embeddings:
        return Section("Explorer", [], printed=False)
    arrays = fold.embeddings
    rows = np.flatnonzero(arrays["part"] == 2)
    points, curves, targets, called = _places(run, fold, rows, layout)
    says = f"Embeddings of {run.title}, seen along {called}. Each fold has a space of its own; this is one of them."
    says += " Here t is along the curve of the labelled class."
    if len(rows) > MOST:
        # Sampled before their images are read: all of a large set would not fit into memory.
        kept = stratified(arrays["labels"][rows], MOST, seed=0)
        says += f" Shown is a sample of {MOST:,} of its {len(rows):,} test cells, drawn class by class."
        rows, points = rows[kept], points[kept]
    own = next((f"t_{name}" for name in ("own", "line") if f"t_{name}" in arrays), "")
    shown = explorer(
        points=points,
        names=_names(fold, images, rows),
        labels=arrays["labels"][rows],
        predicted=arrays["predicted"][rows],
        folds=np.full(len(rows), fold.number),
        t=arrays[own][rows] if own else np.full(len(rows), np.nan),
        classes=run.taxonomy.classes,
        titles=run.taxonomy.titles,
        colours=run.taxonomy.colours,
        curves=curves,
        targets=targets,
        lineages=run.lineages,
        images=None if images.cells is None else images.cells.images[rows],
        title=f"{len(rows):,} test cells of fold {fold.number}",
    )
    parts = [words(says), Html(shown)]
    if images.cells is None:
        parts.append(words(f"No cells are pictured: {images.reason}", "note"))
    return Section("Explorer", parts, printed=False)


def script() -> Html:
    """What the explorer draws with."""
    return Html(plotly_script())


def _names(fold: Fold, images: Images, rows: np.ndarray) -> Sequence[str]:
    """Names of test cells; predictions.csv has them in the order of the data, too."""
    if images.cells is not None:
        return [images.cells.names[row] for row in rows]
    test = np.flatnonzero(fold.embeddings["part"] == 2)
    return [fold.names[place] for place in np.searchsorted(test, rows)]


def _places(run: Run, fold: Fold, rows: np.ndarray, layout: str) -> tuple[np.ndarray, Lines, Lines, str]:
    """Points of the cells, lines of the curves, targets on them, and the picture's axes in words."""
    z, place = fold.embeddings["embeddings"], fold.embeddings.get("place")
    stored = fold.curves
    curves = {
        name: Curve(jnp.asarray(stored[f"control_{name}"])) for name in run.ordered if f"control_{name}" in stored
    }
    lines = {name: np.asarray(curve(np.linspace(0, 1, 100))) for name, curve in curves.items()}
    targets = {name: np.asarray(curve(stored[f"targets_{name}"])) for name, curve in curves.items()}
    if layout == "reducer":
        if place is None or place.shape[1] != 2:
            raise InputError(f"--layout reducer: {run.title} learns no space of two dimensions; take pca or umap")
        return place[rows], lines, targets, "the two dimensions that the method learns"
    if place is not None:  # curves of a reduced space are not in the space of the embeddings
        lines, targets = {}, {}
    if layout == "umap":
        project, called = umap_plane(z[rows]), "two dimensions of UMAP, in which only near neighbours mean something"
    else:
        project, called = plane_of(z[rows], list(lines.values())), "their two principal axes"
    flat = [{name: project(line) for name, line in of.items()} for of in (lines, targets)]
    return project(z[rows]), flat[0], flat[1], called
