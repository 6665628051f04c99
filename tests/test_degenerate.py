"""Functions x degenerate embeddings: finite in, finite out, gradients too; what is no number is said or passed on."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.curves import CURVES, distance, project
from smrjax.errors import InputError
from smrjax.evaluate import calibration, counts, fit_svm, fit_svm_at, health, ordinal, scores, statistics
from smrjax.evaluate.svm_grid import Grid
from smrjax.losses import guide_distance, normal, projected, triplet_margin
from smrjax.losses.distance import match_scale
from smrjax.losses.norm import norm_penalty
from smrjax.targets import TARGETS

B, D, C = 8, 3, 4
rng = np.random.default_rng(0)
ANY = rng.normal(size=(B, D)).astype(np.float32)
#: Embeddings of a batch.
CELLS = {
    "any": ANY,
    "all at one place": np.tile(ANY[:1], (B, 1)),
    "all at the origin": np.zeros((B, D), np.float32),
    "each twice": np.repeat(ANY[: B // 2], 2, axis=0),
    "along a line": np.linspace(-1, 1, B, dtype=np.float32)[:, None] * ANY[:1],
    "of one dimension": np.concatenate([ANY[:, :1], np.zeros((B, D - 1), np.float32)], axis=1),
    "far away": ANY + 1e4,
    "tiny": ANY * 1e-20,
    "huge": ANY * 1e8,
    "one far from all others": np.concatenate([np.tile(ANY[:1], (B - 1, 1)), ANY[1:2] * 1e6]),
}
#: Their classes.
LABELS = {
    "four classes": np.arange(B) % C,
    "one class": np.zeros(B, int),
    "one cell of another": np.array([0] * (B - 1) + [1]),
    "each its own": np.arange(B),
}
#: Means of the classes, from which curves are made.
MEANS = {
    "any": ANY[:C],
    "all at one place": np.tile(ANY[:1], (C, 1)),
    "all at the origin": np.zeros((C, D), np.float32),
    "the first two at one place": ANY[[0, 0, 1, 2]],
    "the ends at one place": ANY[[0, 1, 2, 0]],
    "in pairs": ANY[[0, 0, 1, 1]],
    "there and back": ANY[[0, 1, 0, 1]],
    "on a line, evenly": np.arange(C, dtype=np.float32)[:, None] * ANY[:1],
    "tiny": ANY[:C] * 1e-20,
}
GUIDES = {"any": ANY[:C, :2], "all at one place": np.tile(ANY[:1, :2], (C, 1)), "zeros": np.zeros((C, 2), np.float32)}
T = jnp.linspace(0, 1, B)


def gradients(loss):
    """One compilation for all cases: value and gradients by every argument of floats."""
    return jax.jit(lambda *arguments: (loss(*arguments), jax.grad(lambda *a: jnp.sum(loss(*a)))(*arguments)))


def assert_finite(*trees):
    for leaf in jax.tree.leaves(trees):
        assert np.isfinite(np.asarray(leaf)).all()


@pytest.mark.parametrize("normalize", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_losses_of_labels(normalize):
    losses = {
        "triplets": gradients(lambda z, y: triplet_margin(z, y, normalize=normalize)),
        "norm": gradients(lambda z, y: norm_penalty(z)),
    }
    for loss in losses.values():
        for z in CELLS.values():
            for y in LABELS.values():
                assert_finite(loss(jnp.asarray(z), jnp.asarray(y)))


def test_losses_of_guides():
    by_guide = gradients(lambda z, y, guide: guide_distance(z, y, match_scale(guide, z, y)))
    for z in CELLS.values():
        for name in ("four classes", "one class", "one cell of another"):
            for guide in GUIDES.values():
                value, slope = by_guide(jnp.asarray(z), jnp.asarray(LABELS[name]), jnp.asarray(guide))
                assert_finite(value, slope)


#: Each compiles for some seconds.
EVERY = [name if name == "svd" else pytest.param(name, marks=pytest.mark.soak) for name in CURVES]


@pytest.mark.parametrize("name", EVERY)
def test_losses_of_curves(name):
    """By the embeddings and by the means of the classes, of which the curve is made."""

    def loss(means, z):
        curve = CURVES[name](means)
        values = [normal(z, curve, T), projected(z, curve, T), distance(curve, z), project(curve, z)]
        return jnp.stack(values)

    slope = jax.jit(lambda means, z: (loss(means, z), jax.grad(lambda *a: loss(*a).sum(), argnums=(0, 1))(means, z)))
    for which, means in MEANS.items():
        for cells in ("any", "all at one place", "all at the origin", "each twice", "far away"):
            value, slopes = slope(jnp.asarray(means), jnp.asarray(CELLS[cells]))
            for leaf in jax.tree.leaves((value, slopes)):
                assert np.isfinite(np.asarray(leaf)).all(), (which, cells)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("cells", [[1], [5, 5], [0, 0, 3], [1, 1, 1, 1], [0, 0], [10**6, 1, 0]])
def test_targets_rise_from_zero_to_one(name, cells):
    t = np.asarray(TARGETS[name](jnp.asarray(cells)))
    assert np.isfinite(t).all() and t[0] == 0 and (len(t) == 1 or t[-1] == 1) and (np.diff(t) >= 0).all()


def answers(function, *arguments, **how):
    """What a score says: numbers that are numbers or nothing, as JSON can hold; or in one line what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            said = function(*arguments, **how)
        except (ValueError, InputError) as error:
            assert str(error) and "\n" not in str(error)
            return None
    for leaf in jax.tree.leaves(said):
        if isinstance(leaf, float):
            json.dumps(leaf, allow_nan=False)
    return said


