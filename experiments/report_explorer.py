"""Section of the report in which cells are pointed at: the test cells of one fold as points, with the curves."""

from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from experiments.report_cells import Images
from experiments.report_runs import Fold, Run
from smrjax.curves import Curve
from smrjax.errors import InputError
from smrjax.report import explorer, plotly_script
from smrjax.report.page import Html, Section, words
from smrjax.report.projection import plane_of, umap_plane

#: Vectors Float[n, D] -> their places in the picture, Float[n, 2].
Projection = Callable[[np.ndarray], np.ndarray]


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
    points, curves, called = _places(run, fold, rows, layout)
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
        images=None if images.cells is None else images.cells.images[rows],
        title=f"{len(rows):,} test cells of fold {fold.number}",
    )
    says = f"Embeddings of {run.title}, seen along {called}. Each fold has a space of its own; this is one of them."
    parts = [words(says), Html(shown)]
    if images.cells is None:
        parts.append(words(f"No cells are pictured: {images.reason}", "note"))
    return Section("Explorer", parts, printed=False)


def script() -> Html:
    """What the explorer draws with, for the head of the page."""
    return Html(plotly_script())


def _names(fold: Fold, images: Images, rows: np.ndarray) -> Sequence[str]:
    """Names of the test cells in the order of the data, which is that of predictions.csv, too."""
    return [images.cells.names[row] for row in rows] if images.cells is not None else list(fold.names)


def _places(run: Run, fold: Fold, rows: np.ndarray, layout: str) -> tuple[np.ndarray, Mapping[str, np.ndarray], str]:
    """Points of the cells, lines of the curves, and the picture's axes in words."""
    z, place = fold.embeddings["embeddings"], fold.embeddings.get("place")
    lines = _lines(run, fold)
    if layout == "reducer":
        if place is None or place.shape[1] != 2:
            raise InputError(f"--layout reducer: {run.title} learns no space of two dimensions; take pca or umap")
        return place[rows], lines, "the two dimensions that the method learns"
    if layout == "umap":
        project, called = umap_plane(z[rows]), "two dimensions of UMAP, in which only near neighbours mean something"
    else:
        flat = [] if place is not None else list(lines.values())
        project, called = plane_of(z[rows], flat), "their two principal axes"
    # Curves of a reduced space are not in the space of the embeddings.
    within = {} if place is not None else lines
    return project(z[rows]), {name: project(line) for name, line in within.items()}, called


def _lines(run: Run, fold: Fold) -> dict[str, np.ndarray]:
    """Polylines of the lineages' curves, Float[100, D]."""
    t = np.linspace(0, 1, 100)
    stored = {name: fold.curves[f"control_{name}"] for name in run.ordered if f"control_{name}" in fold.curves}
    return {name: np.asarray(Curve(jnp.asarray(control))(t)) for name, control in stored.items()}
