"""The range test against gradient descent on a parabola, whose largest stable rate is 2 / curvature; its readings."""

import json
from dataclasses import asdict, replace
from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.data.sampling import shuffled_batches
from smrjax.errors import InputError
from smrjax.method import Method, network
from smrjax.train import parallel
from smrjax.train.learner import build
from smrjax.train.loop import Interrupted, train
from smrjax.train.lr_range import lr_range, smooth, suggest
from smrjax.train.optimizer import adam, sgd
from tests.train import toy

#: Batches whose labels have other means each time, so that descent never stands still.
SHUFFLED = partial(shuffled_batches, batch=16)


class Point(nn.Module):
    """One number, whatever the images: where gradient descent stands."""

    @nn.compact
    def __call__(self, images, train=False):
        # A network of no use, so that there are statistics as in every other one.
        nn.BatchNorm(use_running_average=not train, name="norm")(images)
        place = self.param("place", nn.initializers.constant(3.0), (1,))
        return jnp.broadcast_to(place, (len(images), 1)), {}


def parabola(curvature, *, start=3.0, uphill=False, wall=0.0):
    """A learner whose loss is curvature / 2 * (place - label)**2, averaged over the batch; uphill, it climbs.

    Far out, a wall makes the loss explode.
    """

    def loss(z, y, goal, head):
        value = curvature / 2 * ((z[:, 0] - y) ** 2).mean() + wall * (z[:, 0] ** 4).mean()
        return (2 * jax.lax.stop_gradient(value) - value if uphill else value), {}

    how = Method("parabola", lambda key, dim: {}, lambda z, y, goal, key: {}, loss, predict=lambda z, head: z[:, 0])
    model = Point()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
    variables["params"]["place"] = jnp.full(1, start)
    optimizer = sgd(1.0, momentum=0.0)
    return build(model, variables, how, optimizer, toy.noise, jax.devices()[:1], normalize=False, norm_weight=0.0)


def descend(rates, curvature, batches, place=3.0):
    """The losses by hand, in float64."""
    losses = []
    for rate, y in zip(rates, batches, strict=True):
        losses.append(curvature / 2 * ((place - y) ** 2).mean())
        place -= rate * curvature * (place - y.mean())
    return np.array(losses)


def test_a_parabola_diverges_beyond_two_over_its_curvature():
    cells, plan = toy.cells(), toy.plan(batches=SHUFFLED)
    y = cells.labels[cells.train][plan.batches(cells.labels[cells.train], steps=121, seed=plan.seed, epoch=0)]
    found = {}
    for curvature in (2.0, 20.0):
        seen = lr_range(parabola(curvature), cells, plan, low=1e-5, high=10.0, steps=121)
        n = len(seen.rates)
        np.testing.assert_allclose(seen.rates, 10.0 ** np.linspace(-5, 1, 121)[:n])
        np.testing.assert_allclose(seen.losses, descend(seen.rates, curvature, y[:n]), rtol=1e-3)
        stable = 2 / curvature
        assert seen.diverged == seen.rates[-1]
        assert stable < seen.diverged < 3 * stable
        assert 0.003 * stable < seen.suggestion < 0.2 * stable and seen.suggestion <= seen.diverged / 10
        assert seen.warning == ""
        found[curvature] = seen
    # Ten times the curvature is the same curve at a tenth of the rates, but for other batches at each of them.
    assert found[2.0].suggestion / found[20.0].suggestion == pytest.approx(10, rel=0.5)
    assert found[2.0].diverged / found[20.0].diverged == pytest.approx(10, rel=0.5)


def test_an_explosion_does_not_drown_what_was_before_it():
    seen = lr_range(parabola(2.0, wall=1e-3), toy.cells(), toy.plan(batches=SHUFFLED), low=1e-5, high=10.0, steps=121)
    first = np.median(seen.losses[:10])
    assert seen.losses[-1] > 10 * first
    ladder, n = 10.0 ** np.linspace(-5, 1, 121), len(seen.losses)
    capped = np.minimum([*seen.losses, *[np.inf] * (121 - n)], max(seen.losses[:10]))
    np.testing.assert_allclose(seen.smoothed, smooth(ladder, capped)[:n])
    assert 0.003 < seen.suggestion < 0.2 and seen.warning == ""


def test_a_learner_that_cannot_move_gets_a_careful_rate_and_is_told():
    seen = lr_range(parabola(0.0), toy.cells(), toy.plan(), low=1e-4, high=1e-1, steps=10)
    assert seen.losses == seen.smoothed == (0.0,) * 10 and seen.diverged is None
    assert seen.suggestion == pytest.approx(1e-3)
    assert "did not fall" in seen.warning and "0.001" in seen.warning


