"""Health figures against closed forms, and the sentences for those that collapse."""

import numpy as np
import pytest

from smrjax.evaluate import effective_rank, share_beyond_ends, span, spread, straightness, warnings_in_words


def with_singular_values(values, n=40, shift=0.0):
    """A matrix of centred columns with these singular values, then moved away from the origin."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=(n, len(values)))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    return left * values @ right + shift


@pytest.mark.parametrize("n", [9, 40])
def test_effective_rank_is_exp_of_entropy(n):
    # p = 1/2, 1/4, 1/8, 1/8: entropy 7/4 log 2
    assert effective_rank(with_singular_values([4.0, 2.0, 1.0, 1.0], n, shift=3.0)) == pytest.approx(2**1.75)
    assert effective_rank(with_singular_values([1.0] * 5, n)) == pytest.approx(5)


def test_effective_rank_of_lines_and_points():
    line = np.outer(np.linspace(-1, 1, 30), np.arange(1, 9))
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    assert effective_rank(line[:3].astype(np.float32)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(np.full((5, 3), 0.5)) == 0
    assert effective_rank(np.ones((1, 3))) == 0


def test_more_dimensions_than_cells_is_the_same_number():
    z = np.random.default_rng(0).normal(size=(10, 50))
    s = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)[:9]
    p = s / s.sum()
    assert effective_rank(z) == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_spread_of_a_cube_and_of_a_shifted_one():
    corners = np.stack(np.meshgrid([0, 2], [0, 2], [0, 2]), -1).reshape(-1, 3) + 7.0
    assert spread(corners) == pytest.approx(3**0.5)
    assert spread(corners[:1]) == 0


def test_half_circle():
    angle = np.linspace(0, np.pi, 2001)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert span(circle) == pytest.approx(2)
    assert straightness(circle) == pytest.approx(2 / np.pi, rel=1e-5)
    assert straightness(np.zeros((4, 2))) is None
    assert straightness(np.linspace([0, 0, 0], [1, 2, 3], 7)) == pytest.approx(1)


def test_share_beyond():
    assert share_beyond_ends(np.array([0.0, 1.0, 0.5])) == 0
    assert share_beyond_ends(np.array([-1e-6, 1.5, 0.5, 0.7])) == 0.5
    assert share_beyond_ends(np.array([np.nan])) is None


GOOD = {
    "effective_rank": 60.0,
    "spread": 0.9,
    "span/x": 0.8,
    "straightness/x": 0.9,
    "beyond/x": 0.2,
    "active_triplets": 0.1,
    "loss": -1.0,
    "straightness/y": None,
}


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("effective_rank", 1.7, "lower alpha"),
        ("spread", 0.01, "collapsed"),
        ("span/x", 0.05, "x curve"),
        ("straightness/x", 0.3, "30% of its length"),
        ("beyond/x", 0.8, "80% of the x cells"),
        ("active_triplets", 0.0, "nothing left to teach"),
        ("active_triplets", 0.97, "97% of the triplets"),
    ],
)
def test_a_collapse_is_said_in_one_sentence(key, value, words):
    assert warnings_in_words(GOOD) == []
    (sentence,) = warnings_in_words(GOOD | {key: value})
    assert words in sentence
    assert "\n" not in sentence


def test_the_limits_of_spread_and_span_are_the_margin():
    figures = GOOD | {"spread": 0.3, "span/x": 0.4}
    assert warnings_in_words(figures, margin=0.2) == []
    assert ["collapsed" in one for one in warnings_in_words(figures, margin=0.35)] == [True]
    assert ["x curve" in one for one in warnings_in_words(figures, margin=0.5)] == [False, True]
    # Unit vectors cannot spread further than 1, whatever is asked of them.
    assert not any("collapsed" in one for one in warnings_in_words(GOOD, margin=1.0))
    # Without a margin, a point is still one.
    assert "collapsed" in warnings_in_words(GOOD | {"spread": 0.0}, margin=0.0)[0]


def test_no_cells_is_refused():
    with pytest.raises(ValueError):
        effective_rank(np.zeros((0, 3)))
