"""The bytes of an image file to the square that a network sees.

A file of an image has no more than `MAX_BYTES` and `MAX_PIXELS`, and of images above `LARGE` one is decoded at a time.
Pillow and the steps below need up to 32 bytes a pixel (transparency in WebP or TIFF), so decoding takes 0.8 GB at most
for the one large image, and 0.3 GB at most in every thread: the file and 32 bytes for `LARGE` pixels. Without these
limits, a file of 1 MB could ask for 12 GB.
"""

import contextlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

#: As Pillow calls them. A file's content says which it is, whatever its suffix; of the dozens that Pillow reads, no
#: others are tried: one of them starts a program (EPS).
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
#: Of an image: 5,000 x 5,000, a whole field of a microscope's camera, and no whole slide.
MAX_PIXELS = 25_000_000
#: Of an image's file: so many pixels not compressed, and metadata.
MAX_BYTES = 2**27
#: Pixels above which one image is decoded at a time.
LARGE = 2**22
_ALONE = threading.Lock()
_TOO_LARGE = f"more than the {MAX_PIXELS / 1e6:.0f} million pixels, or {MAX_BYTES >> 20} MB, of the largest image"


def decode(data: bytes, size: int) -> np.ndarray:
    """An image file as a square of the given size.

    The largest square in the middle is kept, and the aspect with it: shape and size tell maturity, and cell
    images are cut around their cell. It is resized with a Lanczos filter as wide as the reduction asks for
    (antialiased); a square of the right size is left as it is. Grey is repeated, transparency is laid on
    white (an empty slide), of 16-bit samples the upper eight bits are taken; of files with several pages or
    pictures, the first. An orientation in the metadata is not applied: a cell has none.

    Args:
        data: Of a file in one of `FORMATS`.
        size: Pixels a side.

    Returns:
        UInt8[size, size, 3], RGB.

    Raises:
        OSError: if it is not an image, is damaged, or is larger than stated above.
    """
    from PIL import Image

    with _reading(), _open(data) as image, _alone(image):
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 at little cost; twice the size is left for the filter.
        image.draft(None, (2 * size, 2 * size))
        image.load()
        rgb = _to_rgb(image)
        width, height = rgb.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        if (width, height) != (size, size):
            box = (left, top, left + side, top + side)
            rgb = rgb.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        return np.asarray(rgb)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turns whatever Pillow's readers raise for damaged files into OSError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"it is none of {', '.join(FORMATS)}, or its beginning is damaged") from None
    except OSError:
        raise
    except Image.DecompressionBombError as error:
        raise OSError(_TOO_LARGE) from error
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error


def _open(data: bytes) -> Any:
    """The image, of which no more than its head has been read."""
    from PIL import Image

    if len(data) > MAX_BYTES:
        raise OSError(_TOO_LARGE)
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise OSError(f"{image.width} x {image.height} pixels, {_TOO_LARGE}")
    return image


def _alone(image: Any) -> Any:
    """What is held while an image is decoded."""
    return _ALONE if image.width * image.height > LARGE else contextlib.nullcontext()


def conversions(data: bytes, size: int) -> list[str]:
    """What `decode` does to an image beside cutting and reducing it, in words; nothing for a usual colour image.

    Args:
        data: Of a file that `decode` reads.
        size: Pixels a side.

    Raises:
        OSError: as `decode`.

    Example:
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (8, 8)).save(file, "png")
        >>> conversions(file.getvalue(), 16)
        ['grey, repeated in three channels', 'smaller than 16 px, enlarged']
    """
    with _reading(), _open(data) as image, _alone(image):
        found = []
        if _sixteen(image) or _colour_of_sixteen(image):
            found.append("of 16 bits, of which the upper eight are taken")
        if _transparent(image) and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            found.append("transparent in parts, laid on white")
        if image.mode in ("1", "L", "LA", "La") or image.mode[0] in "IF":
            found.append("grey, repeated in three channels")
        if min(image.size) < size:
            found.append(f"smaller than {size} px, enlarged")
    return found


def _sixteen(image: Any) -> bool:
    return image.mode.startswith("I;16") or image.mode == "I"


def _colour_of_sixteen(image: Any) -> bool:
    """Pillow reads the upper eight bits of these by itself; only the way it will read says so."""
    return any(";16" in str(tile) for tile in image.tile)


def _transparent(image: Any) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _to_rgb(image: Any) -> Any:
    """Any image of Pillow in mode RGB."""
    from PIL import Image

    if _sixteen(image):
        upper = np.clip(np.asarray(image) >> 8, 0, 255)
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise OSError("floating-point samples; save it with 8 or 16 bits")
    if _transparent(image):
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
