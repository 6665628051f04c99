import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from smrjax.train.optimizer import adam, plateau_rate, sgd, with_rate

FALLING = [0.69, 0.76, 0.59, 0.84, 0.73, 0.17, 0.69, 0.17, 0.56, 0.23, 0.57, 0.38]
LONG = [
    *(0.44, 0.53, 0.21, 0.28, 0.67, 0.64, 0.6, 0.43, 0.83, 0.8),
    *(0.59, 0.55, 0.56, 0.37, 0.22, 0.53, 0.41, 0.29, 0.37, 0.55),
]


@pytest.mark.parametrize(
    ("losses", "patience", "cuts"),
    [
        (FALLING, 1, [0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]),
        (FALLING, 3, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2]),
        (LONG, 2, [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8]),
        (LONG, 3, [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]),
    ],
)
def test_a_plateau_cuts_the_rate_where_torch_does(losses, patience, cuts):
    """Of torch 2.13: ReduceLROnPlateau(factor=.1, threshold=0, eps=0), whose patience counts one epoch less."""
    rates = [plateau_rate(losses[:n], 1.0, patience=patience) for n in range(1, len(losses) + 1)]
    np.testing.assert_allclose(rates, 10.0 ** -np.array(cuts))
    assert plateau_rate([], 0.3) == 0.3


def test_sgd_is_torchs_and_follows_its_rate():
    """Torch's rule: velocity = momentum * velocity + gradient; the rate multiplies the velocity when it is applied."""
    rng = np.random.default_rng(0)
    p = {"w": jnp.array(rng.normal(size=3), jnp.float32)}
    expected, velocity = np.asarray(p["w"], float), np.zeros(3)
    optimizer = sgd(0.5, momentum=0.9)
    state, update = optimizer.init(p), jax.jit(optimizer.update)
    for rate in (0.5, 0.5, 0.05, 0.2):
        state = with_rate(state, rate)
        gradient = rng.normal(size=3).astype(np.float32)
        updates, state = update({"w": jnp.array(gradient)}, state)
        p = optax.apply_updates(p, updates)
        velocity = 0.9 * velocity + gradient
        expected -= rate * velocity
        np.testing.assert_allclose(p["w"], expected, rtol=1e-5, atol=1e-6)


def test_a_rate_is_set_in_states_of_one_copy_and_of_one_a_device():
    state = adam(1e-3).init({"w": jnp.ones(2)})
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    for one, shape in ((state, ()), (stacked, (2,))):
        rate = with_rate(one, 0.25).hyperparams["learning_rate"]
        assert rate.dtype == jnp.float32 and rate.shape == shape and (rate == 0.25).all()
