"""Position embeddings of a vision transformer for images of another size, as torchvision interpolates them."""

import numpy as np

from smrjax.errors import InputError

#: Of the cubic kernel (Keys 1981, equation 4); torch's choice.
A = -0.75


def cubic(distance: np.ndarray) -> np.ndarray:
    """The kernel at distances of 0 to 2 pixels."""
    near = ((A + 2) * distance - (A + 3)) * distance**2 + 1
    far = A * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)


def cubic_shares(size: int, points: int) -> np.ndarray:
    """How much of each of ``size`` pixels is in each of ``points``, the outermost of both at the same places.

    Beyond the border the last pixel goes on.

    Args:
        size: Pixels there are.
        points: Pixels there shall be.

    Returns:
        Float64[points, size], each row of sum 1.

    Example:
        >>> cubic_shares(2, 3)
        array([[1. , 0. ],
               [0.5, 0.5],
               [0. , 1. ]])
    """
    at = np.linspace(0, size - 1, points)
    first = np.floor(at).astype(int)
    shares = np.zeros((points, size))
    for tap in (-1, 0, 1, 2):
        np.add.at(shares, (np.arange(points), (first + tap).clip(0, size - 1)), cubic(np.abs(at - first - tap)))
    return shares


def resize_positions(table: np.ndarray, tokens: int) -> np.ndarray:
    """The position embeddings for so many tokens, by bicubic interpolation (torchvision's ``interpolate_embeddings``).

    Args:
        table: Float[1, 1 + n², D], the class token's first, then row by row those of a square image's patches.
        tokens: 1 + m², of the image wanted.

    Returns:
        Float[1, 1 + m², D], the class token's as it was.

    Raises:
        InputError: if one of the images is not a square.
    """
    if table.shape[1] == tokens:
        return table
    old, new = (round((n - 1) ** 0.5) for n in (table.shape[1], tokens))
    if (old**2 + 1, new**2 + 1) != (table.shape[1], tokens):
        raise InputError(f"{table.shape[1]} positions cannot become {tokens}: images must be squares")
    shares = cubic_shares(old, new)
    grid = np.einsum("ih,jw,hwd->ijd", shares, shares, table[0, 1:].reshape(old, old, -1), optimize=True)
    return np.concatenate([table[:, :1], grid.reshape(1, new**2, -1)], 1).astype(table.dtype)
