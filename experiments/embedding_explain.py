"""What an embedding looks at: for the class that its SVM names, and along the curves for older and for younger."""

import csv
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.explanations import EACH, in_turn, page, right_and_wrong
from experiments.prepare import Blocks, Prepared, encoder_of, training_cells
from smrjax.evaluate import load_svm
from smrjax.explain import maturity, opposite, svm_score
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
    with open(place / "predictions.csv", newline="") as file:
        told = list(csv.DictReader(file))
    row_of = {name: row for row, name in enumerate(cells.names)}
    asked = np.array([row_of[one["path"]] for one in told])
    found = np.array([cells.classes.index(one["predicted"]) for one in told])
    labels, seed, out = cells.labels[asked], blocks.train.seed, folder / "pictures"
    out.mkdir(exist_ok=True)
    model, variables, goal = _trained(blocks, prepared, learner, place, fold)
    common: dict[str, Any] = {"stage": run.explain_stage, "normalize": blocks.train.normalize}
    svm, pages = load_svm(place / "svm"), []

    for code in run.explain_classes or ("",):
        kept = np.flatnonzero(labels == cells.classes.index(code)) if code else np.arange(len(asked))
        chosen = kept[right_and_wrong(labels[kept], found[kept], seed)]
        if not len(chosen):
            continue
        of = f" in cells labelled {taxonomy.titles[cells.classes.index(code)]}" if code else ""
        pages.append(
            page(
                out / (f"explained_{code}.png" if code else "explained.png"),
                model,
                variables,
                svm_score(svm, found[chosen]),
                cells,
                taxonomy,
                asked[chosen],
                predicted=found[chosen],
                notes=[""] * len(chosen),
                title=f"{title}: what speaks for the predicted class{of}",
                by_outcome=True,
                **common,
            )
        )
    for name, curve in goal.get("curves", {}).items():
        stages = [cells.classes.index(c) for line in taxonomy.lineages if line.name == name for c in line.classes]
        order = {c: stage for stage, c in enumerate(stages)}
        members = in_turn(labels, np.flatnonzero(np.isin(labels, stages)), seed)[: 2 * EACH]
        members = np.array(sorted(members, key=lambda one: order[labels[one]]), int)
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
                    notes=[f"t = {float(told[i]['t']):.2f}" if told[i]["lineage"] == name else "" for i in members],
                    title=f"{title}: what makes a cell {word} along the {name} curve",
                    by_outcome=False,
                    **common,
                )
            )
    return pages


def _trained(blocks: Blocks, prepared: Prepared, learner: Learner, place: Path, fold: int) -> tuple[Any, Any, Any]:
    """The whole encoder, its trained variables, and the goal of the best epoch."""
    cells = training_cells(prepared, fold)
    with open_checkpoints(place / "checkpoints") as manager:
        state, _ = restore(manager, blank_state(learner, cells, jax.random.key(0)), manager.best_step())
    # Stages computed beforehand are no part of what was trained.
    model, first = encoder_of(blocks)
    trained = {"params": state.params["encoder"], "batch_stats": state.batch_stats}
    return model, {kind: {**tree, **trained[kind]} for kind, tree in first.items()}, state.goal
