"""Places of the stages: the numbers of the readings of SMR's eq. 2, and what holds for any counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smrjax.targets import TARGETS

# Neutrophil stages of the data set of SMR.
COUNTS = [11973, 11994, 6557, 3055, 9968, 29424]


def test_numbers_of_the_papers_data_set():
    expected = {
        "uniform": [0, 0.2, 0.4, 0.6, 0.8, 1],
        "frequency": [0, 0.1683, 0.3645, 0.6245, 0.8650, 1],
        "log_count": [0, 0.2075, 0.4084, 0.5942, 0.7846, 1],
    }
    for name, places in expected.items():
        np.testing.assert_allclose(TARGETS[name](jnp.array(COUNTS)), places, atol=5e-5)


def test_frequency_by_the_letter_of_equation_2():
    """t_i is proportional to the sum over the pairs up to i of the mean of two log relative frequencies."""
    with jax.enable_x64(True):
        counts = np.array(COUNTS, float)
        log = np.log(counts / counts.sum())
        pairs = (log[:-1] + log[1:]) / 2
        expected = np.concatenate([[0], pairs.cumsum() / pairs.sum()])
        np.testing.assert_allclose(TARGETS["frequency"](jnp.array(COUNTS, float)), expected, rtol=1e-12)


def test_rare_classes_get_larger_ranges_as_printed_and_smaller_ones_as_said():
    counts = jnp.array([1000, 1000, 10, 10])
    assert jnp.diff(TARGETS["frequency"](counts)).argmax() == 2
    assert jnp.diff(TARGETS["log_count"](counts)).argmax() == 0


def test_linear_steps_are_mean_counts():
    np.testing.assert_allclose(TARGETS["linear"](jnp.array([2, 4, 8])), [0, 3 / 9, 1], rtol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=12))
def test_any_counts_give_distinct_places_from_0_to_1(name, counts):
    places = np.asarray(TARGETS[name](jnp.array(counts)))
    assert places[0] == 0 and places[-1] == 1 and (np.diff(places) > 0).all()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("counts", [[0], [7]])
def test_one_class_is_at_0(name, counts):
    np.testing.assert_array_equal(TARGETS[name](jnp.array(counts)), [0.0])


@pytest.mark.parametrize("name", TARGETS)
def test_empty_neighbours_do_not_share_a_place(name):
    for counts in ([0, 0, 5], [0, 0, 0], [5, 0, 0, 9], [1, 1, 50]):
        assert (np.diff(TARGETS[name](jnp.array(counts))) > 0).all()


@pytest.mark.parametrize("name", TARGETS)
def test_jitted_and_refused(name):
    np.testing.assert_allclose(jax.jit(TARGETS[name])(jnp.array(COUNTS)), TARGETS[name](jnp.array(COUNTS)), rtol=1e-6)
    for wrong in (jnp.zeros(0, int), jnp.zeros((2, 2), int)):
        with pytest.raises(ValueError, match="counts"):
            TARGETS[name](wrong)
