"""Runs beside a baseline: paired differences over the folds they share, and what may be said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.report_folds import Fold
from experiments.report_runs import Run
from smrjax.evaluate import holm, paired_difference

#: Score -> what it is called, and whether less is better.
SCORES = {"macro_f1": ("macro-F", False), "misclassification_severity": ("severity of errors", True)}


@dataclass(frozen=True)
class Paired:
    """A run beside the baseline in one score.

    Attributes:
        run: Title of the run.
        score: Name in `SCORES`.
        folds: How many pairs.
        difference: Of `smrjax.evaluate.paired_difference`: the run's score less the baseline's.
        p_holm: Two-sided p of the corrected resampled t-test, by Holm over all comparisons; None below two folds.
        wilcoxon_holm: The same of Wilcoxon's signed ranks.
    """

    run: str
    score: str
    folds: int
    difference: dict[str, Any]
    p_holm: float | None
    wilcoxon_holm: float | None


def choose_baseline(runs: Sequence[Run]) -> Run:
    """The first triplet baseline, or the first run where there is none."""
    return next((run for run in runs if is_triplet_baseline(run)), runs[0])


def is_triplet_baseline(run: Run) -> bool:
    """Whether a run is trained with triplets alone."""
    return run.config.get("smr", {}).get("method") == "tml" or run.summary.get("title") == "TML"


def shared_folds(a: Run, b: Run) -> list[tuple[Fold, Fold]]:
    """The finished folds of the same number that test the same cells under the same labels, in both runs."""
    theirs = {fold.number: fold for fold in b.folds}
    if a.taxonomy.classes != b.taxonomy.classes:
        return []
    pairs = [(fold, theirs[fold.number]) for fold in a.folds if fold.number in theirs]
    return [(one, other) for one, other in pairs if _cells(one) == _cells(other)]


def _cells(fold: Fold) -> dict[str, int]:
    return dict(zip(fold.names, fold.true.tolist(), strict=True))


def parts_ratio(run: Run) -> float:
    """Test cells for each training cell, by which the corrected interval widens.

    Read off the parts of the folds; of a method that keeps none, one part of all to test and one for validation.
    """
    parts = [fold.embeddings["part"] for fold in run.folds if "part" in fold.embeddings]
    if parts:
        return float(np.mean([(part == 2).sum() / max((part == 0).sum(), 1) for part in parts]))
    return 1 / max(int(run.config.get("data", {}).get("folds", 0)) - 2, 1)


def paired_differences(runs: Sequence[Run], baseline: Run) -> list[Paired]:
    """Every other run that shares two folds or more with the baseline, in every score that both have.

    Holm's correction counts all of them as one family.
    """
    found: list[tuple[str, str, int, dict[str, Any]]] = []
    for run in runs:
        pairs = shared_folds(run, baseline) if run is not baseline else []
        ratio = max(parts_ratio(run), parts_ratio(baseline))
        for score in SCORES:
            values = [(one.result["scores"].get(score), other.result["scores"].get(score)) for one, other in pairs]
            defined = [pair for pair in values if None not in pair]
            if len(defined) > 1:
                a, b = np.array(defined, np.float64).T
                found.append((run.title, score, len(defined), paired_difference(a, b, test_to_train=ratio)))
    p_holm, wilcoxon_holm = (_holm([difference[name] for *_, difference in found]) for name in ("p", "wilcoxon_p"))
    return [Paired(*one, p, w) for one, p, w in zip(found, p_holm, wilcoxon_holm, strict=True)]


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    known = iter(holm([p for p in p_values if p is not None]).tolist())
    return [None if p is None else next(known) for p in p_values]


def in_words(pair: Paired, baseline: str, *, family: int) -> str:
    """One sentence that claims no more than the interval does.

    Args:
        pair: Run and difference.
        baseline: Its title.
        family: How many comparisons Holm's correction counts.
    """
    name, less_is_better = SCORES[pair.score]
    mean, low, high = (pair.difference[key] for key in ("mean", "low", "high"))
    numbers = f"{signed(mean)} on average over {pair.folds} folds, 95 % interval {signed(low)} to {signed(high)}"
    if low <= 0 <= high:
        return f"These folds do not tell {pair.run} and {baseline} apart in {name}: {numbers}."
    better = (mean > 0) != less_is_better
    words = f"{pair.run} has a {'higher' if mean > 0 else 'lower'} {name} than {baseline}: {numbers}"
    words += ", the better value." if better else ", the worse value."
    if family > 1 and pair.p_holm is not None:
        stands = "it stands" if pair.p_holm < 0.05 else "it may be chance"
        words += f" Counted as one of {family} comparisons, {stands} (p by Holm {p_value(pair.p_holm)})."
    return words


def signed(value: float) -> str:
    """A difference with its sign, as it is printed: three digits.

    >>> signed(0.01234), signed(-0.5), signed(0.0)
    ('+0.012', '−0.500', '0.000')
    """
    from smrjax.report.figures import number

    return number(value, 3, sign=True)


def p_value(p: float | None) -> str:
    """A p-value as it is printed.

    >>> p_value(0.0314), p_value(0.0004), p_value(None)
    ('0.031', '< 0.001', '–')
    """
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
