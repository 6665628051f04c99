"""Figures that show whether an embedding and its curves are alive, and warnings where they are not."""

from collections.abc import Callable, Mapping

import numpy as np

#: Limits of `warnings_in_words`, all of them rules of thumb from runs that failed.
LOWEST_RANK = 3.0  # a summed L1 pull took a healthy 100 to 1.7 in five epochs
HIGHEST_COLLAPSED = 0.5  # unit vectors that spread further are no point, however wide the margin
LOWEST_STRAIGHTNESS = 0.5  # the way along the curve is twice the direct one
HIGHEST_BEYOND = 0.5  # of the cells; a fifth is usual when five stages sit evenly on the curve
LOWEST_ACTIVE = 0.001
HIGHEST_ACTIVE = 0.9


def effective_rank(z: np.ndarray) -> float:
    """Number of directions that the embeddings fill: exp of the entropy of the normalised singular values.

    Source: Roy & Vetterli 2007, "The effective rank". With s the singular values of the centred embeddings
        and
    p = s / sum(s), it is exp(-sum p log p): 1 for points on a line, D for a ball. The logarithm is natural.

    Args:
        z: Embeddings, Float[n, D].

    Returns:
        From 1 to min(n - 1, D); 0 where all embeddings are the same.

    >>> round(effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 9)
    2.0
    """
    x = _centred(z)
    gram = x.T @ x if x.shape[0] > x.shape[1] else x @ x.T
    squared = np.linalg.eigvalsh(gram)
    # what lies below the rounding of the products is noise, and roots would lift it
    squared = squared[squared > max(gram.shape) * np.finfo(np.float64).eps * squared.max(initial=0)]
    if not len(squared):
        return 0.0
    p = np.sqrt(squared)
    p /= p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def spread(z: np.ndarray) -> float:
    """Root mean square distance of the embeddings from their mean; 0 where all are the same.

    Args:
        z: Embeddings, Float[n, D].

    >>> spread(np.array([[3.0, 4.0], [-3.0, -4.0]]))
    5.0
    """
    return float(np.sqrt((_centred(z) ** 2).sum(axis=1).mean()))


def span(points: np.ndarray) -> float:
    """Distance between the two ends of a curve.

    Args:
        points: The curve at ascending t, from t=0 to t=1, Float[m, D].

    >>> span(np.array([[0.0, 0.0], [1.0, 5.0], [3.0, 4.0]]))
    5.0
    """
    return float(np.linalg.norm(np.asarray(points[-1], np.float64) - np.asarray(points[0], np.float64)))


def straightness(points: np.ndarray) -> float | None:
    """Distance between the ends over the way along the curve: 1 for a line, 0 for a closed loop.

    Args:
        points: The curve at ascending t, Float[m, D]; the way is the sum of the chords between them.

    Returns:
        None where the curve is a point.

    >>> straightness(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    0.714...
    """
    way = float(np.linalg.norm(np.diff(np.asarray(points, np.float64), axis=0), axis=1).sum())
    return min(1.0, span(points) / way) if way > 0 else None


def share_beyond_ends(raw_t: np.ndarray) -> float | None:
    """Share of cells whose nearest point lies before t=0 or after t=1, on the curve's end tangents.

    Args:
        raw_t: Not clamped, Float[n]; NaN for cells without a curve.

    Returns:
        None without cells.

    >>> share_beyond_ends(np.array([-0.1, 0.0, 0.5, np.nan, 1.2]))
    0.5
    """
    t = np.asarray(raw_t, np.float64)
    t = t[np.isfinite(t)]
    return float(((t < 0) | (t > 1)).mean()) if len(t) else None


def warnings_in_words(figures: Mapping[str, float | None], *, margin: float = 0.1) -> list[str]:
    """One sentence for each figure that shows a collapse: what it means and what to try.

    Args:
        figures: By name: ``effective_rank``, ``spread``, ``active_triplets`` (share), and, for each lineage,
            ``span/NAME``, ``straightness/NAME``, ``beyond/NAME``. Others, and those that are None, are left
            alone. The limits are the margin and the constants at the top of this file.
        margin: Of the triplets. Unit vectors spread over the sphere have a spread of 1, those within the margin have
            collapsed; a curve within it has its youngest and oldest stage no further apart than any two classes.

    >>> warnings_in_words({"effective_rank": 40.0, "spread": 0.9, "span/neutrophil": 0.8})
    []
    """
    out = []
    for key, value in figures.items():
        figure, _, lineage = key.partition("/")
        for name, is_bad, sentence in _WARNINGS:
            if figure == name and value is not None and is_bad(value, margin):
                out.append(sentence.format(value=value, lineage=lineage))
    return out


_WARNINGS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    (
        "effective_rank",
        lambda value, _: value < LOWEST_RANK,
        "The embedding uses hardly more than a line (effective rank {value:.1f}): the maturity term is "
        "pulling all classes together; lower alpha or average L1 over dimensions.",
    ),
    (
        "spread",
        lambda value, margin: value <= min(margin, HIGHEST_COLLAPSED),
        "All cells lie almost on one point (spread {value:.2g}): the network has collapsed; lower the "
        "learning rate or alpha, or warm up with triplets alone.",
    ),
    (
        "span",
        lambda value, margin: value <= margin,
        "The ends of the {lineage} curve lie within the triplet margin (span {value:.2g}): youngest and "
        "oldest cells cannot be told apart along it; raise the margin or lower alpha.",
    ),
    (
        "straightness",
        lambda value, _: value < LOWEST_STRAIGHTNESS,
        "The {lineage} curve bends back on itself (its ends are {value:.0%} of its length apart): stages may "
        "be out of order; try a line, or train longer before reading maturity.",
    ),
    (
        "beyond",
        lambda value, _: value > HIGHEST_BEYOND,
        "{value:.0%} of the {lineage} cells lie beyond the ends of their curve: it is too short to order "
        "them; raise the margin (a line has the length of stages - 1 margins at least), or lower alpha.",
    ),
    (
        "active_triplets",
        lambda value, _: value < LOWEST_ACTIVE,
        "Hardly any triplet violates the margin ({value:.2%}): the triplet term has nothing left to teach; "
        "stop, or raise the margin or the augmentation.",
    ),
    (
        "active_triplets",
        lambda value, _: value > HIGHEST_ACTIVE,
        "{value:.0%} of the triplets violate the margin: the classes do not come apart; check the labels and "
        "the learning rate.",
    ),
)


def _centred(z: np.ndarray) -> np.ndarray:
    x = np.asarray(z, np.float64)
    if x.ndim != 2 or not len(x):
        raise ValueError(f"embeddings of shape {x.shape}, expected (n, D) with n > 0")
    return x - x.mean(axis=0)
