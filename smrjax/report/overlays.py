"""Heat in colours, over a cell, and as files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smrjax.errors import InputError
from smrjax.report.figures import whole

#: Even steps of heat look alike with any kind of colour vision; its yellow and green are no colours of a stained cell.
COLOURS = "viridis"
#: Of the heat's colour where it is greatest; in proportion elsewhere.
OPACITY = 0.65
#: What names of image files end in.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A cell under its heat, which covers the more the hotter it is: cold parts look as they did.

    Args:
        image: u8 [H, W, 3].
        heat: [H, W] in 0..1.

    Returns:
        u8 [H, W, 3].
    """
    cover = OPACITY * heat[..., None]
    return np.rint((1 - cover) * image + cover * coloured(heat)).astype(np.uint8)


def coloured(heat: np.ndarray) -> np.ndarray:
    """Heat [...] in 0..1 as colours, u8 [..., 3]."""
    from matplotlib import colormaps

    return colormaps[COLOURS](np.asarray(heat, np.float64), bytes=True)[..., :3]


def check_heat(images: np.ndarray, maps: np.ndarray) -> None:
    """Raises ValueError where images u8 [N, H, W, 3] and heat [N, H, W] in 0..1 are not that."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or images.shape[:3] != maps.shape:
        raise ValueError(f"images {images.dtype} {images.shape} and maps {maps.shape}: want u8 [N, H, W, 3], [N, H, W]")
    if maps.size and not 0 <= maps.min() <= maps.max() <= 1:
        raise ValueError(f"heat runs from {maps.min()} to {maps.max()}; bring it to 0..1 with evaluate.rescale")


def write_overlays(
    folder: str | os.PathLike[str],
    *,
    names: Sequence[str],
    images: np.ndarray,
    maps: np.ndarray,
    smallest: int = 256,
) -> list[Path]:
    """Writes three plain images for each cell: NAME.png, NAME_heat.png and NAME_overlay.png.

    Args:
        folder: made where it is not there; files of the same names are replaced.
        names: of the cells; a path below a data folder becomes one name ("SNE/SNE_12.jpg": SNE_SNE_12).
        images: u8 [N, H, W, 3].
        maps: heat [N, H, W] in 0..1.
        smallest: images whose longer side has fewer pixels are enlarged by a whole factor, each pixel a square.

    Returns:
        The files, three a cell.

    Raises:
        InputError: two cells would have the same file, or a file cannot be written.
        ValueError: arrays that do not belong together, or heat outside of 0..1.
    """
    from PIL import Image

    images, maps = np.asarray(images), np.asarray(maps)
    check_heat(images, maps)
    stems = [file_stem(name) for name in names]
    if len(stems) != len(images):
        raise ValueError(f"{len(stems)} names for {len(images)} images")
    files = [[Path(folder) / f"{stem}{kind}.png" for kind in ("", "_heat", "_overlay")] for stem in stems]
    uses = Counter(path for paths in files for path in paths)
    for name, paths in zip(names, files, strict=True):
        if any(uses[path] > 1 for path in paths):
            raise InputError(f"{name}: another cell's pictures would have the same name; rename one of the two")
    factor = max(1, -(-smallest // max(images.shape[1:3])))
    for paths, image, heat in zip(files, images, maps, strict=True):
        for path, pixels in zip(paths, (image, coloured(heat), overlay(image, heat)), strict=True):
            with whole(path) as part:
                Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1)).save(part, format="PNG")
    return [path for paths in files for path in paths]


def file_stem(name: str) -> str:
    """A cell's name as the beginning of a file's: no folders, no suffix of an image.

    >>> file_stem("SNE/SNE_12.jpg"), file_stem("../cell 7.5")
    ('SNE_SNE_12', 'cell 7.5')
    """
    path = name.replace("\\", "/")
    if path.lower().endswith(SUFFIXES):
        path = path.rpartition(".")[0]
    return "_".join(part for part in path.split("/") if part.strip(". ")) or "cell"