Y = {
    "none": np.zeros(0, int),
    "one": np.array([2]),
    "one class": np.full(6, 1),
    "two": np.array([0, 3]),
    "all": np.array([0, 1, 2, 3, 3]),
}
ORDINAL = [ordinal.mean_absolute_stage_error, ordinal.quadratic_kappa, ordinal.lineage_scores]
PLAIN = [scores.macro_f1, scores.accuracy, scores.balanced_accuracy, scores.m_score, scores.macro_f1_at_support]


@pytest.mark.parametrize("name", Y)
def test_scores_of_few_cells(name):
    y = Y[name]
    for predicted in (y, y[::-1], np.zeros_like(y)):
        for score in PLAIN:
            answers(score, y, predicted)
        for score in ORDINAL:
            answers(score, y, predicted, n_stages=C)
        answers(ordinal.off_by_one_accuracy, y, predicted)
        answers(scores.misclassification_severity, y, predicted, np.ones((C, C)))
        for t in (y.astype(float), np.zeros(len(y)), np.full(len(y), np.nan), np.full(len(y), np.inf)):
            answers(ordinal.kendall_tau, y, t)
            answers(ordinal.spearman, y, t)
            answers(health.share_beyond_ends, t)
            answers(statistics.interval, t[np.isfinite(t)])


@pytest.mark.parametrize("kind", ["even", "sure", "sure and wrong"])
@pytest.mark.parametrize("name", Y)
def test_probabilities_of_few_cells(name, kind):
    y = Y[name]
    p = {"even": np.full((len(y), C), 1 / C), "sure": np.eye(C)[y], "sure and wrong": np.eye(C)[(y + 1) % C]}[kind]
    for score in (
        calibration.expected_calibration_error,
        calibration.classwise_calibration_error,
        calibration.brier_score,
        calibration.negative_log_likelihood,
        calibration.calibration_report,
    ):
        answers(score, p, y)


@pytest.mark.parametrize("name", CELLS)
def test_health_of_embeddings(name):
    z = CELLS[name].astype(np.float64)
    rank = answers(health.effective_rank, z)
    assert rank is None or 0 <= rank <= D + 1e-6
    assert answers(health.spread, z) >= 0 and answers(health.span, z) >= 0
    straight = answers(health.straightness, z)
    assert straight is None or 0 <= straight <= 1 + 1e-6


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("labels", ["four classes", "one class", "one cell of another"])
def test_machines_of_degenerate_embeddings(name, labels):
    result = fit_svm_at(CELLS[name], LABELS[labels], C=1.0, gamma=0.5)
    p = result.probabilities(CELLS[name], n_classes=C)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-9)
    assert (p >= 0).all() and set(result.predict(CELLS[name])) <= set(LABELS[labels])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_no_numbers_are_refused_by_machines(value):
    z = CELLS["any"].copy()
    z[3, 1] = value
    for fit in (
        lambda: fit_svm_at(z, LABELS["four classes"], C=1.0, gamma=0.5),
        lambda: fit_svm(z, LABELS["four classes"], grid=Grid(C=(1.0,), gamma=(1.0,))),
    ):
        with pytest.raises(ValueError, match="not finite"):
            fit()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_show_in_losses(value):
    """A loss of none would hide that a training has gone wrong."""
    z = jnp.asarray(CELLS["any"]).at[3, 1].set(value)
    curve = CURVES["bezier"](jnp.asarray(MEANS["any"]))
    assert not np.isfinite(triplet_margin(z, jnp.asarray(LABELS["four classes"])))
    for loss in (normal(z, curve, T), projected(z, curve, T)):
        assert not np.isfinite(loss[3]) and np.isfinite(np.delete(np.asarray(loss), 3)).all()


@pytest.mark.parametrize("predicted", [[], [0], [0] * 500, [-1, -1], [3, 3, 3]])
def test_counts_of_few_cells(predicted):
    confused = np.zeros((C, C), int)
    for matrix in (confused, np.eye(C, dtype=int) * 5, np.ones((C, C), int)):
        answers(counts.differential_count, np.array(predicted, int), matrix)
