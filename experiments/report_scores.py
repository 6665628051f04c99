"""Sections of the report about scores: the runs beside one another, stages and errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.report_compare import SCORES, Paired, in_words, p_value, shared_folds, signed
from experiments.report_runs import Run
from experiments.report_words import plus_minus, without_runs
from smrjax.evaluate import error_split, macro_f1, macro_f1_at_support
from smrjax.report import comparison_figure, outcomes_figure
from smrjax.report.page import Html, Section, figure, listing, subtitle, table, whole, words

#: What a readout of maturity is called in tables.
READOUTS = {
    "own": "own curve",
    "line": "line, fitted afterwards",
    "bezier": "Bézier, fitted afterwards",
    "expected": "expected stage of the classifier",
}
STAGE_SCORES = {
    "off_by_one_accuracy": "Off by one at most",
    "mean_absolute_stage_error": "Mean stage error",
    "quadratic_kappa": "Quadratic κ",
}


def comparison(runs: Sequence[Run], baseline: Run, differences: Sequence[Paired], out: Path) -> Section:
    """Means with folds, scores as a table, and paired differences in numbers and words."""
    apart = [run.title for run in runs if run is not baseline and not shared_folds(run, baseline)]
    called = {
        name: says + (" (less is better)" if less else "")
        for name, (says, less) in SCORES.items()
        if any(len(run.values(name)) for run in runs)
    }
    beside: dict[str, dict[str, tuple[float, float, float]]] = {head: {} for head in called.values()}
    for pair in differences:
        beside[called[pair.score]][pair.run] = tuple(pair.difference[end] for end in ("mean", "low", "high"))
    several = len(runs) > 1
    path = comparison_figure(
        out / "comparison.png",
        scores={head: {run.title: run.values(name) for run in runs} for name, head in called.items()},
        baseline=baseline.title if several else None,
        differences=beside,
        apart=apart,
        title="Scores on test cells",
    )
    means = "; ".join(f"{run.title} {plus_minus(run.values('macro_f1'))}" for run in runs)
    parts = [figure(path, alt=f"Macro-F of every run, with its folds and its interval: {means}."), _scores(runs)]
    if not several:
        return Section("Scores", parts)
    parts.append(subtitle(f"Differences to {baseline.title}, fold by fold"))
    if apart:
        names = ", ".join(apart)
        parts.append(
            words(
                f"Not paired with {baseline.title}, because they were tested on other cells or folds: {names}. Their "
                "scores stand beside the others for orientation; a difference to them would mean nothing.",
                "note",
            )
        )
    few = [run.title for run in runs if run is not baseline and len(shared_folds(run, baseline)) == 1]
    if few:
        parts.append(words(f"One shared fold allows no interval: {', '.join(few)}.", "note"))
    if differences:
        parts += [_differences(differences), *_sentences(differences, baseline)]
    return Section("Comparison of runs", parts)


def _scores(runs: Sequence[Run]) -> Html:
    names = {
        "macro_f1": "Macro-F",
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "m_score": "m-score",
        "misclassification_severity": "Severity",
    }
    names = {name: head for name, head in names.items() if any(len(run.values(name)) for run in runs)}
    rows = []
    for run in runs:
        true, predicted = run.together("true"), run.together("predicted")
        large = macro_f1_at_support(true, predicted, support=30)
        rows.append(
            [
                run.title,
                *(plus_minus(run.values(name), 2 if name == "m_score" else 3) for name in names),
                f"{macro_f1(true, predicted):.3f}",
                "–" if large is None else f"{large:.3f}",
            ]
        )
    heads = ["Run", *names.values(), *(Html(f"{whole('Macro-F')}, {of}") for of in ("folds together", "≥ 30 cells"))]
    heads, rows = without_runs(heads, rows, runs)
    return table(
        heads,
        rows,
        numbers=0 if runs[0].alone else 1,
        caption="Mean over folds ± half of its 95 % interval. Folds together: of the test cells of all folds at "
        "once; ≥ 30 cells: the same without classes of fewer, in which chance moves macro-F most.",
    )


def _differences(differences: Sequence[Paired]) -> Html:
    heads = ["Run", "Score", "Folds", "Difference", "95 % interval", "p", "p, Holm", "Wilcoxon p", "Wilcoxon p, Holm"]
    rows = []
    for pair in differences:
        d = pair.difference
        interval = f"{signed(d['low'])} to {signed(d['high'])}"
        tests = [d["p"], pair.p_holm, d["wilcoxon_p"], pair.wilcoxon_holm]
        name = SCORES[pair.score][0]
        name = name if " " in name else whole(name)
        rows.append([pair.run, name, str(pair.folds), signed(d["mean"]), interval, *map(p_value, tests)])
    fewest = min(pair.folds for pair in differences)
    return table(
        heads,
        rows,
        numbers=2,
        caption="Run less baseline on the same folds. Interval and p: t-test for resampled folds, widened for the "
        "training cells that folds share (Nadeau and Bengio 2003). Holm: corrected for all rows of this table. "
        f"Wilcoxon's signed ranks cannot go below {2 / 2**fewest:.3f} with {fewest} folds.",
    )


def _sentences(differences: Sequence[Paired], baseline: Run) -> list[Html]:
    """What the intervals say, run by run."""
    said: dict[str, list[str]] = {}
    for pair in differences:
        said.setdefault(pair.run, []).append(in_words(pair, baseline.title, family=len(differences)))
    parts = [listing([" ".join(sentences) for sentences in said.values()])]
    if any(pair.difference["low"] <= 0 <= pair.difference["high"] for pair in differences):
        parts.append(
            words(
                "Not to be told apart does not mean to be equal: every difference within the interval agrees with what "
                "was seen.",
                "note",
            )
        )
    return parts


def stages(runs: Sequence[Run], detailed: Sequence[Run], out: Path) -> Section:
    """Errors of all runs by how far they are off; of those in detail, scores that know the order of the stages."""
    shares = {}
    for run in runs:
        taxonomy = run.taxonomy
        shares[run.title] = error_split(
            run.together("true"),
            run.together("predicted"),
            stage=taxonomy.stage(),
            lineage_index=taxonomy.lineage_index(),
        )
    path = outcomes_figure(out / "outcomes.png", shares=shares, title="What became of the test cells")
    in_words = "; ".join(
        f"{title}: {100 * of['correct']:.1f} % right, {100 * of['adjacent']:.1f} % one stage off, "
        f"{100 * of['same_lineage']:.1f} % further off in the lineage, {100 * of['other']:.1f} % elsewhere"
        for title, of in shares.items()
    )
    parts = [
        figure(
            path,
            alt=f"Stacked bars. {in_words}.",
            caption="Test cells of all folds together. One stage off: a neighbouring stage of the same lineage.",
        )
    ]
    with_lineages = [run for run in detailed if run.ordered]
    if with_lineages:
        parts += [_stage_table(with_lineages), *_tau_table(with_lineages)]
    else:
        parts.append(words("No lineage of two or more stages is known, so nothing here has an order.", "note"))
    return Section("Stages and errors", parts)


def _stage_table(runs: Sequence[Run]) -> Html:
    rows = []
    for run in runs:
        for line in run.ordered:
            for reading, called in (("penalised", "all cells"), ("conditional", "in the lineage")):
                values = [run.values("lineages", line, reading, name) for name in STAGE_SCORES]
                rows.append([run.title, line, called, *map(plus_minus, values)])
    heads, rows = without_runs(["Run", "Lineage", "Counted", *STAGE_SCORES.values()], rows, runs)
    return table(
        heads,
        rows,
        numbers=len(heads) - len(STAGE_SCORES),
        caption="Stage errors per lineage, mean over folds ± half of the 95 % interval. All cells: one predicted "
        "outside its lineage counts as the greatest distance. In the lineage: such cells are left out. Off by "
        "one at most and κ: more is better; mean stage error: less.",
    )


def _tau_table(runs: Sequence[Run]) -> list[Html]:
    names = [name for name in READOUTS if any(len(_tau(run, line, name)) for run in runs for line in run.ordered)]
    if not names:
        return []
    rows = [
        [run.title, line, *(plus_minus(_tau(run, line, name)) for name in names)]
        for run in runs
        for line in run.ordered
    ]
    caption = (
        "Kendall's τ of the position t and the labelled stage, by how t is read off, mean over folds ± half of the "
        "95 % interval; 1 would be perfect order. Methods are fairly compared under the same readout only."
    )
    heads, rows = without_runs(["Run", "Lineage", *(READOUTS[name] for name in names)], rows, runs)
    return [table(heads, rows, numbers=len(heads) - len(names), caption=caption)]


def _tau(run: Run, line: str, readout: str) -> np.ndarray:
    return run.values("readouts", line, readout, "kendall_tau_stage")
