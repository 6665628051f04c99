"""Section of the report about cells from elsewhere: what a model says of them, and whether to believe it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
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

#: Do not trust a model where more than this share of the cells is unlike those it was trained with (of its own
#: validation cells 1 % is so by definition),
UNFAMILIAR = 0.1
#: where it surely names the right class of cells of shared classes less often than of its own test cells, by this,
LOSS = 0.1
#: where t orders the labelled stages no better than this, of so many cells or more,
TAU, ENOUGH = 0.3, 30
#: or where more than this share of the labelled cells is of classes that it does not know.
STRANGE = 0.05


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
                    ", ".join(number(one.tau, 2) for one in tau.values()) or "–",
                ]
            )
    return table(
        heads,
        rows,
        caption="Unfamiliar: farther from the training cells than 99 % of the validation cells; off the curve: "
        "likewise from the curve of their lineage; borderline: between two adjacent stages. Right and macro-F: of "
        "cells of the classes that both have; test cells each by the one network that had not seen it, others by the "
        "networks of all folds asked. τ: Kendall's tau-b of t and the labelled stage, by lineage. Shares are of all "
        "readable cells.",
        numbers=2,
    )


def _verdict(cells: Predicted) -> Html:
    """Whether to trust the model on these cells, in words, with the reasons."""
    n = len(cells.predicted)
    if not n:
        return words("None of these images could be read.", "notice")
    against: list[str] = []
    known: list[str] = []
    settled = True
    share = float(cells.flags["unfamiliar"].mean())
    said = f"{_percent(share)} of the cells are unlike those that it was trained with."
    (against if share > UNFAMILIAR else known).append(said)
    right, shared = _right(cells), int((cells.same >= 0).sum())
    if right is not None:
        low, high = (float(end) for end in wilson(right * shared, shared))
        said = (
            f"Of {shared:,} cells of classes that it knows it names {_percent(right)} rightly (95 % interval "
            f"{100 * low:.0f} to {100 * high:.0f} %); "
        )
        true, answers = _tested(cells.run, cells.same)
        if len(true):
            own = float((true == answers).mean())
            settled = low >= own - LOSS
            said += f"of its own test cells of these classes, {_percent(own)}."
            (against if high < own - LOSS else known).append(said)
        else:
            settled = False
            known.append(said + "it was tested with none of these classes.")
    for line, order in _tau(cells).items():
        if order.taken < ENOUGH:
            continue
        said = (
            f"Of {order.labelled:,} cells labelled {' < '.join(order.stages)} it takes {order.taken:,} for {line} "
            f"cells; its t orders these with a Kendall's tau of {order.tau:.2f} (1: as labelled, 0: by chance)."
        )
        (against if order.tau < TAU else known).append(said)
    strange = (cells.true >= 0) & (cells.same < 0)
    if strange.any():
        names = enumerated([cells.known.titles[c].lower() for c in np.unique(cells.true[strange])])
        said = (
            f"It knows no class called {names}, and must name another one for {int(strange.sum()):,} of the cells. "
            "Classes are the same where their titles are."
        )
        (against if strange.sum() > STRANGE * (cells.true >= 0).sum() else known).append(said)
    title = cells.run.title
    if against:
        head = words(f"Do not trust {title} on these cells.", "notice")
    elif right is None:
        head = words(
            f"Nothing speaks against {title} on these cells, but none has a label that it knows: whether it is right, "
            "nobody can tell. Label a few hundred of them, and predict again with --labels."
        )
    elif not settled:
        head = words(f"Too few of these cells are labelled to tell whether {title} may be trusted on them.")
    else:
        head = words(f"Nothing speaks against {title} on these cells.")
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
    known = cells.true >= 0
    here = set(np.unique(cells.true[known & np.isfinite(cells.raw_t)]).tolist())
    home = {name: [c for c in members if c in here] for name, members in cells.lineages}
    lines = {name: members for name, members in home.items() if len(members) > 1}
    if not lines:
        return []
    fitted = [fold.curves for fold in cells.run.folds]
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
        targets[line] = np.array(
            [place_of.get(cells.namesakes.get(cells.known.classes[c], ""), np.nan) for c in members]
        )
    name = re.sub(r"[^\w.]+", "-", cells.title)
    path = maturity_figure(
        out / f"elsewhere-{name}.png",
        readouts=[
            Readout(cells.title, np.where(_in_line(cells, lines), cells.raw_t, np.nan)[known], targets, boundaries)
        ],
        labels=cells.true[known],
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


@dataclass(frozen=True)
class _Order:
    """How t orders the labelled stages of a lineage."""

    tau: float
    stages: list[str]
    labelled: int
    taken: int


def _tau(cells: Predicted) -> dict[str, _Order]:
    """By lineage of the run; only where tau is defined."""
    found, stage = {}, cells.known.stage()
    for name, members in cells.lineages:
        labelled = np.isin(cells.true, members)
        rows = labelled & (cells.lineage == name) & np.isfinite(cells.raw_t)
        tau = kendall_tau(cells.raw_t[rows], stage[cells.true[rows]])
        if tau is not None:
            here = set(cells.true[rows].tolist())
            codes = [cells.known.classes[c] for c in members if c in here]
            found[name] = _Order(tau, codes, int(labelled.sum()), int(rows.sum()))
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
    return f"{100 * share:.{1 if share < 0.1 or 0.99 < share < 1 else 0}f}\u00a0%"
