from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smrjax.evaluate import gradcam, rescale, upsample

RNG = np.random.default_rng(0)


def test_a_linear_score_of_pooled_features_is_shown_in_closed_form():
    """score = sum_k w_k mean(features_k), so that the weights of eq. 1 are w / (h w)."""
    features = np.array([[[[1, 2, 0], [3, 0, 1]], [[0, 1, 5], [2, 2, 2]]]], np.float32)
    weights = np.array([4, -8, 2], np.float32)
    found = gradcam(lambda x: x.mean((1, 2)) @ weights, jnp.asarray(features))
    # By hand: (4 - 16) / 4 < 0, (12 + 2) / 4, (-8 + 10) / 4, (8 - 16 + 4) / 4 < 0.
    np.testing.assert_allclose(found, [[[0, 3.5], [0.5, 0]]], rtol=1e-6)


def test_weights_are_finite_differences_averaged_over_places():
    with jax.enable_x64(True):
        features = RNG.normal(size=(2, 2, 3, 4))
        kernel = RNG.normal(size=(2, 3, 4))

        def score(x, np=np):
            return np.sin((x * kernel).sum((1, 2))).sum(-1) + np.exp(x[:, 0, 0] / 3).prod(-1)

        step, gradient = 1e-5, np.zeros_like(features)
        for place in np.ndindex(*features.shape[1:]):
            moved = np.zeros_like(features)
            moved[:, *place] = step
            gradient[:, *place] = (score(features + moved) - score(features - moved)) / (2 * step)
        expected = np.maximum((gradient.mean((1, 2))[:, None, None] * features).sum(-1), 0)
        assert 0 < (expected > 0).mean() < 1
        found = jax.jit(partial(gradcam, partial(score, np=jnp)))(jnp.asarray(features))
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_tokens_are_a_map_beside_the_class_token():
    maps = RNG.normal(size=(2, 2, 3, 4)).astype(np.float32)
    tokens = np.concatenate([np.full((2, 1, 4), 1e6, np.float32), maps.reshape(2, 6, 4)], 1)
    weights = RNG.normal(size=4).astype(np.float32)
    expected = gradcam(lambda x: (x**2).mean((1, 2)) @ weights, jnp.asarray(maps))
    # The class token has a gradient as well, which counts for nothing.
    found = gradcam(lambda x: (x[:, 1:] ** 2).mean(1) @ weights + x[:, 0].sum(-1), jnp.asarray(tokens), grid=(2, 3))
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_head_that_sees_the_class_token_alone_leaves_a_map_of_zeros():
    tokens = jnp.asarray(RNG.normal(size=(1, 5, 3)))
    np.testing.assert_array_equal(gradcam(lambda x: x[:, 0].sum(-1), tokens), np.zeros((1, 2, 2)))


def test_narrow_features_are_summed_in_float32():
    features = jnp.ones((1, 2, 2, 512), jnp.bfloat16).at[..., 0].set(256)
    found = gradcam(lambda x: x.astype(jnp.float32).sum((1, 2, 3)), features)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, np.full((1, 2, 2), 256 + 511))


@pytest.mark.parametrize(
    ("shape", "grid", "message"),
    [
        ((1, 7, 3), None, "6 tokens .* no image of 2 x 2: give its grid"),
        ((1, 7, 3), (2, 2), "6 tokens .* no image of 2 x 2"),
        ((1, 1, 3), None, "0 tokens"),
        ((2, 3), None, r"not \[2, 3\]"),
    ],
)
def test_features_without_places_are_refused(shape, grid, message):
    with pytest.raises(ValueError, match=message):
        gradcam(lambda x: x.sum(tuple(range(1, x.ndim))), jnp.ones(shape), grid=grid)


@pytest.mark.parametrize(("old", "new"), [((2, 3), (5, 11)), ((1, 1), (3, 4)), ((4, 4), (4, 4)), ((3, 1), (9, 2))])
def test_maps_are_interpolated_between_half_pixel_centres(old, new):
    maps = RNG.normal(size=(2, *old))

    def along(size, points):
        """Numpy's interpolation, constant beyond the outermost centres, of each row of the identity."""
        centres, wanted = (np.arange(size) + 0.5) / size, (np.arange(points) + 0.5) / points
        return np.stack([np.interp(wanted, centres, row) for row in np.eye(size)], 1)

    expected = np.einsum("ih,jw,bhw->bij", *(along(*pair) for pair in zip(old, new, strict=True)), maps)
    np.testing.assert_allclose(upsample(jnp.asarray(maps), new), expected, atol=1e-6)


def test_each_map_is_divided_by_its_own_largest_value():
    maps = np.abs(RNG.normal(size=(3, 4, 5))).astype(np.float32)
    maps[1] = 0
    found = np.asarray(rescale(jnp.asarray(maps)))
    np.testing.assert_allclose(found[[0, 2]], maps[[0, 2]] / maps[[0, 2]].max((1, 2), keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0)
