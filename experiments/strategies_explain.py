"""What speaks for the class that a trained row predicts."""

from pathlib import Path

import numpy as np

from experiments.explanations import page, right_and_wrong
from experiments.strategies_options import Config, Row
from experiments.strategies_work import Work, fold_numbers, model_of, parts_of
from smrjax.explain import class_score
from smrjax.train.state import read_best


def explain_row(config: Config, work: Work, folder: Path, row: Row, title: str) -> list[Path]:
    """Draw test cells of the first fold that a row got right and wrong.

    Args:
        config: Options.
        work: Its cells and folds.
        folder: Of the run.
        row: A finished one.
        title: Name of the row in pictures.

    Returns:
        The pages: one, or one for each class named by ``--explain-classes``.
    """
    cells, taxonomy, run = work.judged.cells, work.judged.taxonomy, config.run
    fold = fold_numbers(config, work)[0]
    place = folder / row.folder / f"fold_{fold}"
    _, asked = parts_of(work, fold)
    chances = np.load(place / "probabilities.npy")
    found, pages = chances.argmax(1), []
    trained = read_best(place / "checkpoints")
    variables = {"params": trained["params"]["encoder"], "batch_stats": trained["batch_stats"]}
    model = model_of(config, row.encoder, work.channels[""])
    for code in run.explain_classes or ("",):
        kept = np.flatnonzero(cells.labels[asked] == cells.classes.index(code)) if code else np.arange(len(asked))
        chosen = kept[right_and_wrong(cells.labels[asked[kept]], found[kept], config.recipe.seed)]
        if not len(chosen):
            continue
        of = f" in cells labelled {taxonomy.titles[cells.classes.index(code)]}" if code else ""
        pages.append(
            page(
                folder / row.folder / (f"explained_{code}.png" if code else "explained.png"),
                model,
                variables,
                class_score(trained["params"]["head"], found[chosen]),
                cells,
                taxonomy,
                asked[chosen],
                predicted=found[chosen],
                notes=[f"p = {p:.2f}" for p in chances[chosen, found[chosen]]],
                title=f"{title}: what speaks for the predicted class{of}",
                stage=run.explain_stage,
                normalize=False,
                by_outcome=True,
            )
        )
    return pages
