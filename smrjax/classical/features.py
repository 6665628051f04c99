"""Images to vectors without training: HOG, HOG of the polar image, and LBP, as Gräbel et al. (2018) use them.

The paper is "Evaluating out-of-the-box methods for the classification of hematopoietic cells in images of
stained bone marrow", section 3.1. It normalises each number to zero mean and unit variance over the training
set; that belongs to the classifier and is not done here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from smrjax.errors import InputError

#: Of unsigned gradients, 20 degrees each.
ORIENTATIONS = 9


def hog(image: np.ndarray, *, cell: int = 50, block: int = 2) -> np.ndarray:
    """Histograms of oriented gradients of each colour channel (Dalal & Triggs 2005; scikit-image's reading).

    A pixel votes with the magnitude of its gradient (central differences; along an axis none at that axis's
    two ends) for one of nine orientations between 0 and 180 degrees, 0 being a gradient along the columns. A
    cell is the mean of its pixels' votes; each block of cells is normalised together, clipped at 0.2 and
    normalised again (L2-Hys), and blocks advance by one cell. What is left over of the image at the right and
    at the bottom when it is cut into cells is in no cell.

    Args:
        image: UInt8[S, S, 3].
        cell: Pixels a side; the paper has 50.
        block: Cells a side. The paper has "4 cells per block", read as 2 x 2; 4 is the other reading.

    Returns:
        Float32[3 * b * b * block * block * 9], ``b = S // cell - block + 1``: channel, block (row, column), cell
        in the block (row, column), orientation.

    Raises:
        InputError: if not one block fits into the image, or a size is less than 1.
        ValueError: if the image has another shape or type.

    >>> image = np.zeros((200, 200, 3), np.uint8)
    >>> hog(image).shape, hog(image, block=4).shape
    ((972,), (432,))
    """
    from skimage.feature import hog as hog_of_channel

    _check(image, 3)
    size = len(image)
    if cell < 1 or block < 1:
        raise InputError(f"blocks of {block} x {block} cells of {cell} px hold no pixel; give sizes of 1 or more")
    if size // cell < block:
        raise InputError(
            f"images of {size} px are too small for blocks of {block} x {block} cells of {cell} px; "
            "give larger images or smaller cells by --hog-cell"
        )
    # With channel_axis scikit-image keeps one gradient a pixel, that of the channel where it is largest.
    channels = [
        hog_of_channel(
            image[..., channel],
            orientations=ORIENTATIONS,
            pixels_per_cell=(cell, cell),
            cells_per_block=(block, block),
            block_norm="L2-Hys",
        )
        for channel in range(3)
    ]
    return np.concatenate(channels).astype(np.float32)


def polar(image: np.ndarray) -> np.ndarray:
    """The image about its centre in polar coordinates, interpolated bilinearly.

    Row k is the angle ``2 pi k / S``, counted from the columns' direction towards the rows' (clockwise on the
    screen); column j is the radius ``j / 2`` pixels, so that the circle in the image is seen and its corners
    are not. A quarter turn of the image rolls its polar image by a quarter of the rows, if 4 divides S.

    Args:
        image: UInt8[S, S, 3].

    Returns:
        UInt8[S, S, 3].

    Raises:
        ValueError: if the image has another shape or type.

    >>> int(polar(np.full((8, 8, 3), 7, np.uint8)).max())
    7
    """
    from skimage.transform import warp_polar

    _check(image, 3)
    size = len(image)
    # With channel_axis scikit-image interpolates between channels too: the same values, and slower.
    channels = [
        warp_polar(image[..., channel], radius=size / 2, output_shape=(size, size), preserve_range=True)
        for channel in range(3)
    ]
    # Along the axes of an even image every point lies between two pixels, and half of the means end in .5. These go
    # up whichever side of .5 they came out at, so that a quarter turn rolls the polar image exactly.
    return (np.stack(channels, axis=-1) + (0.5 + 1e-6)).astype(np.uint8)


def shog(image: np.ndarray, *, cell: int = 50, block: int = 2) -> np.ndarray:
    """`hog` of the `polar` image (SHOG of the paper).

    A turned cell has the same numbers in other rows of cells, but for the seam: angle 0 is the first row and
    the last, and no block reaches across.

    Args:
        image: UInt8[S, S, 3].
        cell: Of `hog`, in pixels of the polar image.
        block: Of `hog`.

    Returns:
        Float32[n], n as in `hog`.

    Raises:
        InputError: as `hog`.
        ValueError: as `hog`.
    """
    return hog(polar(image), cell=cell, block=block)


def lbp(image: np.ndarray, *, points: int = 8, radius: float = 1) -> np.ndarray:
    """Histogram of the uniform local binary patterns of each colour channel (Ojala et al. 2002, LBP^riu2).

    A pixel's pattern is the ring of points around it (interpolated bilinearly), each 1 where it is at least as
    bright as the pixel. Rings with at most two changes are counted by their number of ones, 0 to ``points``,
    all others together in the last bin. Beyond the image's edge is black.

    Args:
        image: UInt8[S, S, 3].
        points: On the ring.
        radius: Of the ring, in pixels.

    Returns:
        Float32[3 * (points + 2)], 30 numbers for 8 points; the bins of a channel sum to 1.

    Raises:
        InputError: if there are no points or no radius.
        ValueError: if the image has another shape or type.

    >>> lbp(np.zeros((9, 9, 3), np.uint8))[:10]
    array([0., 0., 0., 0., 0., 0., 0., 0., 1., 0.], dtype=float32)
    """
    from skimage.feature import local_binary_pattern

    _check(image, 3)
    if points < 1 or radius <= 0:
        raise InputError(
            f"{points} points at a radius of {radius} px make no ring; give at least 1, and more than 0 px"
        )
    patterns = [local_binary_pattern(image[..., channel], points, radius, "uniform") for channel in range(3)]
    counts = [np.bincount(pattern.astype(np.int64).ravel(), minlength=points + 2) for pattern in patterns]
    return (np.concatenate(counts) / image[..., 0].size).astype(np.float32)


# A descriptor(image UInt8[S, S, 3], **options) -> Float32[n] by the name the command line knows.
FEATURES: dict[str, Callable[..., np.ndarray]] = {
    "hog": hog,
    "shog": shog,
    "lbp": lbp,
}


def describe(images: np.ndarray, name: str, **options: Any) -> np.ndarray:
    """One descriptor of every image, one image after another.

    Args:
        images: UInt8[N, S, S, 3].
        name: Of `FEATURES`.
        **options: Of that function.

    Returns:
        Float32[N, n].

    Raises:
        InputError: as the descriptor.
        ValueError: if the images have another shape or type, or no descriptor has that name.

    >>> describe(np.zeros((5, 60, 60, 3), np.uint8), "hog", cell=20).shape
    (5, 432)
    """
    if name not in FEATURES:
        raise ValueError(f"no descriptor is named {name!r}; there are {', '.join(FEATURES)}")
    _check(images, 4)
    if not len(images):
        # How many numbers it would be.
        return describe(np.zeros((1, *images.shape[1:]), np.uint8), name, **options)[:0]
    return np.stack([FEATURES[name](image, **options) for image in images])


def _check(images: np.ndarray, ndim: int) -> None:
    """ValueError unless UInt8[..., S, S, 3] with pixels and so many axes."""
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != ndim or shape[-3] != shape[-2] or shape[-1] != 3 or not shape[-2]:
        wanted = "UInt8[S, S, 3]" if ndim == 3 else "UInt8[N, S, S, 3]"
        raise ValueError(f"needs {wanted}, got {images.dtype}{list(shape)}; smrjax.data.decode makes such squares")
