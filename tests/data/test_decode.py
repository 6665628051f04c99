import io

import numpy as np
import pytest
from PIL import Image

from smrjax.data.decode import conversions, decode


def as_file(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(values, mode="L"):
    return Image.fromarray(np.asarray(values)).convert(mode) if mode != "L" else Image.fromarray(np.asarray(values))


def test_a_square_of_the_right_size_is_left_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(as_file(Image.fromarray(pixels)), 16), pixels)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (21, 50)])
def test_the_middle_square_is_kept(shape):
    # A ramp: the middle square of a linear image is a linear image with the same slope.
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    pixels = np.stack([rows * 3, columns * 3, 0 * rows], axis=-1).astype(np.uint8)
    out = decode(as_file(Image.fromarray(pixels)), 10).astype(float)
    assert out.shape == (10, 10, 3)
    side = min(shape)
    for axis, length in enumerate(shape):
        centre = 3 * ((length - side) / 2 + (np.arange(10) + 0.5) * side / 10 - 0.5)
        line = out[:, 5, 0] if axis == 0 else out[5, :, 1]
        np.testing.assert_allclose(line[2:-2], centre[2:-2], atol=2)


def test_resizing_does_not_alias():
    # Stripes finer than the new pixels average out instead of turning into a coarse pattern.
    stripes = np.tile(np.array([0, 255], np.uint8), (256, 128))
    out = decode(as_file(Image.fromarray(stripes)), 24).astype(float)
    assert np.abs(out[2:-2, 2:-2] - 127.5).max() < 12


def test_mean_is_kept():
    pixels = np.random.default_rng(1).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    np.testing.assert_allclose(decode(as_file(Image.fromarray(pixels)), 30).mean((0, 1)), pixels.mean((0, 1)), atol=1.5)


def test_jpeg_at_reduced_scale_agrees_with_full_decoding():
    small = np.random.default_rng(2).integers(60, 200, (12, 12, 3), dtype=np.uint8)
    big = Image.fromarray(small).resize((480, 480), Image.Resampling.BICUBIC)
    data = as_file(big, "jpeg", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        full = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS))
    assert np.abs(decode(data, 64).astype(int) - full).max() <= 6


def test_grey_is_repeated():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(as_file(Image.fromarray(pixels)), 16), np.repeat(pixels[..., None], 3, -1))


def test_one_bit():
    pixels = np.eye(16) > 0
    out = decode(as_file(Image.fromarray(pixels)), 16)
    np.testing.assert_array_equal(out[..., 1], pixels * 255)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_keep_their_upper_eight(kind):
    pixels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    out = decode(as_file(Image.fromarray(pixels), kind), 16)
    np.testing.assert_array_equal(out[..., 0], np.arange(256).reshape(16, 16))


def test_transparency_is_laid_on_white():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:8] = [200, 100, 50, 255]
    out = decode(as_file(Image.fromarray(pixels, "RGBA")), 16)
    assert (out[:8] == [200, 100, 50]).all() and (out[8:] == 255).all()


def test_palette_with_and_without_transparency():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :, 0] = 255
    image = Image.fromarray(pixels).quantize(2)
    np.testing.assert_array_equal(decode(as_file(image), 16), pixels)
    index = image.getpixel((0, 15))
    out = decode(as_file(image, transparency=index), 16)
    assert (out[:8] == [255, 0, 0]).all() and (out[8:] == 255).all()


def test_cmyk_jpeg():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    out = decode(as_file(image, "jpeg", quality=100), 16).astype(int)
    assert np.abs(out - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["bmp", "webp", "tiff"])
def test_other_formats(kind):
    out = decode(as_file(Image.new("RGB", (30, 30), (10, 200, 30)), kind), 8).astype(int)
    assert np.abs(out - [10, 200, 30]).max() <= 3


def test_one_pixel_makes_a_square():
    assert (decode(as_file(Image.new("RGB", (1, 1), "red")), 8) == [255, 0, 0]).all()


def test_floats_are_refused():
    data = as_file(Image.fromarray(np.zeros((8, 8), np.float32)), "tiff")
    with pytest.raises(OSError, match="floating-point"):
        decode(data, 8)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # about the metadata of the same files
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "bmp"])
def test_damaged_files(kind):
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = as_file(Image.fromarray(noise), kind)
    for broken in (b"", b"not an image", data[: len(data) // 2], data[:20]):
        with pytest.raises(OSError):
            decode(broken, 16)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("RGB", (16, 16)), []),
        (Image.new("P", (16, 16)), []),
        (Image.new("L", (16, 16)), ["grey"]),
        (Image.new("1", (16, 16)), ["grey"]),
        (Image.new("RGBA", (16, 16)), ["transparent"]),
        (Image.new("RGBA", (16, 16), "red"), []),
        (Image.new("RGBA", (16, 16), "red"), []),
        (Image.new("LA", (16, 15)), ["transparent", "grey", "smaller than 16 px"]),
        (Image.fromarray(np.zeros((16, 16), np.uint16)), ["16 bits", "grey"]),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_what_is_converted_is_said(image, words):
    said = conversions(as_file(image), 16)
    assert len(said) == len(words) and all(word in one for word, one in zip(words, said, strict=True))
