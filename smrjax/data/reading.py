"""Images from files in threads, batch by batch, ahead of whoever works on them; a bad one has a reason instead."""

import os
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from smrjax.data.decode import decode
from smrjax.data.folder import open_plain

#: Images that are decoded, or about to be, beyond the batch that is handed out.
AHEAD = 1024


def read_images(
    paths: Sequence[str], *, size: int, batch: int, threads: int | None = None
) -> Generator[tuple[np.ndarray, list[str]]]:
    """Images as training decodes them, in order, in batches of one fixed size.

    Args:
        paths: Of files, n of them.
        size: Pixels a side.
        batch: Images at a time.
        threads: That decode; by default as many as there are processors.

    Yields:
        UInt8[batch, size, size, 3], black where an image is bad and beyond the last one; and for each image of the
        batch (fewer in the last one) why it cannot be read, in words, empty where it can.
    """
    waiting: deque[tuple[np.ndarray, list[Future[str]]]] = deque()
    pool = ThreadPoolExecutor(threads or os.cpu_count())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # of odd metadata; odd pixels are errors
            for start in range(0, len(paths), batch):
                images = np.zeros((batch, size, size, 3), np.uint8)
                some = paths[start : start + batch]
                waiting.append((images, [pool.submit(_read, path, images[i]) for i, path in enumerate(some)]))
                if len(waiting) > -(-AHEAD // batch):
                    yield _done(*waiting.popleft())
            while waiting:
                yield _done(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _done(images: np.ndarray, futures: list["Future[str]"]) -> tuple[np.ndarray, list[str]]:
    return images, [future.result() for future in futures]


def _read(path: str, out: np.ndarray) -> str:
    """Decode a file into ``out``, or say why not."""
    from PIL import UnidentifiedImageError

    if not os.path.isfile(path):
        return "there is no such file"
    try:
        with open_plain(path) as file:
            data = file.read()
    except OSError as error:
        return f"the file cannot be read ({error.strerror})"
    if not data:
        return "the file is empty"
    try:
        out[:] = decode(data, len(out))
    except UnidentifiedImageError:
        return "the file is not an image"
    except Exception as error:  # Whatever a damaged file makes a reader raise: one image is not to end a job of hours.
        return f"the image is damaged ({error})"
    return ""
