import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from smrjax.data.resized_crop import TRIES, resized_crop

SIDE = 32
PLAIN = dict(area=(1.0, 1.0), aspect=(1.0, 1.0), rotation=False, flips=False)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
OPTIONS = ("area", "aspect", "rotation", "flips")


@functools.partial(jax.jit, static_argnames=OPTIONS)
def views(images, keys, **options):
    return resized_crop(images, keys, **options)


def places(count: int, height: int = SIDE, width: int = SIDE, **options) -> np.ndarray:
    """Where the pixels of the views of an image are in it: [count, H, W, (row, column)]."""
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).astype(np.float32)
    images = np.broadcast_to(np.pad(grid, ((0, 0), (0, 0), (0, 1))), (count, height, width, 3))
    return np.asarray(views(jnp.array(images), jax.random.key(1), **options))[..., :2]


def boxes(count: int, height: int = SIDE, width: int = SIDE, **options) -> np.ndarray:
    """Top, left, height and width of the boxes, from the middle of each view, where no border is near."""
    found = places(count, height, width, **PLAIN | options)
    r, c = height // 2, width // 2
    scale = np.stack([found[:, r, c, 0] - found[:, r - 1, c, 0], found[:, r, c, 1] - found[:, r, c - 1, 1]], -1)
    size = scale * [height, width]
    # A pixel at i of the view lies at top + (i + .5) * scale - .5 of the image.
    corner = found[:, r, c] + 0.5 - (np.array([r, c]) + 0.5) * scale
    return np.concatenate([corner, size], -1)


def torchvision_boxes(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Height and width by rejection, one box after another, in float64."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        for _ in range(TRIES):
            area = height * width * rng.uniform(0.08, 1.0)
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                break
        else:
            ratio = min(max(width / height, 3 / 4), 4 / 3)
            w, h = min(width, height * ratio), min(height, width / ratio)
        found.append((h, w))
    return np.array(found)


def test_the_whole_image_upright_is_the_image():
    np.testing.assert_allclose(views(jnp.array(IMAGES), jax.random.key(0), **PLAIN), IMAGES, atol=1e-3)


def test_boxes_are_inside_of_the_image_and_of_the_shapes_asked_for():
    top, left, height, width = boxes(2000, area=(0.08, 1.0), aspect=(3 / 4, 4 / 3)).T
    assert top.min() > -1e-3 and left.min() > -1e-3
    assert (top + height).max() < SIDE + 1e-3 and (left + width).max() < SIDE + 1e-3
    share, aspect = height * width / SIDE**2, width / height
    assert 0.079 < share.min() < 0.1 and 0.9 < share.max() < 1.001
    assert 0.749 < aspect.min() < 0.77 and 1.3 < aspect.max() < 1.334
    # Even in place: the share of the free way that is above and left of the box.
    for before, length in ((top, height), (left, width)):
        free = SIDE - length > 2
        assert stats.kstest((before / (SIDE - length))[free], "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 48)])
def test_boxes_are_distributed_as_by_rejection(height, width):
    """In a long image many boxes never fit and the largest of an allowed aspect is taken."""
    _, _, h, w = boxes(3000, height, width, area=(0.08, 1.0), aspect=(3 / 4, 4 / 3)).T
    expected = torchvision_boxes(3000, height, width, seed=2)
    # Rounded, for the shares of the largest box are a tie that float32 and float64 would order by chance.
    for ours, theirs in ((h, expected[:, 0]), (w, expected[:, 1]), (h * w, expected.prod(1))):
        assert stats.ks_2samp(ours.round(2), theirs.round(2)).pvalue > 1e-3


def test_rotation_is_by_half_a_turn_at_most():
    found = places(500, **PLAIN | {"rotation": True})
    middle = SIDE // 2
    step = found[:, middle, middle] - found[:, middle, middle - 1]
    np.testing.assert_allclose(np.linalg.norm(step, axis=-1), 1, atol=1e-3)
    angle = np.degrees(np.arctan2(-step[:, 0], step[:, 1]))
    assert angle.min() > -0.1 and 170 < angle.max() < 180.1
    assert stats.kstest(angle / 180, "uniform").pvalue > 1e-3


def test_flips_are_all_four_and_equally_frequent():
    out = np.asarray(views(jnp.array(IMAGES[:1].repeat(400, 0)), jax.random.key(2), **PLAIN | {"flips": True}))
    image = IMAGES[0].astype(np.float32)
    kinds = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
    counts = [sum(np.abs(view - kind).max() < 1e-2 for view in out) for kind in kinds]
    assert sum(counts) == 400 and stats.chisquare(counts).pvalue > 1e-3


def test_a_view_depends_on_its_own_key_alone():
    keys = jax.random.split(jax.random.key(3), 4)
    together = np.asarray(resized_crop(jnp.array(IMAGES), keys))
    alone = np.asarray(resized_crop(jnp.array(IMAGES[2:3]), keys[2:3]))
    np.testing.assert_allclose(together[2], alone[0], atol=1e-3)
    assert together.min() >= 0 and together.max() <= 255