def test_a_loss_that_only_grows_gets_a_hundredth_of_where_it_diverged():
    seen = lr_range(parabola(2.0, uphill=True), toy.cells(), toy.plan(), low=1e-4, high=10.0, steps=60)
    assert 0.01 < seen.diverged < 1 and len(seen.rates) < 60
    assert seen.suggestion == pytest.approx(seen.diverged / 100)
    assert f"{seen.diverged:.3g}" in seen.warning


def test_a_loss_that_is_not_finite_at_the_lowest_rate_is_an_error():
    with pytest.raises(InputError, match="lowest learning rate 10"):
        lr_range(parabola(2.0, start=1e18), toy.cells(), toy.plan(), low=10.0, high=100.0, steps=5)
    broken = parabola(2.0, start=np.nan)
    with pytest.raises(InputError, match="check images and first weights"):
        lr_range(broken, toy.cells(), toy.plan(), steps=5)


@pytest.mark.parametrize(("low", "high", "steps"), [(0.0, 1.0, 9), (1.0, 1.0, 9), (1.0, 0.1, 9), (0.1, 1.0, 1)])
def test_rates_that_do_not_go_up_are_refused(low, high, steps):
    with pytest.raises(InputError, match="0 < low < high"):
        lr_range(parabola(1.0), toy.cells(), toy.plan(), low=low, high=high, steps=steps)


def test_a_network_is_left_as_it_was_and_the_same_comes_out_twice():
    learner = toy.learner(network(4), optimizer=sgd(1.0))
    before = jax.tree.map(np.array, learner.variables)
    steps = []
    seen = lr_range(learner, toy.cells(), toy.plan(), low=1e-4, high=10.0, steps=40, on_step=lambda: steps.append(1))
    again = lr_range(learner, toy.cells(), toy.plan(), low=1e-4, high=10.0, steps=40)
    assert seen == again
    assert len(steps) == len(seen.rates)
    chex.assert_trees_all_equal(learner.variables, before)
    assert seen.rates[0] < seen.suggestion < seen.rates[-1] and seen.warning == ""
    other = lr_range(learner, toy.cells(), toy.plan(seed=4), low=1e-4, high=10.0, steps=40)
    assert other.losses != seen.losses
    # As it is read back from a file.
    assert json.loads(json.dumps(asdict(seen), allow_nan=False))["smoothed"] == list(seen.smoothed)


def first_rows(labels, *, steps, seed, epoch):
    return np.tile(np.arange(16), (steps, 1))


def test_the_first_step_of_triplets_is_that_of_a_training(tmp_path):
    """Same head, goal, batch and augmentation: the loss of the first step is that of a training of one step."""
    learner = toy.learner(toy.method(), optimizer=adam(1e-3))
    plan = toy.plan(epochs=1, steps=1, batches=first_rows)
    seen = lr_range(learner, toy.cells(), plan, steps=2)
    _, rows = train(learner, toy.cells(), plan, tmp_path)
    assert seen.losses[0] == rows[0]["loss"]


def test_a_step_runs_at_its_own_rate(tmp_path):
    """The second loss is that of the network which a training leaves after one step at the lowest rate."""
    learner, cells = toy.learner(network(4), optimizer=sgd(0.05)), toy.cells()
    plan = toy.plan(epochs=1, steps=1, batches=first_rows)
    seen = lr_range(replace(learner, optimizer=sgd(7.0)), cells, plan, low=0.05, high=0.06, steps=2)
    state, rows = train(learner, cells, plan, tmp_path)
    assert seen.losses[0] == rows[0]["loss"]
    state = state.replace(totals=jax.tree.map(np.zeros_like, state.totals))
    key, some = jax.random.split(jax.random.key(plan.seed), 3)[2], cells.train[:16]
    batch = (parallel.share(x, learner.devices) for x in (cells.read(some), cells.labels[some]))
    after = learner.step(parallel.replicate(state, learner.devices), *batch, key)
    assert seen.losses[1] == pytest.approx(float(parallel.first(after.totals["loss"])), rel=1e-5)


def test_two_devices_see_what_one_does():
    if len(jax.devices()) < 2:
        pytest.skip("one device")
    one, two = (
        lr_range(toy.learner(network(4), optimizer=sgd(1.0), devices=n), toy.cells(), toy.plan(), high=0.1, steps=12)
        for n in (1, 2)
    )
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-3)


