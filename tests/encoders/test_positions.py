import numpy as np
import pytest

from smrjax.encoders.positions import resize_positions
from smrjax.errors import InputError


def test_positions_of_another_size_are_interpolated_and_nothing_else():
    """Half way between two points of four the cubic kernel is -3/32, 19/32, 19/32, -3/32 (Keys 1981, a = -3/4)."""
    table = np.random.default_rng(0).normal(size=(1, 1 + 9, 2)).astype(np.float32)
    finer = resize_positions(table, 1 + 25)
    np.testing.assert_array_equal(finer[:, :1], table[:, :1])
    old, new = table[0, 1:].reshape(3, 3, 2), finer[0, 1:].reshape(5, 5, 2)
    np.testing.assert_allclose(new[::2, ::2], old, atol=1e-6)
    between = (19 * (old[0] + old[1]) - 3 * (old[0] + old[2])) / 32  # beyond the border row 0 goes on
    np.testing.assert_allclose(new[1, ::2], between, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(7, 12), (7, 5), (3, 1), (1, 4), (2, 7), (16, 11)])
def test_positions_are_interpolated_as_by_torch(old, new):
    torch = pytest.importorskip("torch")
    from tests.encoders.torch_models.vit import interpolate_embeddings

    table = np.random.default_rng(0).normal(size=(1, 1 + old**2, 3)).astype(np.float32)
    expected = interpolate_embeddings(torch.from_numpy(table), new).numpy()
    np.testing.assert_allclose(resize_positions(table, 1 + new**2), expected, atol=2e-5)


@pytest.mark.parametrize(("positions", "tokens"), [(200, 257), (50, 52)])
def test_positions_of_images_that_are_no_squares_are_refused(positions, tokens):
    with pytest.raises(InputError, match=f"{positions} positions cannot become {tokens}: images must be squares"):
        resize_positions(np.zeros((1, positions, 3)), tokens)
