"""Mean and deviation of the colours of a set of images (BM, Table 2)."""

import numpy as np

#: Images at a time: enough to be quick, few enough for any size of image.
CHUNK = 256


def channel_statistics(
    images: np.ndarray, rows: np.ndarray | None = None
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of red, green and blue over all pixels of all images, as shares of full brightness.

    Exact: grey levels are counted.

    Args:
        images: UInt8[N, H, W, 3], an array or a memory map, read once.
        rows: Of which of them, Int[n], ascending; of all if None.

    Returns:
        The three means and the three deviations. A colour that never changes has the deviation of a single grey level
        instead of 0, by which nothing could be divided.

    Raises:
        ValueError: for no images.

    Example:
        >>> channel_statistics(np.array([0, 255], np.uint8).repeat(3).reshape(1, 2, 1, 3))
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """
    rows = np.arange(len(images)) if rows is None else rows
    if not len(rows):
        raise ValueError("channel_statistics needs at least one image")
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(rows), CHUNK):
        some = images[rows[start : start + CHUNK]]
        for colour in range(3):
            counts[colour] += np.bincount(some[..., colour].reshape(-1), minlength=256)
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(1)
    deviation = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(1) / counts.sum(1))
    red, green, blue = mean.tolist()
    r, g, b = np.maximum(deviation, 1 / 255).tolist()
    return (red, green, blue), (r, g, b)
