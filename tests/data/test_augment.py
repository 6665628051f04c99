import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from smrjax.data.augment import affine_warp, augment, dihedral, from_density, restain, to_density

RNG = np.random.default_rng(0)
CELLS = RNG.integers(0, 256, (5, 17, 13, 3), dtype=np.uint8)
SQUARES = RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
OFF = dict(rotation=False, flips=False, crop=0.0, zoom=0.0, stain=0.0)


@functools.partial(jax.jit, static_argnames=list(OFF))
def views(images, keys, **options):
    return augment(images, keys, **options)


def test_warp_is_that_of_scipy():
    images = CELLS.astype(np.float32)
    angles = RNG.uniform(0, 2 * np.pi, 5)
    matrices = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles])
    matrices += RNG.normal(0, 0.1, (5, 2, 2))
    offsets = RNG.uniform(-20, 20, (5, 2))
    warped = affine_warp(jnp.array(images), jnp.array(matrices, jnp.float32), jnp.array(offsets, jnp.float32))
    for i in range(5):
        for channel in range(3):
            expected = ndimage.affine_transform(
                images[i, ..., channel].astype(float), matrices[i], offsets[i], order=1, mode="mirror"
            )
            # Positions are float32: an error of 1e-6 pixels a pixel times grey levels that jump by up to 255.
            np.testing.assert_allclose(warped[i, ..., channel], expected, atol=0.05)


def test_nothing_changes_when_everything_is_off():
    out = views(jnp.array(CELLS), jax.random.key(0), **OFF)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, CELLS)


