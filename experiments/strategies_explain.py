"""What speaks for the class that a trained row predicts."""

from pathlib import Path

from experiments.explanation_pages import page, pages_of
from experiments.fold_files import read_probabilities
from experiments.outcome import read_predictions
from experiments.strategies_networks import model_of
from experiments.strategies_options import Config, Row
from experiments.strategies_work import Work, fold_numbers, parts_of
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
    _, labels, found = read_predictions(place, cells.classes)
    chances = read_probabilities(place, len(labels), len(cells.classes))
    trained = read_best(place / "checkpoints")
    variables = {"params": trained["params"]["encoder"], "batch_stats": trained["batch_stats"]}
    model = model_of(config, row.encoder, work.channels[fold])
    seed, codes = config.recipe.seed, run.explain_classes
    return [
        page(
            folder / row.folder / f"{name}.png",
            model,
            variables,
            class_score(trained["params"]["head"], found[chosen]),
            cells,
            taxonomy,
            asked[chosen],
            predicted=found[chosen],
            notes=[f"p = {p:.2f}" for p in chances[chosen, found[chosen]]],
            title=f"{title}: {words}",
            stage=run.explain_stage,
            normalize=False,
            by_outcome=True,
        )
        for name, chosen, words in pages_of(codes, taxonomy, labels, found, seed)
    ]
