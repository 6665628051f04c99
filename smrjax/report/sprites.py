"""Many small images in one: a sheet of tiles for a page."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import numpy as np

#: A sheet has at most as many pixels as so many tiles of this side; fewer images are shown larger, up to `LARGEST`.
TILES, SIDE = 5000, 64
LARGEST = 128
#: Coding blocks of a lossy image: of tiles that begin on them, only the outermost pixels take colour from neighbours.
BLOCK = 16
#: The first of these qualities at which the sheet's file is no larger than `BYTES`, or the last.
QUALITIES = (80, 65, 50)
BYTES = 5_700_000  # 7.6 MB in the letters of a data URI


class Sheet(NamedTuple):
    """Tile i lies `pitch * (i % columns)` pixels from the left and `pitch * (i // columns)` from the top."""

    image: bytes
    """WebP."""
    columns: int
    pitch: int
    side: int
    """Of the image in a tile, which begins at the tile's top left corner; leave out its outermost pixels."""

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        return "data:image/webp;base64," + base64.b64encode(self.image).decode()


def sprite_sheet(images: np.ndarray) -> Sheet:
    """Packs images into one, in rows from the top left.

    Args:
        images: u8 [N, S, S, 3], N at least 1; a memory map is fine.

    Raises:
        ValueError: images of another kind, or none.
    """
    from PIL import Image

    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"a sheet of images {images.dtype} {images.shape}: want u8 [N, S, S, 3]")
    if not images.size:
        raise ValueError("a sheet of no images")
    side = tile_side(len(images), images.shape[1])
    pitch = BLOCK * -(-side // BLOCK)
    columns = int(np.ceil(np.sqrt(len(images))))
    sheet = np.zeros((-(-len(images) // columns) * pitch, columns * pitch, 3), np.uint8)
    for i, image in enumerate(images):
        tile = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
        top, left = pitch * (i // columns), pitch * (i % columns)
        # What a tile has over is filled with its last row and column, which cost nothing and bring no foreign colour.
        sheet[top : top + pitch, left : left + pitch] = np.pad(tile, ((0, pitch - side),) * 2 + ((0, 0),), mode="edge")
    for quality in QUALITIES:
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, format="WEBP", quality=quality, method=4)
        if file.tell() <= BYTES:
            break
    return Sheet(file.getvalue(), columns, pitch, side)


def tile_side(count: int, size: int) -> int:
    """Pixels a side at which `count` images of `size` pixels are shown.

    >>> tile_side(5000, 224), tile_side(1000, 224), tile_side(1000, 28)
    (64, 128, 28)
    """
    room = int(np.sqrt(TILES * SIDE**2 / count)) // BLOCK * BLOCK
    return min(size, LARGEST, max(room, BLOCK))
