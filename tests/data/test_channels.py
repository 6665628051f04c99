import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smrjax.data.channels import CHUNK, channel_statistics


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_statistics_are_those_of_all_pixels(count, height, width, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    pixels = images.reshape(-1, 3) / 255
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, pixels.mean(0), atol=1e-12)
    np.testing.assert_allclose(deviation, np.maximum(pixels.std(0), 1 / 255), atol=1e-12)


def test_chunks_are_put_together():
    images = np.random.default_rng(0).integers(0, 256, (2 * CHUNK + 3, 2, 2, 3), dtype=np.uint8)
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(deviation, (images / 255).std((0, 1, 2)), atol=1e-12)


def test_a_colour_that_never_changes_can_be_divided_by():
    assert channel_statistics(np.zeros((1, 4, 4, 3), np.uint8)) == ((0, 0, 0), (1 / 255,) * 3)


def test_no_image_has_no_statistics():
    with pytest.raises(ValueError, match="at least one"):
        channel_statistics(np.zeros((0, 4, 4, 3), np.uint8))
