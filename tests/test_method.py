"""How a method puts its terms together, against plain numpy over all triplets and cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from smrjax.curves import project
from smrjax.method import class_means, read_maturity, smr, softmax, tml
from smrjax.method.smr import AT_A_TIME
from smrjax.taxonomy import Lineage, Taxonomy

# Two lineages, classes in another order than the stages, one class without a lineage and a lineage of one class.
TAXONOMY = Taxonomy(
    name="six",
    classes=("N3", "N1", "E2", "X", "N2", "E1", "S"),
    lineages=(Lineage("n", ("N1", "N2", "N3")), Lineage("e", ("E1", "E2")), Lineage("alone", ("S",))),
    colours=tuple(f"#00000{i}" for i in range(7)),
    titles=("N3", "N1", "E2", "X", "N2", "E1", "S"),
)
STAGES = {"n": {1: 0.0, 4: 0.5, 0: 1.0}, "e": {5: 0.0, 2: 1.0}}  # label -> uniform target
MARGIN = 0.1


def batch(count=35, dim=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 7
    z = np.eye(7, dim)[y] + 0.6 * rng.normal(size=(count, dim))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype("f4"), y.astype("i4")


def all_triplets(z, y):
    """Mean of max(0, d(a,p) - d(a,n) + margin) over the triplets where it is not zero."""
    apart = np.linalg.norm(z[:, None].astype("f8") - z, axis=-1)
    values = [
        apart[a, p] - apart[a, n] + MARGIN
        for a in range(len(y))
        for p in range(len(y))
        for n in range(len(y))
        if a != p and y[a] == y[p] and y[a] != y[n]
    ]
    violating = [v for v in values if v > 0]
    return np.mean(violating) if violating else 0.0


def fitted(method, z, y):
    return jax.jit(method.refit)(jnp.asarray(z), jnp.asarray(y), None, jax.random.key(0))


def value(method, z, y, goal):
    return float(method.loss(jnp.asarray(z), jnp.asarray(y), goal, {})[0])


@pytest.mark.parametrize("curve", ["svd", "bezier", "fixed"])
@pytest.mark.parametrize("pull", ["normal", "projected"])
def test_smr_is_alpha_pull_over_the_whole_batch_plus_the_rest_triplets(curve, pull):
    z, y = batch()
    method = smr(TAXONOMY, curve=curve, pull=pull, alpha=0.3, margin=MARGIN)
    goal = fitted(method, z, y)
    assert set(goal["curves"]) == {"n", "e"}
    total = 0.0
    for lineage, places in STAGES.items():
        own = goal["curves"][lineage]
        for label, t in places.items():
            for cell in z[y == label]:
                if pull == "normal":
                    total += np.abs(cell - np.asarray(own(t))).mean()
                else:
                    total += abs(float(project(own, jnp.asarray(cell[None]), ends="extend")[0]) - t)
    expected = 0.3 * total / len(y) + 0.7 * all_triplets(z, y)
    assert value(method, z, y, goal) == pytest.approx(expected, rel=1e-4)


def test_cells_outside_every_lineage_feel_the_triplets_alone():
    z, y = batch()
    method = smr(TAXONOMY, curve="svd", alpha=0.3, margin=MARGIN)
    goal = fitted(method, z, y)
    gradient = jax.grad(lambda z: method.loss(z, jnp.asarray(y), goal, {})[0])(jnp.asarray(z))
    triplets = jax.grad(lambda z: tml(margin=MARGIN).loss(z, jnp.asarray(y), {}, {})[0])(jnp.asarray(z))
    outside = np.isin(y, [3, 6])
    np.testing.assert_allclose(gradient[outside], 0.7 * triplets[outside], rtol=1e-4, atol=1e-7)
    assert np.abs(gradient[~outside] - 0.7 * triplets[~outside]).max() > 1e-3


def test_tml_is_the_mean_over_all_violating_triplets():
    z, y = batch(21)
    assert value(tml(margin=MARGIN), z, y, {}) == pytest.approx(all_triplets(z, y), rel=1e-5)


def test_softmax_is_the_cross_entropy_of_a_scaled_linear_layer():
    z, y = batch()
    method = softmax(7)
    head = method.init_head(jax.random.key(1), 4)
    loss, parts = method.loss(jnp.asarray(z), jnp.asarray(y), {}, head)
    logits = 16.0 * z @ np.asarray(head["kernel"])
    assert float(loss) == pytest.approx(-log_softmax(logits, axis=1)[np.arange(len(y)), y].mean(), rel=1e-5)
    assert float(parts["accuracy"]) == pytest.approx((logits.argmax(1) == y).mean())


def test_the_pull_sets_in_after_the_warm_up():
    z, y = batch()
    method = smr(TAXONOMY, curve="svd", alpha=0.3, margin=MARGIN, warmup=2)
    goal, seen = None, []
    for epoch in range(4):
        goal = method.refit(jnp.asarray(z), jnp.asarray(y), goal, jax.random.key(epoch))
        seen.append(value(method, z, y, goal) == pytest.approx(all_triplets(z, y), rel=1e-5))
    assert seen == [True, True, False, False]


def test_fixed_lines_are_orthonormal():
    z, y = batch()
    goal = fitted(smr(TAXONOMY, curve="fixed"), z, y)
    directions = [np.asarray(c(1.0) - c(0.0)) for c in goal["curves"].values()]
    units = [d / np.linalg.norm(d) for d in directions]
    np.testing.assert_allclose(np.array(units) @ np.array(units).T, np.eye(2), atol=1e-6)


def test_a_curve_is_at_least_as_long_as_its_stages_need():
    z, y = batch()
    goal = fitted(smr(TAXONOMY, curve="svd", margin=MARGIN), 1e-3 * z, y)
    assert float(goal["curves"]["n"].length()) == pytest.approx(0.2, rel=1e-4)
    assert float(goal["curves"]["e"].length()) == pytest.approx(0.1, rel=1e-4)


def test_refits_without_a_class_keep_shapes_and_stay_finite():
    z, y = batch()
    method = smr(TAXONOMY, curve="bezier")
    goal = fitted(method, z, y)
    for gone in ([4], [1, 4, 0], [0, 1, 2, 3, 4, 5]):
        kept = ~np.isin(y, gone)
        other = method.refit(jnp.asarray(z[kept]), jnp.asarray(y[kept]), goal, jax.random.key(1))
        assert jax.tree.map(jnp.shape, other) == jax.tree.map(jnp.shape, goal)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(other))


def test_class_means_and_counts():
    z, y = batch(11)
    means, counts = class_means(jnp.asarray(z), jnp.asarray(y), 8)
    np.testing.assert_array_equal(counts, [*np.bincount(y, minlength=7), 0])
    for label in range(7):
        np.testing.assert_allclose(means[label], z[y == label].mean(0), atol=1e-6)
    assert (means[7] == 0).all()


def test_maturity_is_the_place_of_the_nearest_point_on_each_lineage():
    z, y = batch()
    goal = fitted(smr(TAXONOMY, curve="svd"), z, y)
    read = read_maturity(goal, z)
    for lineage, (t, distance) in read.items():
        start, end = (np.asarray(goal["curves"][lineage](t)) for t in (0.0, 1.0))
        along = end - start
        raw = (z - start) @ along / (along @ along)
        np.testing.assert_allclose(t, raw, atol=1e-5)
        foot = start + np.clip(raw, 0, 1)[:, None] * along
        np.testing.assert_allclose(distance, np.linalg.norm(z - foot, axis=1), atol=1e-5)
    assert read_maturity({}, z) == {}
    # One compiled program reads sets of every size, none of the cells it is filled up with, and across its borders.
    assert all(t.shape == d.shape == (0,) for t, d in read_maturity(goal, z[:0]).values())
    many = np.tile(z, (AT_A_TIME // len(z) + 2, 1))
    for lineage, (t, distance) in read_maturity(goal, many).items():
        np.testing.assert_allclose(t, np.resize(read[lineage][0], len(many)), atol=1e-6)
        np.testing.assert_allclose(distance, np.resize(read[lineage][1], len(many)), atol=1e-6)
