"""The rows of a run of training strategies, each as far as it is not done: pre-training, range tests, folds."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.first_weights import known_by
from experiments.kinds import read_kind
from experiments.outcome import write_outcome
from experiments.prepare import first_variables
from experiments.runs import check_same
from experiments.strategies_networks import model_of
from experiments.strategies_options import Config, Row
from experiments.strategies_recipe import cells_of, find_rate, fit, learner_of, probabilities, steps_of
from experiments.strategies_work import Work, fold_numbers, fold_steps, parts_of
from smrjax.evaluate import least_severe
from smrjax.files import atomic, write_json
from smrjax.train.learner import Learner
from smrjax.train.loop import Diverged
from smrjax.train.state import keep_best


def run_rows(
    config: Config, work: Work, folder: Path, *, after: Callable[[Row], object], should_stop: Callable[[], bool]
) -> None:
    """Do whatever is left of all rows: pre-training, range tests, folds.

    A row that diverges is given up and says so in ``failed.json``; the others go on.

    Args:
        config: Options.
        work: From `ready`.
        folder: Of the run.
        after: Called when a row has ended that had not ended before.
        should_stop: Asked between steps.

    Raises:
        Interrupted: if ``should_stop`` said so; what was done is on disk.
        InputError: if a row's first weights are no longer those that it began with.
    """
    with tqdm(total=steps_left(config, work, folder), unit="step", dynamic_ncols=True, smoothing=0.05) as bar:
        if not bar.total:
            bar.disable = True
        for row in work.rows:
            if row_ended(config, work, folder, row):
                continue
            try:
                _run_row(config, work, folder, row, bar, should_stop)
            except Diverged as error:
                tqdm.write(f"{row}: given up: {error}")
                write_json(_made(folder / row.folder) / "failed.json", {"reason": str(error)})
            bar.total = bar.n + steps_left(config, work, folder)
            after(row)


def steps_left(config: Config, work: Work, folder: Path) -> int:
    """Steps of everything that is not finished."""
    recipe, total = config.recipe, 0
    pretrained: set[Path] = set()
    sweep = recipe.lr_steps if recipe.lr == "auto" else 0
    for row in work.rows:
        if row_ended(config, work, folder, row):
            continue
        for stage in stages_of(row):
            target = folder / pretraining_folder(stage)
            if target in pretrained or (target / "result.json").exists():
                continue
            pretrained.add(target)
            train_rows, _ = work.domains[stage.sets[-1]].split
            total += recipe.epochs * steps_of(len(train_rows), recipe) + sweep * (not (target / "lr.json").exists())
        total += sweep * (not (folder / row.folder / "lr.json").exists())
        folds = [f for f in fold_numbers(config, work) if not fold_done(folder, row, f)]
        total += len(folds) * recipe.epochs * fold_steps(config, work)
    return total


def stages_of(row: Row) -> list[Row]:
    """The pre-trainings of a row, each on top of the one before."""
    return [Row(row.encoder, row.begin, row.sets[: i + 1]) for i in range(len(row.sets))]


def pretraining_folder(stage: Row) -> str:
    """Below the run's folder; shared by all rows that begin like this."""
    return f"{stage.encoder}/pretraining/{stage.init}"


def fold_done(folder: Path, row: Row, fold: int) -> bool:
    """Whether a fold of a row is finished."""
    return (folder / row.folder / f"fold_{fold}" / "result.json").exists()


def row_done(config: Config, work: Work, folder: Path, row: Row) -> bool:
    """Whether all folds of a row are finished."""
    return all(fold_done(folder, row, fold) for fold in fold_numbers(config, work))


def failed(folder: Path, row: Row) -> str:
    """Why a row was given up; empty if it was not."""
    path = folder / row.folder / "failed.json"
    return read_kind(path, {"reason": str})["reason"] if path.exists() else ""


def row_ended(config: Config, work: Work, folder: Path, row: Row) -> bool:
    """Whether nothing is left to do of a row."""
    return row_done(config, work, folder, row) or bool(failed(folder, row))


def _run_row(config: Config, work: Work, folder: Path, row: Row, bar: tqdm, should_stop: Callable[[], bool]) -> None:
    for stage in stages_of(row):
        if not (folder / pretraining_folder(stage) / "result.json").exists():
            pretrain(config, work, folder, stage, bar, should_stop)
            bar.total = bar.n + steps_left(config, work, folder)
    bar.set_description(f"{row}, learning rate")
    learner_in, rate = start_row(config, work, folder, row, bar, should_stop)
    for fold in fold_numbers(config, work):
        if fold_done(folder, row, fold):
            continue
        bar.total = bar.n + steps_left(config, work, folder)
        bar.set_description(f"{row}, fold {fold}")
        run_fold(config, work, folder, row, fold, learner_in(fold), rate, bar, should_stop)