def test_training_afterwards_compiles_no_step(tmp_path, caplog):
    learner = toy.learner(network(4), optimizer=sgd(0.05))
    with jax.log_compiles():
        lr_range(learner, toy.cells(), toy.plan(), steps=3)
        tested = len(caplog.records)
        train(replace(learner, optimizer=sgd(0.1)), toy.cells(), toy.plan(epochs=1), tmp_path)
    compiled = [record.getMessage().startswith("Compiling") for record in caplog.records]
    # Only a step gets the labels of a batch.
    steps = [new and "int32[1,16]" in r.getMessage() for new, r in zip(compiled, caplog.records, strict=True)]
    assert sum(steps[:tested]) == 1 and sum(steps[tested:]) == 0
    assert any(compiled[tested:])  # the embedding pass of the validation part: compiling is heard here


def test_it_stops_when_asked():
    learner, done = toy.learner(network(4), optimizer=sgd(1.0)), []
    with pytest.raises(Interrupted):
        lr_range(
            learner,
            toy.cells(),
            toy.plan(),
            steps=20,
            on_step=lambda: done.append(1),
            should_stop=lambda: len(done) == 3,
        )
    assert len(done) == 3


def test_smoothing_is_the_recursion_forwards_and_backwards_twice():
    rng = np.random.default_rng(0)
    rates, losses = np.geomspace(1e-6, 1, 50), rng.normal(size=50)
    beta = 10 ** (-12 / 49)

    def decayed(values):
        out = [0.0]
        for value in values:
            out.append(beta * out[-1] + value)
        return np.array(out[1:])

    def both_ways(values):
        return decayed(values) + decayed(values[::-1])[::-1] - values

    once = both_ways(losses) / both_ways(np.ones(50))
    np.testing.assert_allclose(smooth(rates, losses), both_ways(once) / both_ways(np.ones(50)))
    np.testing.assert_allclose(smooth(rates, np.full(50, 3.0)), 3.0)
    assert smooth(rates[:1], losses[:1]) == losses[0]


def valley(*, middle=-1.5, fall=1.5, noise=0.2, seed=0, n=100):
    """A loss of 3 that is lowest at 10**middle, as high as before a decade later, and has exploded from 0.5 on."""
    decades = np.linspace(-6, 0, n)
    losses = 3 - fall * np.exp(-(((decades - middle) / 0.6) ** 2))
    losses += noise * np.random.default_rng(seed).normal(size=n)
    return 10**decades, np.where(decades <= np.log10(0.5), np.minimum(losses, losses[:10].max()), losses[:10].max())


@pytest.mark.parametrize("middle", [-3.0, -1.5])
@pytest.mark.parametrize("n", [100, 400])
def test_a_tenth_of_the_lowest_point_is_found_under_noise(middle, n):
    """Of a symmetric valley, whose lowest point smoothing does not move; noise moves it by less than half a decade."""
    found = [np.log10(suggest(*valley(middle=middle, seed=seed, n=n), diverged=0.5)[0]) for seed in range(50)]
    np.testing.assert_allclose(found, middle - 1, atol=0.5)
    assert abs(np.mean(found) - (middle - 1)) < 0.15
    exact, warning = suggest(*valley(middle=middle, noise=0, n=n))
    assert warning == "" and np.log10(exact) == pytest.approx(middle - 1, abs=0.1)


def test_noise_is_not_read_as_a_fall():
    told = [suggest(*valley(fall=0, seed=seed), diverged=0.5) for seed in range(100)]
    careful = [rate for rate, warning in told if warning]
    assert len(careful) >= 95 and set(careful) == {0.005}


@pytest.mark.parametrize(("fall", "clear"), [(0.18, False), (0.24, True)])
def test_a_fall_of_less_than_a_twentieth_is_not_read(fall, clear):
    """However exactly it is known; smoothing takes a quarter of it."""
    rates, losses = valley(middle=-3.0, fall=fall, noise=0)
    depth = smooth(rates, losses)
    assert (depth[0] - depth.min() > 0.05 * depth[0]) == clear
    rate, warning = suggest(rates, losses, diverged=0.5)
    assert rate == pytest.approx(1e-4, rel=0.3) if clear else rate == 0.005 and "did not fall" in warning


def test_a_suggestion_keeps_away_from_where_the_loss_diverged():
    rates, losses = valley(middle=-1.0, noise=0)
    assert suggest(rates, losses)[0] == pytest.approx(0.01, rel=0.3)
    assert suggest(rates, losses, diverged=0.05)[0] == pytest.approx(0.005)


def test_two_losses_are_enough_to_be_read():
    rates = np.array([0.1, 1.0])
    assert suggest(rates, np.array([1.0, 1.0])) == (pytest.approx(0.01), suggest(rates, np.ones(2))[1])
    assert 0 < suggest(rates, np.array([2.0, 1.0]))[0] <= 1
    assert suggest(rates, np.array([1.0, 2.0]), diverged=1.0)[0] == pytest.approx(0.01)