def test_crop_is_that_of_a_padded_image():
    out = views(jnp.array(SQUARES), jax.random.key(1), **OFF | {"crop": 4 / 16})
    shifts = set()
    for image, cropped in zip(SQUARES, np.asarray(out), strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
        windows = {(i, j): padded[i : i + 16, j : j + 16] for i in range(9) for j in range(9)}
        found = [place for place, window in windows.items() if np.abs(window - cropped).max() < 1e-2]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 1


def test_crop_reaches_every_shift_and_no_further():
    ramp = jnp.broadcast_to(jnp.arange(32.0)[None, :, None, None], (400, 32, 32, 3))
    middle = views(ramp, jax.random.key(2), **OFF | {"crop": 2 / 32})[:, 16, 16, 0]
    values, counts = np.unique(np.round(middle), return_counts=True)
    assert values.tolist() == [14, 15, 16, 17, 18] and counts.min() > 40  # 80 expected of each


def test_flips_are_mirror_images_half_of_the_time():
    many = jnp.broadcast_to(jnp.array(SQUARES[0]), (200, 16, 16, 3))
    out = np.asarray(views(many, jax.random.key(3), **OFF | {"flips": True}))
    kept = np.abs(out - SQUARES[0]).max(axis=(1, 2, 3)) < 1e-2
    mirrored = np.abs(out - SQUARES[0][:, ::-1]).max(axis=(1, 2, 3)) < 1e-2
    assert (kept ^ mirrored).all() and 70 < kept.sum() < 130


def test_rotation_goes_all_the_way_round_about_the_centre():
    # A blob off the centre: its mass stays at its distance and comes to lie in every direction.
    image = np.zeros((33, 33, 3), np.float32)
    image[15:18, 20:23] = 200
    out = np.asarray(views(jnp.broadcast_to(image, (200, 33, 33, 3)), jax.random.key(4), **OFF | {"rotation": True}))
    rows, columns = np.mgrid[-16:17, -16:17]
    mass = out[..., 0].sum((1, 2))
    y, x = (out[..., 0] * rows).sum((1, 2)) / mass, (out[..., 0] * columns).sum((1, 2)) / mass
    np.testing.assert_allclose(np.hypot(x, y), 5, atol=0.1)
    assert (np.histogram(np.arctan2(y, x), bins=8, range=(-np.pi, np.pi))[0] > 8).all()  # 25 expected


def test_zoom_keeps_within_its_range():
    # The width of a ramp's step tells the magnification.
    ramp = jnp.broadcast_to(jnp.arange(64.0)[None, None, :, None], (200, 64, 64, 3))
    out = np.asarray(views(ramp, jax.random.key(5), **OFF | {"zoom": 0.1}))
    logs = -np.log(out[:, 32, 40, 0] - out[:, 32, 39, 0])
    assert logs.min() >= -0.1 - 1e-3 and logs.max() <= 0.1 + 1e-3 and logs.std() > 0.04


def test_a_view_depends_on_its_own_key_alone():
    keys = jax.random.split(jax.random.key(6), 4)
    together = views(jnp.array(SQUARES), keys)
    alone = views(jnp.array(SQUARES[2:3]), keys[2:3])
    np.testing.assert_allclose(together[2], alone[0], atol=1e-3)
    np.testing.assert_array_equal(together, views(jnp.array(SQUARES), jax.random.key(6)))


def test_views_are_in_range_and_differ():
    many = jnp.broadcast_to(jnp.array(SQUARES[0]), (8, 16, 16, 3))
    out = np.asarray(views(many, jax.random.key(7)))
    assert np.isfinite(out).all() and out.min() >= 0 and out.max() <= 255
    assert min(np.abs(a - b).max() for i, a in enumerate(out) for b in out[:i]) > 1


BLUE, EOSIN = np.array([0.834750233, 0.513556283, 0.196330403]), np.array([0.092789, 0.954111, 0.283111])


def test_density_is_the_logarithm_of_transmitted_light_and_back():
    grey = np.arange(256.0)
    density = to_density(jnp.array(grey, jnp.float32))
    np.testing.assert_allclose(density, -np.log((grey + 1) / 256), atol=1e-5)
    np.testing.assert_allclose(from_density(density), grey, atol=1e-3)
    assert from_density(jnp.array([-1.0, 9.0])).tolist() == [255, 0]


def test_restain_scales_each_dye():
    amounts = RNG.uniform(0, 1.5, (2, 4, 5, 2))
    densities = amounts[..., :1] * BLUE + amounts[..., 1:] * EOSIN
    dyes, light = np.array([[1.1, 0.8, 7.0], [0.9, 1.3, 7.0]]), RNG.normal(size=(2, 3))
    expected = np.stack(
        [
            amounts[i, ..., :1] * dyes[i, 0] * BLUE + amounts[i, ..., 1:] * dyes[i, 1] * EOSIN + light[i]
            for i in range(2)
        ]
    )
    np.testing.assert_allclose(restain(*map(jnp.float32, (densities, dyes, light))), expected, atol=1e-5)


def test_restain_by_one_changes_nothing():
    densities = to_density(jnp.array(CELLS, jnp.float32))
    np.testing.assert_allclose(restain(densities, jnp.ones((5, 3)), jnp.zeros((5, 3))), densities, atol=1e-5)


def test_stain_has_the_strength_asked_for():
    image = np.broadcast_to(256 * np.exp(-BLUE) - 1, (2000, 1, 1, 3)).astype(np.float32)
    out = views(jnp.array(image), jax.random.key(10), **OFF | {"stain": 0.02})
    density = np.log(256 / (np.asarray(out, float)[:, 0, 0] + 1))
    # A channel's density is d exp(s n) + s m / 4, with normal n and m: variance s^2 (d^2 + 1/16).
    np.testing.assert_allclose(density.std(0), 0.02 * np.sqrt(BLUE**2 + 1 / 16), rtol=0.08)
    np.testing.assert_allclose(density.mean(0), BLUE, atol=0.002)


@pytest.mark.parametrize("value", [0, 255])
def test_stain_at_the_ends_of_the_range(value):
    out = np.asarray(views(jnp.full((20, 2, 2, 3), value, jnp.uint8), jax.random.key(8), **OFF | {"stain": 0.05}))
    assert np.isfinite(out).all() and np.abs(out - value).max() < 255 * 0.15


@pytest.mark.parametrize("k", range(8))
def test_dihedral_is_that_of_numpy(k):
    expected = np.rot90(SQUARES[:, :, ::-1] if k >= 4 else SQUARES, k % 4, axes=(1, 2))
    np.testing.assert_array_equal(dihedral(jnp.array(SQUARES), k), expected)


def test_dihedral_has_eight_different_views():
    views = {np.asarray(dihedral(jnp.array(SQUARES), k)).tobytes() for k in range(8)}
    assert len(views) == 8


@pytest.mark.parametrize("k", [-1, 8])
def test_there_is_no_ninth(k):
    with pytest.raises(ValueError, match="0 to 7"):
        dihedral(jnp.array(SQUARES), k)


def test_quarter_turn_by_the_warp_is_exact():
    turn = jnp.array([[[0.0, 1.0], [-1.0, 0.0]]])
    out = affine_warp(jnp.array(SQUARES[:1], jnp.float32), turn, jnp.array([[0.0, 15.0]]))
    np.testing.assert_array_equal(out[0], np.rot90(SQUARES[0]))
