"""Where a trained row looks: heat maps of test cells that it got right and wrong, as BM's Figures 5 and 6."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.strategies_options import Config, Row
from experiments.strategies_work import Work, fold_numbers, model_of, parts_of
from smrjax.evaluate import rescale
from smrjax.explain import class_score, explain
from smrjax.report import explanations_figure, write_overlays
from smrjax.train.state import read_best

#: Cells of a picture: so many right ones, and as many wrong ones.
EACH = 5


def explain_row(config: Config, work: Work, folder: Path, row: Row, title: str) -> list[Path]:
    """Draw what speaks for the predicted class in test cells of the first fold.

    Cells are drawn at random, by the seed alone: of all classes on one page, or of each class named by
    ``--explain-classes`` on a page of its own.

    Args:
        config: Options.
        work: Its cells and folds.
        folder: Of the run.
        row: A finished one.
        title: Name of the row in pictures.

    Returns:
        The pages; beside them, image, heat map and overlay of every cell as files of their own.

    Raises:
        InputError: for a stage without heat maps.
    """
    cells, taxonomy, options = work.judged.cells, work.judged.taxonomy, config.strategy
    fold = fold_numbers(config, work)[0]
    _, asked = parts_of(work, fold)
    place = folder / row.folder / f"fold_{fold}"
    chances = np.load(place / "probabilities.npy")
    found, pages = chances.argmax(1), []
    trained = read_best(place / "checkpoints")
    model = model_of(config, row.encoder, work.channels[""])
    for code in options.explain_classes or ("",):
        kept = cells.labels[asked] == cells.classes.index(code) if code else np.ones(len(asked), bool)
        chosen = _choose(cells.labels[asked], found, kept, config.recipe.seed)
        if not len(chosen):
            continue
        rows, predicted = asked[chosen], found[chosen]
        maps = _maps(model, trained, cells.images[rows], predicted, options.explain_stage)
        name = f"explained_{code}" if code else "explained"
        of = f" in cells labelled {taxonomy.titles[cells.classes.index(code)]}" if code else ""
        pages.append(
            explanations_figure(
                folder / row.folder / f"{name}.png",
                images=cells.images[rows],
                maps=maps,
                labels=cells.labels[rows],
                predicted=predicted,
                class_names=taxonomy.titles,
                notes=[f"p = {p:.2f}" for p in chances[chosen, predicted]],
                title=f"{title}: what speaks for the predicted class{of}",
            )
        )
        names = [cells.names[i] for i in rows]
        write_overlays(folder / row.folder / name, names=names, images=cells.images[rows], maps=maps)
    return pages


def _choose(labels: np.ndarray, found: np.ndarray, kept: np.ndarray, seed: int) -> np.ndarray:
    """Positions of right and of wrong cells, of as many classes as there is room for."""
    rng = np.random.default_rng(seed)
    chosen = []
    for wanted in (True, False):
        order = rng.permutation(np.flatnonzero(kept & ((labels == found) == wanted)))
        # The first cell of every class before the second of any.
        turn = np.array([np.sum(labels[order[:i]] == labels[one]) for i, one in enumerate(order)], int)
        chosen.append(order[np.argsort(turn, kind="stable")][:EACH])
    return np.concatenate(chosen)


def _maps(model: Any, trained: dict[str, Any], images: np.ndarray, predicted: np.ndarray, stage: str) -> np.ndarray:
    """Heat maps scaled to 0..1, Float[n, H, W]; always of one shape of batch."""
    variables = {"params": trained["params"]["encoder"], "batch_stats": trained["batch_stats"]}
    fill = np.resize(np.arange(len(images)), 2 * EACH)
    target = class_score(trained["params"]["head"], jnp.asarray(predicted[fill]))
    maps = explain(model, variables, target, stage=stage or None, normalize=False)(images[fill])
    return np.asarray(rescale(maps))[: len(images)]
