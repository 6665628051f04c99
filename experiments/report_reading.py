"""The report's last words on itself: what its numbers are, of those that occur in it."""

import re
from collections.abc import Sequence

from smrjax.report.page import Section, facts

#: What is explained, the words by which it is known to occur (any of them), and what it is.
TERMS = (
    (
        "Macro-F",
        ("acro-F",),
        "Of each class, F1 is the harmonic mean of precision (the share of the cells named so that are so) and recall "
        "(the share of the cells that are so which are named so). Macro-F is the mean over classes, so rare classes "
        "count as much as common ones. 1 is best.",
    ),
    (
        "m-score",
        ("m-score",),
        "The sum over classes of the natural logarithm of F1, each F1 at least 0.01: weak classes weigh more than in "
        "macro-F. 0 is best. It falls with every class added, so compare it on the same classes only.",
    ),
    (
        "Severity",
        ("Severity", "severity of errors"),
        "What was predicted costs nothing where it is right, and otherwise what a matrix says of taking a cell of one "
        "class for one of another. This is the mean over all test cells: less is better.",
    ),
    (
        "Off by one, mean stage error",
        ("Off by one", "ean stage error"),
        "The share of a lineage's cells that are named in the right stage or one beside it; and how many stages off "
        "they are on average.",
    ),
    (
        "Quadratic κ",
        ("κ",),
        "How far labelled and predicted stages agree beyond chance; an error of two stages counts four times as much "
        "as one of a single stage. 1: always, 0: no more than by chance.",
    ),
    (
        "t, targets and boundaries",
        ("along the curve", "t along"),
        "t is a cell's place on the curve of a lineage, at the point nearest to its embedding: 0 at the young end, 1 "
        "at the old one, less or more beyond them. A target is the t at which a stage belongs. A boundary is where, "
        "along the curve, the classifier passes from one stage to the next. Both are means over folds. Where test "
        "cells are shown by their labels, the lineage is that of the labelled class; where cells are predicted, and "
        "in strips of cells in order, it is that of the predicted class, since of new cells nothing else is known.",
    ),
    (
        "Fitted afterwards",
        ("afterwards",),
        "A curve fitted to the class means of the training cells when the training is over. The network was not "
        "taught by it, so it lets methods be read alike that have curves of their own or none.",
    ),
    (
        "Kendall's τ",
        ("τ", "tau", "Maturity along the curves"),
        "Of all pairs of cells of different stages, by how much more of them t orders as their labels do than the "
        "other way round, corrected for ties (tau-b). 1: every pair, 0: as by chance, −1: all reversed.",
    ),
    (
        "Calibration, ECE",
        ("ECE",),
        "Of the cells that are given a probability of 80 %, 80 % should be right. The expected calibration error is "
        "the mean gap between the two, over the test cells. 0 is best.",
    ),
    (
        "Intervals",
        ("±", "95 % interval"),
        "± is half of the 95 % interval of the mean over folds (Student's t). Folds share training cells, so these are "
        "somewhat too narrow. The intervals of shares of cells are Wilson's.",
    ),
    (
        "Corrected resampled t",
        ("Nadeau",),
        "Two runs are compared fold by fold, on the same test cells. Since folds share training cells, their "
        "differences vary less than those of new data would; the corrected test widens the interval by the ratio of "
        "test to training cells.",
    ),
    (
        "p by Holm",
        ("Holm",),
        "Of many comparisons, some come out clear by chance alone. Holm's method raises their p-values such that "
        "whoever claims those below 0.05 makes even one false claim in at most 5 % of such tables.",
    ),
    (
        "Wilcoxon's signed ranks",
        ("Wilcoxon",),
        "The same question by the ranks of the differences, without the assumption that they are normally distributed. "
        "It takes folds for independent, which they are not.",
    ),
)


def reading(sections: Sequence[Section]) -> Section:
    """What the terms mean that occur in these sections."""
    seen = " ".join(_seen(" ".join((section.title, *section.parts))) for section in sections if section.parts)
    known = [(name, says) for name, signs, says in TERMS if any(sign in seen for sign in signs)]
    return Section("How to read this page", [facts(known)] if known else [])


def _seen(html: str) -> str:
    """What is read of a page: neither its scripts nor what stands within tags."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S))
