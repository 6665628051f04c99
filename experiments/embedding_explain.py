"""What an embedding looks at: for the class that its SVM names, and along the curves for older and for younger."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.explanation_pages import EACH, in_turn, page, pages_of
from experiments.outcome import read_predictions
from experiments.prepare import Blocks, Prepared, encoder_of, training_cells
from smrjax.evaluate import load_svm
from smrjax.explain import maturity, opposite, svm_score
from smrjax.files import read_rows
from smrjax.train.learner import Learner, blank_state
from smrjax.train.state import open_checkpoints, restore


def explain_fold(
    blocks: Blocks, prepared: Prepared, learner: Learner, folder: Path, fold: int, title: str
) -> list[Path]:
    """Draw test cells of a fold with what speaks for their class, and for every lineage with a curve, for their place.

    Args:
        blocks: Options.
        prepared: Of these options.
        learner: Of the run.
        folder: Of the run; the fold is finished.
        fold: Number.
        title: Of the method.

    Returns:
        The pages, in ``pictures``.
    """
    cells, taxonomy, run, place = prepared.cells, prepared.taxonomy, blocks.run, folder / f"fold_{fold}"
    names, labels, found = read_predictions(place, cells.classes)
    row_of = {name: row for row, name in enumerate(cells.names)}
    asked = np.array([row_of[name] for name in names])
    seed, out = blocks.train.seed, folder / "pictures"
    out.mkdir(exist_ok=True)
    model, variables, goal = _trained(blocks, prepared, learner, place, fold)
    common: dict[str, Any] = {"stage": run.explain_stage, "normalize": blocks.train.normalize}
    svm = load_svm(place / "svm")
    pages = [
        page(
            out / f"{name}.png",
            model,
            variables,
            svm_score(svm, found[chosen]),
            cells,
            taxonomy,
            asked[chosen],
            predicted=found[chosen],
            notes=[""] * len(chosen),
            title=f"{title}: {words}",
            by_outcome=True,
            **common,
        )
        for name, chosen, words in pages_of(run.explain_classes, taxonomy, labels, found, seed)
    ]
    t = _maturity_of(place)
    for name, curve in goal.get("curves", {}).items():
        stages = [cells.classes.index(c) for line in taxonomy.lineages if line.name == name for c in line.classes]
        order = {c: stage for stage, c in enumerate(stages)}
        members = in_turn(labels, np.flatnonzero(np.isin(labels, stages)), seed)[: 2 * EACH]
        members = np.array(sorted(members, key=lambda one: order[int(labels[one])]), int)
        if not len(members):
            continue
        older = maturity(curve, goal["reducer"])
        for word, target in (("older", older), ("younger", opposite(older))):
            pages.append(
                page(
                    out / f"explained_{name}_{word}.png",
                    model,
                    variables,
                    target,
                    cells,
                    taxonomy,
                    asked[members],
                    predicted=found[members],
                    notes=[f"t = {t[i][1]:.2f}" if t[i][0] == name else "" for i in members],
                    title=f"{title}: what makes a cell {word} along the {name} curve",
                    by_outcome=False,
                    **common,
                )
            )
    return pages


def _maturity_of(place: Path) -> list[tuple[str, float]]:
    """Of every test cell the lineage in which it has a maturity, and that; "" and NaN for none."""
    return [(row["lineage"], float(row["t"] or "nan")) for row in read_rows(place / "predictions.csv")]


def _trained(blocks: Blocks, prepared: Prepared, learner: Learner, place: Path, fold: int) -> tuple[Any, Any, Any]:
    """The whole encoder, its trained variables, and the goal of the best epoch."""
    cells = training_cells(prepared, fold)
    with open_checkpoints(place / "checkpoints") as manager:
        state, _ = restore(manager, blank_state(learner, cells, jax.random.key(0)), manager.best_step())
    # Stages computed beforehand are no part of what was trained.
    model, first = encoder_of(blocks)
    trained = {"params": state.params["encoder"], "batch_stats": state.batch_stats}
    return model, {kind: {**tree, **trained[kind]} for kind, tree in first.items()}, state.goal
