"""The bytes of an image file to the square that a network sees."""

import io
from typing import Any

import numpy as np


def decode(data: bytes, size: int) -> np.ndarray:
    """An image file as a square of the given size.

    The largest square in the middle is kept, and the aspect with it: shape and size tell maturity, and cell
    images are cut around their cell. It is resized with a Lanczos filter as wide as the reduction asks for
    (antialiased); a square of the right size is left as it is. Grey is repeated, transparency is laid on
    white (an empty slide), of 16-bit samples the upper eight bits are taken; of files with several pages,
    the first.

    Args:
        data: Of a file in a format that Pillow reads.
        size: Pixels a side.

    Returns:
        UInt8[size, size, 3], RGB.

    Raises:
        OSError: if it is not an image or is damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 at little cost; twice the size is left for the filter.
            image.draft(None, (2 * size, 2 * size))  # type: ignore[arg-type]
            image.load()
            rgb = _to_rgb(image)
    except (ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        # What Pillow's readers raise for damaged files besides OSError.
        raise OSError(str(error)) from error
    width, height = rgb.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    if (width, height) != (size, size):
        box = (left, top, left + side, top + side)
        rgb = rgb.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return np.asarray(rgb)


def conversions(data: bytes, size: int) -> list[str]:
    """What `decode` does to an image beside cutting and reducing it, in words; nothing for a usual colour image.

    Args:
        data: Of a file that `decode` reads.
        size: Pixels a side.

    Example:
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (8, 8)).save(file, "png")
        >>> conversions(file.getvalue(), 16)
        ['grey, repeated in three channels', 'smaller than 16 px, enlarged']
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
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
        upper = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise OSError("floating-point samples; save it with 8 or 16 bits")
    if _transparent(image):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
