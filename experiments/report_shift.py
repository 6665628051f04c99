"""Section of the report about cells from elsewhere: what a model says of them, and whether to believe it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.report_predictions import Predicted
from experiments.report_runs import Run
from experiments.report_words import enumerated
from smrjax.evaluate import kendall_tau, macro_f1_at_support, wilson
from smrjax.predict.reader import TEST, TRAINING, VALIDATION, distance_to, limit_of, thin
from smrjax.report import Readout, maturity_figure
from smrjax.report.figures import number
from smrjax.report.page import Html, Section, dot, figure, listing, subtitle, table, words
from smrjax.taxonomy import counterparts

#: Do not trust a model where more than this share of the cells is unlike those it was trained with (of its own
#: validation cells 1 % is so by definition),
UNFAMILIAR = 0.1
#: where it names the right class of cells of shared classes less often than its own test cells by more than this,
LOSS = 0.1
#: or where t orders the labelled stages no better than this.
TAU = 0.3


def elsewhere(predictions: Sequence[Predicted], out: Path) -> Section:
    """Of every prediction how familiar its cells are, and where they are labelled, how often it is right.

    Args:
        predictions: In the order given.
        out: Folder of the pictures.
    """
    parts: list[Html] = []
    if predictions:
        parts.append(_table(predictions))
    for cells in predictions:
        parts.append(subtitle(cells.title))
        parts.append(_verdict(cells))
        if (cells.true >= 0).any():
            parts.append(_classes(cells))
            parts += _stages(cells, out)
    return Section("Cells from elsewhere", parts)


def _table(predictions: Sequence[Predicted]) -> Html:
    heads = ["Cells", "Stain", "Images", "Unreadable", "Unfamiliar", "Off the curve", "Borderline"]
    heads += ["Right", "Macro-F", "τ"]
    rows = []
    for run in {one.run.title: one.run for one in predictions}.values():
        own = [one for one in predictions if one.run is run]
        true, answers = _tested(run, np.concatenate([one.same for one in own]))
        rows.append(
            [f"test cells of {run.title}", "as they are", f"{len(true):,}", "–", _percent(_unfamiliar_share(run))]
            + ["–", "–", *_scores(true, answers), "–"]
        )
        for cells in own:
            tau, shared = _tau(cells), cells.same >= 0
            flags = [
                _percent(float(cells.flags[name].mean())) if len(shared) else "–"
                for name in ("unfamiliar", "off_curve", "borderline")
            ]
            rows.append(
                [
                    cells.title,
                    "as they are" if _stain(cells) == "none" else "brought to the run's",
                    *(f"{cells.about[name]:,}" for name in ("images", "unreadable")),
                    *flags,
                    *_scores(cells.same[shared], cells.predicted[shared]),
                    ", ".join(number(value, 2) for value, _ in tau.values()) or "–",
                ]
            )
    return table(
        heads,
        rows,
        caption="Unfamiliar: farther from the training cells than 99 % of the validation cells; off the curve: "
        "likewise from the curve of their lineage; borderline: between two adjacent stages. Right and macro-F: of "
        "cells of the classes that both have. τ: Kendall's tau-b of t and the labelled stage, by lineage.",
        numbers=2,
    )


def _verdict(cells: Predicted) -> Html:
    """Whether to trust the model on these cells, in words, with the reasons."""
    n = len(cells.predicted)
    if not n:
        return words("None of these images could be read.", "notice")
    against, known = [], []
    share = float(cells.flags["unfamiliar"].mean())
    if share > UNFAMILIAR:
        against.append(f"{_percent(share)} of the cells are unlike those that it was trained with.")
    else:
        known.append(f"{_percent(share)} of the cells are unlike those that it was trained with.")
    right = _right(cells)
    if right is not None:
        true, answers = _tested(cells.run, cells.same)
        own = float((true == answers).mean()) if len(true) else 1.0
        shared = int((cells.same >= 0).sum())
        low, high = (float(end) for end in wilson(right * shared, shared))
        said = (
            f"Of {shared:,} cells of classes that it knows it names {_percent(right)} rightly (95 % interval "
            f"{100 * low:.0f} to {100 * high:.0f} %), of its own test cells of these classes {_percent(own)}."
        )
        (against if right < own - LOSS else known).append(said)
    for line, (tau, stages) in _tau(cells).items():
        said = f"Its t puts {line} cells labelled {' < '.join(stages)} in this order with a Kendall's tau of {tau:.2f}."
        (against if tau < TAU else known).append(said)
    strange = np.unique(cells.true[(cells.true >= 0) & (cells.same < 0)])
    if len(strange):
        names = enumerated([cells.known.titles[c].lower() for c in strange])
        count = int(np.isin(cells.true, strange).sum())
        against.append(f"It knows no class called {names}, and must name another one for {count:,} of the cells.")
    if against:
        head = words(f"Do not trust {cells.run.title} on these cells.", "notice")
    elif right is None:
        head = words(
            f"Nothing speaks against {cells.run.title} on these cells, but they have no labels: whether it is right, "
            "nobody can tell. Label a few hundred of them, and predict again with --labels."
        )
    else:
        head = words(f"Nothing speaks against {cells.run.title} on these cells.")
    return Html(head + "\n" + listing(against + known))


def _classes(cells: Predicted) -> Html:
    """Of every labelled class how many cells are named rightly, and what they are named most often."""
    taxonomy, rows = cells.run.taxonomy, []
    for c in np.unique(cells.true[cells.true >= 0]):
        own = cells.true == c
        answers = np.bincount(cells.predicted[own], minlength=len(taxonomy.classes))
        meant = int(cells.same[own][0])
        low, high = (float(end) for end in wilson(answers[max(meant, 0)], answers.sum()))
        most = [i for i in np.argsort(-answers, kind="stable")[:3] if answers[i]]
        rows.append(
            [
                dot(cells.known.colours[c], cells.known.titles[c]),
                ", ".join(f"{taxonomy.titles[i]} {_percent(answers[i] / own.sum())}" for i in most),
                f"{own.sum():,}",
                "unknown to it" if meant < 0 else f"{_percent(answers[meant] / own.sum())}",
                "–" if meant < 0 else f"{100 * low:.0f} to {100 * high:.0f}",
                _percent(float(cells.flags["unfamiliar"][own].mean())),
            ]
        )
    heads = ["Labelled", "Named most often", "Cells", "Right", "95 % interval", "Unfamiliar"]
    caption = "Classes that cells were labelled with, and what the model names them."
    return table(heads, rows, caption=caption, numbers=2)


def _stages(cells: Predicted, out: Path) -> list[Html]:
    """Where labelled stages lie along the model's curves."""
    here = set(np.unique(cells.true[np.isfinite(cells.raw_t)]).tolist()) - {-1}
    place = cells.known.classes.index
    lines = {
        line.name: [place(code) for code in line.classes if place(code) in here]
        for line in cells.known.lineages
        if line.name in cells.run.ordered
    }
    lines = {name: members for name, members in lines.items() if len(members) > 1}
    if not lines:
        return []
    fitted, same = [fold.curves for fold in cells.run.folds], counterparts(cells.known, cells.run.taxonomy)
    targets, boundaries = {}, {}
    read_by = "own" if "t_own" in cells.run.folds[0].embeddings else "line"
    for line, members in lines.items():
        changes = [one.get(f"boundaries_{read_by}_{line}", np.zeros(0)) for one in fitted]
        boundaries[line] = np.mean(changes, axis=0)
        place_of = dict(
            zip(
                (cells.run.taxonomy.classes[c] for c in cells.run.ordered[line]),
                np.mean([one[f"targets_{line}"] for one in fitted], axis=0),
                strict=True,
            )
        )
        targets[line] = np.array([place_of.get(same.get(cells.known.classes[c], ""), np.nan) for c in members])
    path = maturity_figure(
        out / f"elsewhere-{Path(cells.title).name}.png",
        readouts=[Readout(cells.title, np.where(_in_line(cells, lines), cells.raw_t, np.nan), targets, boundaries)],
        labels=cells.true,
        class_names=cells.known.titles,
        colours=cells.known.colours,
        lineages=lines,
        title="Where labelled stages from elsewhere lie along the model's curve",
    )
    return [
        figure(
            path,
            alt=f"{cells.title}: ridges of t along the curve for every labelled stage.",
            caption="Cells that the model takes for one of the lineage's classes, by their label. A stage without a "
            "target is one that the model does not know.",
        )
    ]


