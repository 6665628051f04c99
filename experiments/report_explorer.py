"""Section of the report in which cells are pointed at: the test cells of each fold as points, with the curves."""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from experiments.report_cells import Images
from experiments.report_runs import Fold, Run
from smrjax.curves import Curve
from smrjax.errors import InputError
from smrjax.report import Scene, explorer, plotly_script
from smrjax.report.explorer import MOST, stratified
from smrjax.report.page import Html, Section, words
from smrjax.report.projection import plane_of, turned_like, umap_plane

#: Lineage -> points, Float[n, 2].
Lines = dict[str, np.ndarray]
#: Layout -> the picture's axes in words.
AXES = {
    "pca": "their two principal axes",
    "umap": "two dimensions of UMAP, in which only near neighbours mean something",
    "reducer": "the two dimensions that the method learns",
}


def explore(run: Run, images: Images, layout: str) -> Section:
    """The folds of a run, one at a time: each has a space of its own, so no picture holds two.

    Each fold is projected by itself. Axes of a projection may point either way, and those of UMAP anywhere: so that
    folds look alike, each but the first is turned or reflected until the means of its classes lie as close as they can
    to those of the first (`turned_like`). Nothing is scaled.

    Args:
        run: With embeddings; nothing is shown of one without.
        images: Of its cells.
        layout: "pca", "umap" or "reducer".

    Raises:
        InputError: for the layout "reducer" of a run that learns no reduced space of two dimensions.
    """
    folds = [fold for fold in run.folds if fold.embeddings]
    if not folds:
        return Section("Explorer", [], printed=False)
    counts = [int((fold.embeddings["part"] == 2).sum()) for fold in folds]
    where = f"{len(folds)} folds" if len(folds) > 1 else f"fold {folds[0].number}"
    shown = explorer(
        _scenes(run, folds, images, layout),
        classes=run.taxonomy.classes,
        titles=run.taxonomy.titles,
        colours=run.taxonomy.colours,
        lineages=run.lineages,
        title=f"{sum(counts):,} test cells of {where}",
    )
    says = f"Embeddings of {run.title}, seen along {AXES[layout]}."
    if len(folds) > 1:
        says += " Each fold has a space of its own: it is projected by itself, and turned or mirrored, nothing else, so"
        says += f" that its classes lie as those of fold {folds[0].number} do."
    says += " Here t is along the curve of the labelled class."
    if max(counts) > MOST:
        says += f" Of more than {MOST:,} test cells of a fold, a sample is shown, drawn class by class."
    parts = [words(says), Html(shown)]
    if images.cells is None:
        parts.append(words(f"No cells are pictured: {images.reason}", "note"))
    return Section("Explorer", parts, printed=False)


def _scenes(run: Run, folds: Sequence[Fold], images: Images, layout: str) -> Iterator[Scene]:
    """One by one, as the images of all may be too many for the memory."""
    first = None
    for fold in folds:
        arrays = fold.embeddings
        rows = np.flatnonzero(arrays["part"] == 2)
        points, curves, targets = _places(run, fold, rows, layout)
        if len(rows) > MOST:
            # Sampled before their images are read: all of a large set would not fit into memory.
            kept = stratified(arrays["labels"][rows], MOST, seed=0)
            rows, points = rows[kept], points[kept]
        labels = arrays["labels"][rows]
        first = first or (points, labels)
        turn = turned_like(points, labels, *first)
        own = next((f"t_{name}" for name in ("own", "line") if f"t_{name}" in arrays), "")
        yield Scene(
            fold=fold.number,
            points=points @ turn,
            names=_names(fold, images, rows),
            labels=labels,
            predicted=arrays["predicted"][rows],
            t=arrays[own][rows] if own else np.full(len(rows), np.nan),
            curves={name: line @ turn for name, line in curves.items()},
            targets={name: line @ turn for name, line in targets.items()},
            images=None if images.cells is None else images.cells.images[rows],
        )


def script() -> Html:
    """What the explorer draws with."""
    return Html(plotly_script())


def _names(fold: Fold, images: Images, rows: np.ndarray) -> Sequence[str]:
    """Names of test cells; predictions.csv has them in the order of the data, too."""
    if images.cells is not None:
        return [images.cells.names[row] for row in rows]
    test = np.flatnonzero(fold.embeddings["part"] == 2)
    return [fold.names[place] for place in np.searchsorted(test, rows)]


def _places(run: Run, fold: Fold, rows: np.ndarray, layout: str) -> tuple[np.ndarray, Lines, Lines]:
    """Points of the cells, lines of the curves, and targets on them."""
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
        return place[rows], lines, targets
    if place is not None:  # curves of a reduced space are not in the space of the embeddings
        lines, targets = {}, {}
    project = umap_plane(z[rows]) if layout == "umap" else plane_of(z[rows], list(lines.values()))
    flat = [{name: project(line) for name, line in of.items()} for of in (lines, targets)]
    return project(z[rows]), flat[0], flat[1]
