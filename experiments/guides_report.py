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
#: Of a run's summary.json.
SUMMARY = {
    "title": str,
    "config": {"data": {"folds": int}},
    "scores": {"macro_f1": {"values": [float]}, "misclassification_severity?": {"values": [float]}},
}
LOSSES = {"umap": "inverse UMAP loss", "distance": "distance loss"}


def title_of(name: str) -> str:
    """Of a guide, for pictures: ``DrL, similarity + maturity``."""
    layout, *words = name.split("-")
    head = {"drl": "DrL"}.get(layout, layout.upper()) if words else layout
    return ", ".join([head, *([" + ".join(words)] if words else [])])


def draw_guides(folder: Path, taxonomy: Taxonomy, places: Mapping[str, np.ndarray]) -> Path:
    """The guides of a run, `guides.png`."""
    lineages = {line.name: [taxonomy.classes.index(c) for c in line.classes] for line in taxonomy.lineages}
    return guides_figure(
        folder / "guides.png",
        guides={title_of(name): guide for name, guide in places.items()},
        class_names=taxonomy.titles,
        colours=taxonomy.colours,
        lineages=lineages,
        title="Guides: places of the classes",
    )


def _shown(summaries: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Heading -> score, of those that all runs have."""
    return {
        head: name for head, (name, _) in SCORES.items() if all(name in one["scores"] for one in summaries.values())
    }


def draw_scores(
    folder: Path,
    summaries: Mapping[str, dict[str, Any]],
    variants: Mapping[str, tuple[str, str] | None],
    *,
    baseline: str,
) -> Path:
    """Scores of all guides beside the baseline, `scores.png`; `variants`: run -> its guide and loss, or None."""
    shown = _shown(summaries)
    scores: dict[str, dict[str, dict[str, list[float]]]] = {head: {} for head in shown}
    for run, variant in variants.items():
        if variant is None:
            continue
        guide, loss = variant
        for head, name in shown.items():
            values = summaries[run]["scores"][name]["values"]
            scores[head].setdefault(title_of(guide), {})[LOSSES[loss]] = values
    return guide_scores_figure(
        folder / "scores.png",
        scores=scores,
        baseline={head: summaries[baseline]["scores"][name]["values"] for head, name in shown.items()},
        baseline_name="TML",
        title="Guides and the triplet baseline on the same folds",
    )


def table_of_methods(summaries: Mapping[str, dict[str, Any]], *, baseline: str) -> str:
    """A Markdown table: mean of every score, and the paired difference to the baseline with its 95 % interval."""
    shown = _shown(summaries)
    lines = ["| method | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for summary in summaries.values():
        cells = []
        for name in shown.values():
            values = np.array(summary["scores"][name]["values"], np.float64)
            base = np.array(summaries[baseline]["scores"][name]["values"], np.float64)
            text = f"{values.mean():.3f}"
            # Of all folds one is tested and one is for validation.
            folds = summary["config"]["data"]["folds"]
            if summary is not summaries[baseline] and 1 < len(values) == len(base):
                d = paired_difference(values, base, test_to_train=1 / max(folds - 2, 1))
                text += f" ({d['mean']:+.3f} ± {(d['high'] - d['low']) / 2:.3f})"
            cells.append(text)
        lines.append(f"| {summary['title']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