def _in_line(cells: Predicted, lines: dict[str, list[int]]) -> np.ndarray:
    """Whether each cell is read along the curve of the lineage that its label belongs to."""
    home = {c: name for name, members in lines.items() for c in members}
    return np.array([home.get(int(c), None) == line for c, line in zip(cells.true, cells.lineage, strict=True)], bool)


def _tau(cells: Predicted) -> dict[str, tuple[float, list[str]]]:
    """By lineage: how well t orders the labelled stages, and their codes; only where it is defined."""
    found, stage = {}, cells.known.stage()
    for line in cells.known.lineages:
        members = [cells.known.classes.index(code) for code in line.classes]
        rows = np.isin(cells.true, members) & (cells.lineage == line.name) & np.isfinite(cells.raw_t)
        tau = kendall_tau(cells.raw_t[rows], stage[cells.true[rows]])
        if tau is not None:
            here = set(cells.true[rows].tolist())
            found[line.name] = (tau, [cells.known.classes[c] for c in members if c in here])
    return found


def _tested(run: Run, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of a run's own test cells, of those classes that other cells have, too."""
    true = run.together("true")
    asked = np.isin(true, same) if (same >= 0).any() else np.ones(len(true), bool)
    return true[asked], run.together("predicted")[asked]


def _scores(true: np.ndarray, predicted: np.ndarray) -> list[str]:
    """Share of right answers, and mean F1 of the classes that are there."""
    if not len(true):
        return ["–", "–"]
    return [_percent(float((true == predicted).mean())), number(macro_f1_at_support(true, predicted, support=1) or 0.0)]


def _right(cells: Predicted) -> float | None:
    """Share of cells named rightly among those of classes that the run knows; None without such cells."""
    shared = cells.same >= 0
    return float((cells.same == cells.predicted)[shared].mean()) if shared.any() else None


def _unfamiliar_share(run: Run) -> float:
    """Share of a run's own test cells that it would call unfamiliar."""
    found = []
    for fold in run.folds:
        parts = (fold.embeddings["embeddings"][fold.embeddings["part"] == k] for k in (TRAINING, VALIDATION, TEST))
        training, validation, test = parts
        kept = thin(training)
        found.append(distance_to(kept, test) > limit_of(distance_to(kept, thin(validation))))
    return float(np.concatenate(found).mean())


def _stain(cells: Predicted) -> str:
    return str(cells.about.get("options", {}).get("stain", "none"))


def _percent(share: float) -> str:
    # The space does not break.
    return f"{100 * share:.{1 if share < 0.1 else 0}f}\u00a0%"