def start_row(
    config: Config, work: Work, folder: Path, row: Row, bar: tqdm, should_stop: Callable[[], bool]
) -> tuple[Callable[[int], Learner], float]:
    """A row's network as it begins, by fold, and the learning rate of all its folds; pre-training is done.

    Raises:
        InputError: if the first weights are no longer those that the row began with.
    """
    recipe, cells, first = config.recipe, work.judged.cells, fold_numbers(config, work)[0]
    variables = begin(config, folder, model_of(config, row.encoder, work.channels[first]), row)
    target = _made(folder / row.folder)
    _check_begin(target, known_by(variables, row.encoder, _init_of(folder, row), seed=recipe.seed))

    @functools.lru_cache(maxsize=1)
    def learner_in(fold: int) -> Learner:
        # Colours are those of a fold's own training part, so a network is a model, and a program, of its fold.
        model = model_of(config, row.encoder, work.channels[fold])
        return learner_of(model, variables, len(cells.classes), recipe, work.devices, crop=True)

    split, _ = parts_of(work, first)
    rate = find_rate(target, learner_in(first), cells_of(cells, *split), recipe, bar=bar, should_stop=should_stop)
    return learner_in, rate


def run_fold(
    config: Config,
    work: Work,
    folder: Path,
    row: Row,
    fold: int,
    learner: Learner,
    rate: float,
    bar: tqdm,
    should_stop: Callable[[], bool],
) -> None:
    """Train a fold of a row from what `start_row` gave, test it and write what comes out."""
    recipe, cells, run = config.recipe, work.judged.cells, config.run
    split, asked = parts_of(work, fold)
    place, part, steps = folder / row.folder / f"fold_{fold}", cells_of(cells, *split), fold_steps(config, work)
    state, history = fit(place, learner, part, recipe, rate, steps, bar=bar, should_stop=should_stop)
    chances = probabilities(learner, state, cells.images, asked, recipe, views=run.tta)
    severity = work.judged.severity if run.decision == "severity" else None
    predicted = chances.argmax(1) if severity is None else least_severe(chances, severity)
    with atomic(place / "probabilities.npy") as temporary:
        np.save(temporary, chances.astype(np.float32))
    about = {"learning_rate": rate, "epochs": len(history), "history": history}
    write_outcome(place, work.judged, fold, predicted, about)
    # Not before the fold is written: what a resume needs would be gone.
    keep_best(place / "checkpoints")


def begin(config: Config, folder: Path, model: Any, row: Row) -> Any:
    """The variables that a row's folds begin with: those of its last pre-training, or of ``row.begin``."""
    init = _init_of(folder, row)
    return first_variables(model, row.encoder, init, size=config.data.image_size, seed=config.recipe.seed)


def _init_of(folder: Path, row: Row) -> str:
    return str(folder / pretraining_folder(row)) if row.sets else row.begin


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_begin(target: Path, weights: str) -> None:
    """Note what a row began with, or make sure that it still is that."""
    if not (target / "begin.json").exists():
        write_json(target / "begin.json", {"weights": weights})
    check_same(target, {"weights": weights}, "begin.json")


def pretrain(config: Config, work: Work, folder: Path, stage: Row, bar: tqdm, should_stop: Callable[[], bool]) -> None:
    """Train on the last set of a stage, without random crops, by that set's own colours (BM, section 2.4.2)."""
    recipe, target = config.recipe, _made(folder / pretraining_folder(stage))
    domain = work.domains[stage.sets[-1]]
    model = model_of(config, stage.encoder, domain.channels)
    variables = begin(config, folder, model, Row(stage.encoder, stage.begin, stage.sets[:-1]))
    learner = learner_of(model, variables, len(domain.cells.classes), recipe, work.devices, crop=False)
    part, words = cells_of(domain.cells, *domain.split), f"{stage.encoder}, pre-training {stage.init}"
    bar.set_description(f"{words}, learning rate")
    rate = find_rate(target, learner, part, recipe, bar=bar, should_stop=should_stop)
    bar.set_description(words)
    steps = steps_of(len(part.train), recipe)
    _, history = fit(target, learner, part, recipe, rate, steps, bar=bar, should_stop=should_stop)
    about = {"data": domain.cells.name, "classes": list(domain.cells.classes), "learning_rate": rate}
    write_json(target / "result.json", about | {"epochs": len(history), "history": history})
    keep_best(target / "checkpoints")
