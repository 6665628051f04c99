"""What a set of guided runs says as a whole: guides, scores, a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smrjax.evaluate.statistics import paired_difference
from smrjax.report import guide_scores_figure, guides_figure
from smrjax.taxonomy import Taxonomy

#: Heading -> score, and whether less is better.
SCORES = {
    "macro-F": ("macro_f1", False),
    "severity (MCS)": ("misclassification_severity", True),
}
LOSSES = {"umap": "inverse UMAP loss", "distance": "distance loss"}


def draw_guides(folder: Path, taxonomy: Taxonomy, places: Mapping[str, np.ndarray]) -> Path:
    """The guides of a run, `guides.png`."""
    lineages = {line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages}
    return guides_figure(
        folder / "guides.png",
        guides=places,
        class_names=taxonomy.titles,
        colours=taxonomy.colours,
        lineages=lineages,
        title="Guides: places of the classes",
    )


def draw_scores(folder: Path, summaries: Mapping[str, dict[str, Any]], *, baseline: str) -> Path:
    """Scores of all guides beside the baseline, `scores.png`."""
    shown = {head: name for head, (name, _) in SCORES.items() if name in summaries[baseline]["scores"]}
    scores: dict[str, dict[str, dict[str, list[float]]]] = {head: {} for head in shown}
    for run, summary in summaries.items():
        if run == baseline:
            continue
        loss = run.rsplit("-", 1)[1]
        for head, name in shown.items():
            guide = summary["title"].rsplit(", ", 1)[0]
            scores[head].setdefault(guide, {})[LOSSES[loss]] = summary["scores"][name]["values"]
    return guide_scores_figure(
        folder / "scores.png",
        scores=scores,
        baseline={head: summaries[baseline]["scores"][name]["values"] for head, name in shown.items()},
        baseline_name="TML",
        title="Guides and the triplet baseline on the same folds",
    )


def table_of_methods(summaries: Mapping[str, dict[str, Any]], *, baseline: str) -> str:
    """A Markdown table: mean of every score, and the paired difference to the baseline with its 95 % interval."""
    shown = {head: name for head, (name, _) in SCORES.items() if name in summaries[baseline]["scores"]}
    lines = ["| method | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for summary in summaries.values():
        cells = []
        for name in shown.values():
            values = np.array(summary["scores"][name]["values"], np.float64)
            base = np.array(summaries[baseline]["scores"][name]["values"], np.float64)
            text = f"{values.mean():.3f}"
            # Six folds, one tested and one for validation.
            d = paired_difference(values, base, test_to_train=0.25)
            if summary is not summaries[baseline] and d["low"] is not None:
                text += f" ({d['mean']:+.3f} ± {(d['high'] - d['low']) / 2:.3f})"
            cells.append(text)
        lines.append(f"| {summary['title']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
