"""Section of the report about cells from elsewhere: what a model says of them, beside its own test cells."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.report_folds import mean_over
from experiments.report_predictions import Predicted
from experiments.report_tested import Tested, in_both, orders, tested
from experiments.report_verdict import verdict
from experiments.report_words import percent
from smrjax.evaluate import macro_f1_at_support, wilson
from smrjax.report import Readout, maturity_figure
from smrjax.report.figures import number
from smrjax.report.page import Html, Section, dot, figure, subtitle, table, whole
from smrjax.taxonomy import Taxonomy

#: Flags in the order of the table.
_SHOWN = ("unfamiliar", "off_curve", "borderline")


def elsewhere(predictions: Sequence[Predicted], out: Path) -> Section:
    """Of every prediction how familiar its cells are, and where they are labelled, how often it is right.

    Args:
        predictions: In the order given.
        out: Folder of the pictures.
    """
    asked: dict[str, list[Predicted]] = {}
    for cells in predictions:
        asked.setdefault(cells.by, []).append(cells)
    own = {by: tested(of[0]) for by, of in asked.items()}
    parts: list[Html] = [_table(asked, own)] if predictions else []
    for cells in predictions:
        parts.append(subtitle(cells.title))
        parts.append(verdict(cells, own[cells.by]))
        if (cells.true >= 0).any():
            parts.append(_classes(cells))
            parts += _stages(cells, out)
    return Section("Cells from elsewhere", parts)


def _table(asked: Mapping[str, Sequence[Predicted]], own: Mapping[str, Tested]) -> Html:
    """A row for every prediction, below one for the test cells of the folds that were asked."""
    heads = ["Cells", "Stain", "Images", "Unreadable", "Unfamiliar", "Off the curve", "Borderline"]
    heads += ["Right", whole("Macro-F"), "τ"]
    rows = []
    for by, predictions in asked.items():
        run, home = predictions[0].run, own[by]
        beside = np.any([in_both(home, cells) for cells in predictions], axis=0)
        rows.append(
            [f"test cells of {by}", whole("as they are"), f"{len(home.true):,}", "–"]
            + [percent(home.flags[name]) for name in _SHOWN]
            + [
                *_scores(home.true[beside], home.predicted[beside]),
                _taus(home, list(run.ordered.items()), run.taxonomy),
            ]
        )
        for cells in predictions:
            shared = cells.same >= 0
            rows.append(
                [
                    cells.title + (f", by {cells.asked}" if cells.asked else ""),
                    whole("as they are") if _stain(cells) == "none" else "brought to the run's",
                    *(f"{cells.about[name]:,}" for name in ("images", "unreadable")),
                    *(percent(float(cells.flags[name].mean())) if len(shared) else "–" for name in _SHOWN),
                    *_scores(cells.same[shared], cells.predicted[shared]),
                    _taus(cells, cells.lineages, cells.known),
                ]
            )
    several = [len(cells.folds) > 1 for of in asked.values() for cells in of]
    judges = "the networks of all folds asked" if all(several) else "the network of the fold that is named"
    if any(several) and not all(several):
        judges = "all networks that were asked, of one fold or of several"
    return table(
        heads,
        rows,
        caption="Unfamiliar: farther from the training cells than 99 % of the validation cells; off the curve: "
        "likewise from the curve of their lineage; borderline: between two adjacent stages. Right and macro-F: of "
        "cells of the classes that both have. Test cells are judged each by the one network that had not seen it, "
        f"others by {judges}. τ: Kendall's tau-b of t and the labelled stage, by lineage, over whichever of its stages "
        "there are: compare it between rows of the same stages. Shares are of all readable cells.",
        numbers=2,
    )


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
                Html(", ".join(whole(f"{taxonomy.titles[i]} {percent(answers[i] / own.sum())}") for i in most)),
                f"{own.sum():,}",
                "unknown to it" if meant < 0 else f"{percent(answers[meant] / own.sum())}",
                "–" if meant < 0 else f"{100 * low:.0f} to {100 * high:.0f}",
                percent(float(cells.flags["unfamiliar"][own].mean())),
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
    targets, boundaries = {}, {}
    read_by = "own" if "t_own" in cells.folds[0].embeddings else "line"
    for line, members in lines.items():
        changes, places = (mean_over(cells.folds, name) for name in (f"boundaries_{read_by}_{line}", f"targets_{line}"))
        boundaries[line] = np.zeros(0) if changes is None else changes
        codes = [cells.run.taxonomy.classes[c] for c in cells.run.ordered[line]]
        place_of = {} if places is None else dict(zip(codes, places, strict=False))
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


def _taus(cells: Predicted | Tested, lines: list[tuple[str, list[int]]], known: Taxonomy) -> str:
    return ", ".join(number(one.tau, 2) for one in orders(cells, lines, known).values()) or "–"


def _scores(true: np.ndarray, predicted: np.ndarray) -> list[str]:
    """Share of right answers, and mean F1 of the classes that are there."""
    if not len(true):
        return ["–", "–"]
    return [percent(float((true == predicted).mean())), number(macro_f1_at_support(true, predicted, support=1) or 0.0)]


def _stain(cells: Predicted) -> str:
    return str(cells.about.get("options", {}).get("stain", "none"))
