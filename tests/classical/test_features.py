"""Descriptors against hand-worked images, float64 brute force of the definitions, and turned images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import hog as skimage_hog
from skimage.transform import warp_polar

from smrjax.classical import FEATURES, describe, hog, lbp, polar, shog
from smrjax.errors import InputError

quick = settings(max_examples=20, deadline=None)
EPS = 1e-5


def noise(size, seed=0, high=256):
    return np.random.default_rng(seed).integers(0, high, (size, size, 3), np.uint8)


def smooth(size, seed):
    """A few slow waves a channel."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    waves = [
        sum(np.sin(2 * np.pi * (a * rows + b * columns + c)) for a, b, c in rng.uniform(-2, 2, (6, 3)))
        for _ in range(3)
    ]
    return np.rint(127.5 + 20 * np.stack(waves, axis=-1)).astype(np.uint8)


def three(channel):
    return np.repeat(np.asarray(channel, np.uint8)[..., None], 3, axis=-1)


def hysteresis(block):
    """L2-Hys."""
    block = block / np.sqrt((block**2).sum() + EPS**2)
    block = np.minimum(block, 0.2)
    return block / np.sqrt((block**2).sum() + EPS**2)


def hog_by_definition(image, cell, block):
    """Pixel after pixel, in float64."""
    size, cells = len(image), len(image) // cell
    out = []
    for channel in np.moveaxis(image.astype(float), -1, 0):
        votes = np.zeros((cells, cells, 9))
        for r in range(cells * cell):
            for c in range(cells * cell):
                down = channel[r + 1, c] - channel[r - 1, c] if 0 < r < size - 1 else 0.0
                right = channel[r, c + 1] - channel[r, c - 1] if 0 < c < size - 1 else 0.0
                angle = np.degrees(np.arctan2(down, right)) % 180
                votes[r // cell, c // cell, int(angle // 20)] += np.sqrt(down**2 + right**2) / cell**2
        for r in range(cells - block + 1):
            for c in range(cells - block + 1):
                out.append(hysteresis(votes[r : r + block, c : c + block]).ravel())
    return np.concatenate(out)


def lbp_by_definition(channel):
    """Eight points at a radius of 1, in whole numbers: the weights have five decimals and sum to 100000."""
    size, one, w = len(channel), 10**5, 70711
    dark = np.pad(channel.astype(int), 1)
    counts = np.zeros(10)
    for r in range(1, size + 1):
        for c in range(1, size + 1):
            ring = []
            for down, right in [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]:
                if down and right:
                    far, near = dark[r + down, c + right], dark[r, c]
                    sides = dark[r + down, c] + dark[r, c + right]
                    value = w * w * far + w * (one - w) * sides + (one - w) ** 2 * near
                else:
                    value = one**2 * dark[r + down, c + right]
                ring.append(value >= one**2 * dark[r, c])
            changes = sum(a != b for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
            counts[sum(ring) if changes <= 2 else 9] += 1
    return counts / counts.sum()


# HOG


def test_hog_has_the_sizes_of_the_paper():
    image = noise(200)
    for result, numbers in [(hog(image), 972), (hog(image, block=4), 432), (shog(image), 972)]:
        assert result.shape == (numbers,) and result.dtype == np.float32


def test_hog_is_that_of_scikit_image_channel_after_channel():
    image = noise(200)
    channels = [skimage_hog(c, pixels_per_cell=(50, 50), cells_per_block=(2, 2)) for c in np.moveaxis(image, -1, 0)]
    np.testing.assert_allclose(hog(image), np.concatenate(channels), rtol=1e-6)
    largest = skimage_hog(image, pixels_per_cell=(50, 50), cells_per_block=(2, 2), channel_axis=-1)
    assert not np.allclose(hog(image)[:324], largest, atol=1e-3)


@pytest.mark.parametrize("upright, orientation", [(True, 0), (False, 4)])
def test_hog_of_a_step(upright, orientation):
    """The votes of both sides' cells are equal and of one orientation: four halves after normalisation."""
    step = np.zeros((40, 40), np.uint8)
    step[:, 20:] = 200
    image = np.zeros((40, 40, 3), np.uint8)
    image[..., 1] = step if upright else step.T
    expected = np.zeros((3, 4, 9))
    expected[1, :, orientation] = 0.5
    np.testing.assert_allclose(hog(image, cell=20).reshape(3, 4, 9), expected, atol=1e-6)


def test_hog_of_a_ramp():
    """Gradient (rows, columns) = (6, 4): 56.3 degrees; at the edges of the image one part of it is missing."""
    rows, columns = np.mgrid[:40, :40]
    ramp = three(3 * rows + 2 * columns)
    cells = hog(ramp, cell=10, block=1).reshape(3, 4, 4, 9)
    inner = np.zeros(9)
    inner[2] = 1
    np.testing.assert_allclose(cells[:, 1:3, 1:3], np.broadcast_to(inner, (3, 2, 2, 9)), atol=1e-6)
    # 81 pixels whole, 9 of the first row at 0 degrees, 9 of the first column at 90, and the corner without gradient.
    whole, across, down = 0.81 * np.sqrt(52), 0.09 * 4, 0.09 * 6
    norm = np.sqrt(whole**2 + across**2 + down**2)
    corner = np.zeros(9)
    corner[[0, 2, 4]] = across / norm, 0.2, down / norm
    corner /= np.sqrt((corner**2).sum())
    np.testing.assert_allclose(cells[:, 0, 0], np.broadcast_to(corner, (3, 9)), atol=1e-6)
    np.testing.assert_allclose(cells[:, 3, 3], np.broadcast_to(corner, (3, 9)), atol=1e-6)
    # The four inner cells in one block.
    inside = hog(ramp, cell=10).reshape(3, 3, 3, 4, 9)[:, 1, 1]
    np.testing.assert_allclose(inside, np.broadcast_to(inner / 2, (3, 4, 9)), atol=1e-6)


@pytest.mark.parametrize("orientation", range(9))
def test_hog_of_every_orientation(orientation):
    angle = np.radians(20 * orientation + 10)
    rows, columns = np.mgrid[:64, :64] - 31.5
    ramp = three(np.rint(127.5 + 2.5 * (np.sin(angle) * rows + np.cos(angle) * columns)))
    cells = hog(ramp, cell=16, block=1).reshape(3, 4, 4, 9)[:, 1:3, 1:3]
    assert (cells.argmax(axis=-1) == orientation).all()


@quick
@given(st.integers(12, 30), st.integers(3, 8), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([3, 256]))
def test_hog_by_definition(size, cell, block, seed, high):
    if size // cell < block:
        block = 1
    image = noise(size, seed, high)
    np.testing.assert_allclose(hog(image, cell=cell, block=block), hog_by_definition(image, cell, block), atol=2e-6)


def test_hog_of_a_flat_image_is_nought():
    assert not hog(np.full((100, 100, 3), 77, np.uint8)).any()


# Polar images


@quick
@given(st.integers(1, 60))
def test_polar_of_ramps(size):
    """Bilinear interpolation is exact where the image is linear."""
    rows, columns = np.mgrid[:size, :size]
    angle, radius = 2 * np.pi * rows / size, columns / 2
    centre = (size - 1) / 2
    image = np.stack([rows, columns, 4 * columns], axis=-1).astype(np.uint8)
    y, x = centre + radius * np.sin(angle), centre + radius * np.cos(angle)
    expected = np.stack([y, x, 4 * x], axis=-1)
    result = polar(image)
    assert result.dtype == np.uint8 and result.shape == image.shape
    # Half a grey level is the rounding.
    assert np.abs(result - expected).max() <= 0.5 + 2e-6


def test_polar_is_that_of_scikit_image_with_all_channels_at_once():
    image = noise(61)
    at_once = warp_polar(image, radius=30.5, output_shape=(61, 61), channel_axis=-1, preserve_range=True)
    assert np.abs(polar(image) - at_once).max() <= 0.5 + 2e-6


@quick
@given(st.integers(2, 16), st.integers(1, 3))
def test_polar_of_a_turned_image_is_rolled(quarter, quarters):
    """Turned on the screen against the clock; angles are counted with it."""
    image = noise(4 * quarter, seed=quarter)
    np.testing.assert_array_equal(polar(np.rot90(image, quarters)), np.roll(polar(image), -quarters * quarter, axis=0))


def test_polar_of_a_turned_image_is_not_the_same():
    image = smooth(64, 0)
    assert np.abs(polar(np.rot90(image)).astype(int) - polar(image)).mean() > 10


def worst(one, other):
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("seed", range(3))
def test_shog_of_a_turned_image_is_moved_by_a_cell(seed):
    """At 200 px a quarter turn is one row of cells: row i of the turned image is row i + 1."""
    image = smooth(200, seed)
    cells, after, unrelated = (
        shog(x, block=1).reshape(3, 4, 4, 9) for x in (image, np.rot90(image), smooth(200, seed + 100))
    )
    # These two touch the seam in neither image.
    assert worst(after[:, 1], cells[:, 2]) < 1e-6
    # Of the others one row of pixels in fifty, or two, has no gradient along the angle.
    rolled = np.roll(cells, -1, axis=1)
    assert worst(after, rolled) < 0.1
    assert worst(after, cells) > 0.3 and worst(unrelated, rolled) > 0.3
    assert worst(unrelated[:, 1], cells[:, 2]) > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_shog_in_blocks_of_a_turned_image(seed):
    image = smooth(200, seed)
    blocks, after, unrelated = (
        shog(x).reshape(3, 3, 3, 2, 2, 9) for x in (image, np.rot90(image), smooth(200, seed + 100))
    )
    assert worst(after[:, :2], blocks[:, 1:]) < 0.05
    assert worst(after[:, :2], blocks[:, :2]) > 0.2 and worst(unrelated[:, :2], blocks[:, 1:]) > 0.2


def test_shog_is_hog_of_the_polar_image():
    image = smooth(60, 1)
    np.testing.assert_array_equal(shog(image, cell=15, block=3), hog(polar(image), cell=15, block=3))
    assert not np.allclose(shog(image, cell=15), hog(image, cell=15), atol=0.1)


# Local binary patterns


def bins(image, **options):
    points = options.get("points", 8)
    result = lbp(image, **options)
    assert result.shape == (3 * (points + 2),) and result.dtype == np.float32
    np.testing.assert_allclose(result.reshape(3, -1).sum(axis=1), 1, atol=1e-6)
    return result.reshape(3, -1)


def test_lbp_of_flat_images():
    """Inside all points are as bright; beyond the edge is black: five ones at a side, three in a corner."""
    np.testing.assert_array_equal(bins(three(np.zeros((6, 6))))[:, 8], 1)
    for level in range(1, 256):
        counts = bins(three(np.full((6, 6), level)))[0] * 36
        np.testing.assert_allclose(counts, [0, 0, 0, 4, 0, 16, 0, 0, 16, 0], atol=1e-4)


def test_lbp_of_one_bright_pixel():
    """Black all around: only the bright pixel has darker neighbours, the others see ones everywhere."""
    image = np.zeros((5, 5, 3), np.uint8)
    image[2, 2, 2] = 9
    expected = np.zeros((3, 10))
    expected[:2, 8] = 1
    expected[2, [0, 8]] = 1 / 25, 24 / 25
    np.testing.assert_allclose(bins(image), expected, atol=1e-7)


def test_lbp_of_a_checkerboard():
    """A dark pixel sees ones. A bright one sees four dark, and between dark and bright ones: no point as bright."""
    image = three(200 * (np.indices((8, 8)).sum(axis=0) % 2))
    np.testing.assert_allclose(bins(image), np.broadcast_to([0.5] + [0] * 7 + [0.5, 0], (3, 10)), atol=1e-7)
    # Without interpolation, four points straight up, down, left and right.
    np.testing.assert_allclose(bins(image, points=4), np.broadcast_to([0.5, 0, 0, 0, 0.5, 0], (3, 6)), atol=1e-7)


def test_lbp_of_a_cross_is_not_uniform():
    """Bright above and below, dark left and right of the middle: four changes; the last bin holds it alone."""
    image = np.zeros((3, 3, 3), np.uint8)
    image[[0, 2], 1] = 200
    image[1, 1] = 100
    assert lbp_by_definition(image[..., 0])[9] == pytest.approx(1 / 9)
    assert bins(image)[0, 9] == pytest.approx(1 / 9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 2, 13])
def test_lbp_by_definition(size, seed):
    image = noise(size, seed)
    expected = [lbp_by_definition(image[..., channel]) for channel in range(3)]
    np.testing.assert_allclose(bins(image), expected, atol=1e-6)


@quick
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_lbp_of_a_turned_or_mirrored_image_is_the_same(size, seed):
    image = noise(size, seed)
    for other in (np.rot90(image), np.rot90(image, 2), image[::-1], image.swapaxes(0, 1)):
        np.testing.assert_array_equal(lbp(other), lbp(image))


@quick
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_lbp_knows_no_grey_scale(size, seed):
    """Points on the ring are interpolated, which any proportional change leaves in order; pixels, any growing one."""
    image = noise(size, seed)
    np.testing.assert_array_equal(lbp(image // 2 * 2), lbp(image // 2))
    growing = np.rint(255 * (np.arange(128) / 127) ** 0.5).astype(np.uint8)
    # Of the slow end some levels fall together; they are left out.
    levels = np.flatnonzero(np.diff(growing, prepend=-1))
    image = levels[image % len(levels)].astype(np.uint8)
    np.testing.assert_array_equal(lbp(growing[image], points=4), lbp(image, points=4))


def test_lbp_tells_textures_apart():
    assert np.abs(lbp(noise(50)) - lbp(smooth(50, 0))).max() > 0.1


# Chunks of images, and what is no image


@pytest.mark.parametrize("name, options", [("hog", {"cell": 9}), ("shog", {"cell": 9, "block": 1}), ("lbp", {})])
def test_describe_is_one_image_after_another(name, options):
    images = np.stack([noise(20, seed) for seed in range(3)])
    result = describe(images, name, **options)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [FEATURES[name](image, **options) for image in images])
    assert describe(images[:0], name, **options).shape == (0, result.shape[1])


@pytest.mark.parametrize("function", [hog, shog])
def test_images_too_small_for_the_cells(function):
    with pytest.raises(InputError, match="^images of 60 px are too small for blocks of 2 x 2 cells of 50 px; give .*"):
        function(noise(60))
    with pytest.raises(InputError, match="--hog-cell"):
        describe(noise(99)[None], function.__name__)
    assert len(function(noise(100))) == 3 * 4 * 9
    for options in ({"cell": 0}, {"block": 0}):
        with pytest.raises(InputError, match="1 or more"):
            function(noise(60), **options)


@pytest.mark.parametrize("options", [{"points": 0}, {"radius": 0}])
def test_rings_without_points(options):
    with pytest.raises(InputError, match="no ring"):
        lbp(noise(9), **options)


BAD = {
    "grey": np.zeros((60, 60), np.uint8),
    "grey with an axis": np.zeros((60, 60, 1), np.uint8),
    "RGBA": np.zeros((60, 60, 4), np.uint8),
    "16 bits": np.zeros((60, 60, 3), np.uint16),
    "floats": np.zeros((60, 60, 3), np.float32),
    "not square": np.zeros((60, 61, 3), np.uint8),
    "no pixels": np.zeros((0, 0, 3), np.uint8),
}


@pytest.mark.parametrize("image", BAD.values(), ids=BAD)
def test_no_image(image):
    for function in (hog, polar, shog, lbp):
        with pytest.raises(ValueError, match=r"needs UInt8\[S, S, 3\], got "):
            function(image)
    with pytest.raises(ValueError, match=r"needs UInt8\[N, S, S, 3\], got "):
        describe(image[None], "lbp")


def test_describe_needs_a_stack_and_a_name():
    with pytest.raises(ValueError, match="UInt8"):
        describe(noise(60), "lbp")
    with pytest.raises(ValueError, match="hog, shog, lbp"):
        describe(noise(60)[None], "sift")
