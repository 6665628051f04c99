"""Tables in Markdown: training strategies side by side, and one of them class by class (BM, Tables 4 and 5)."""

from collections.abc import Sequence

import numpy as np

from smrjax.report.figures import number

SCORES = ("Precision", "Recall", "F1")

#: Of `Sequence`: precision, recall and F1.
Three = Sequence[float] | np.ndarray


def strategies_table(rows: Sequence[tuple[str, str, Three, Three]]) -> str:
    """Networks and their first weights, with mean and deviation of three scores; the best mean of each in bold.

    Source: BM, Table 4.

    Args:
        rows: Network, first weights, means and deviations of precision, recall and F1 over the folds (NaN where
            undefined: a dash, and no ± for one fold). Rows of a network are brought together, in the order in which
            networks first come; its name stands in the first of them.

    Returns:
        Markdown. Means that print alike are all the best.

    Raises:
        ValueError: for a row with other than three scores.

    Example:
        >>> print(strategies_table([("VGG", "random", [0.7, 0.8, 0.7], [0.1, 0.1, 0.1])]))
        | Network | First weights | Precision | Recall | F1 |
        |---|---|---:|---:|---:|
        | VGG | random | **0.700** ± 0.100 | **0.800** ± 0.100 | **0.700** ± 0.100 |
    """
    checked = [(network, weights, _three(mean), _three(deviation)) for network, weights, mean, deviation in rows]
    best = [_best([mean[score] for *_, mean, _ in checked]) for score in range(len(SCORES))]
    lines = _head(["Network", "First weights"], SCORES)
    for name in dict.fromkeys(network for network, *_ in checked):
        shown = name
        for network, weights, mean, deviation in checked:
            if network == name:
                words = [_plus_minus(m, d, bold=b) for m, d, b in zip(mean, deviation, best, strict=True)]
                lines.append(_line([shown, weights], words))
                shown = ""
    return "\n".join(lines)


def classwise_table(
    *,
    titles: Sequence[str],
    codes: Sequence[str],
    mean: np.ndarray,
    deviation: np.ndarray,
    images: Sequence[int] | np.ndarray,
    macro_mean: Three,
    macro_deviation: Three,
) -> str:
    """Scores of every class, and their means in the last row.

    Source: BM, Table 5.

    Args:
        titles: Names of the classes, C of them.
        codes: Their short names.
        mean: Precision, recall and F1 of every class, over the folds, Float[3, C]; NaN where undefined: a dash.
        deviation: Of these over the folds, Float[3, C]; NaN where undefined: no ±.
        images: Of each class, Int[C].
        macro_mean: Of the three scores.
        macro_deviation: Of these: over the folds, or the mean of the class deviations as in the paper.

    Returns:
        Markdown.

    Raises:
        ValueError: for arrays that do not fit.

    Example:
        >>> three = np.array([[0.5], [1.0], [0.667]])
        >>> print(classwise_table(titles=["Blasts"], codes=["BLA"], mean=three, deviation=three * 0, images=[1200],
        ...                       macro_mean=three[:, 0], macro_deviation=[np.nan] * 3))
        | Class | Code | Precision | Recall | F1 | Images |
        |---|---|---:|---:|---:|---:|
        | Blasts | BLA | 0.500 ± 0.000 | 1.000 ± 0.000 | 0.667 ± 0.000 | 1,200 |
        | **mean** | | 0.500 | 1.000 | 0.667 | 1,200 |
    """
    mean, deviation, images = np.asarray(mean), np.asarray(deviation), np.asarray(images)
    shape = (len(SCORES), len(titles))
    if not mean.shape == deviation.shape == shape or not len(codes) == len(images) == len(titles):
        raise ValueError(
            f"scores {mean.shape} and {deviation.shape}, {len(codes)} codes and {len(images)} numbers of images for "
            f"{len(titles)} classes"
        )
    lines = _head(["Class", "Code"], [*SCORES, "Images"])
    for c, (title, code) in enumerate(zip(titles, codes, strict=True)):
        scores = [_plus_minus(m, d) for m, d in zip(mean[:, c], deviation[:, c], strict=True)]
        lines.append(_line([title, code], [*scores, f"{images[c]:,}"]))
    macro = [_plus_minus(m, d) for m, d in zip(_three(macro_mean), _three(macro_deviation), strict=True)]
    lines.append(_line(["**mean**", ""], [*macro, f"{images.sum():,}"]))
    return "\n".join(lines)


def _three(values: Three) -> np.ndarray:
    """Float[3], or a ValueError."""
    found = np.asarray(values, np.float64)
    if found.shape != (len(SCORES),):
        raise ValueError(f"scores of shape {found.shape} instead of one each for {', '.join(SCORES)}")
    return found


def _best(means: Sequence[float]) -> str:
    """The highest mean as it is printed; what no mean prints where there is none."""
    return number(max(means, key=lambda mean: (np.isfinite(mean), mean)), 3) if np.isfinite(means).any() else ""


def _plus_minus(mean: float, deviation: float, *, bold: str = "") -> str:
    words = number(float(mean), 3)
    words = f"**{words}**" if words == bold else words
    return words if not np.isfinite(deviation) else f"{words} ± {number(float(deviation), 3)}"


def _head(words: Sequence[str], numbers: Sequence[str]) -> list[str]:
    """The first two lines: words to the left, numbers to the right."""
    return [_line(words, numbers), "|" + "---|" * len(words) + "---:|" * len(numbers)]


def _line(words: Sequence[str], numbers: Sequence[str]) -> str:
    # A bar in a name would end the cell.
    cells = [word.replace("|", "\\|") for word in words] + list(numbers)
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"
