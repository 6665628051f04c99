"""From files to answers: decoding, embedding and reading beside one another, a portion at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import jax
import numpy as np

from smrjax.data.reading import read_images
from smrjax.predict.answers import Answers
from smrjax.predict.members import fetch
from smrjax.predict.reader import Reader, Readings, read


def predict_files(
    paths: Sequence[str],
    embed: Callable[[np.ndarray], list[jax.Array]],
    readers: Sequence[Reader],
    decide: Callable[[list[Readings]], Answers],
    *,
    size: int,
    batch: int,
    portion: int,
    prepare: Callable[[np.ndarray, int], np.ndarray] = lambda images, start: images,
    on_images: Callable[[int], object] = lambda count: None,
) -> Iterator[tuple[list[str], Answers]]:
    """Answers for image files, in order.

    Args:
        paths: Of the files.
        embed: Of `members.embedder`.
        readers: Of the same model's members.
        decide: `answers.answer` with its options.
        size: Pixels a side.
        batch: Images at a time, a multiple of the number of devices.
        portion: Batches after which embeddings are read and answers come.
        prepare: (images of a batch UInt8[B, S, S, 3], number of its first file) -> the images that are embedded.
        on_images: Called with the number of images done since the last call.

    Yields:
        For every file of the portion why it cannot be read, empty where it can; and the answers of those that can.
    """
    under_way: deque[tuple[list[jax.Array], list[str]]] = deque()
    fetched: list[list[np.ndarray]] = []
    reasons: list[str] = []

    def collect() -> None:
        embeddings, words = under_way.popleft()
        good = np.array([not word for word in words], bool)
        fetched.append([z[good] for z in fetch(embeddings, len(words))])
        reasons.extend(words)
        on_images(len(words))

    def answers() -> tuple[list[str], Answers]:
        by_member = [np.concatenate(parts) for parts in zip(*fetched, strict=True)]
        found = decide([read(reader, z) for reader, z in zip(readers, by_member, strict=True)])
        words = reasons.copy()
        fetched.clear()
        reasons.clear()
        return words, found

    # Closed at once where the caller stops: its threads would read on.
    with closing(read_images(paths, size=size, batch=batch)) as batches:
        for number, (images, words) in enumerate(batches):
            under_way.append((embed(prepare(images, number * batch)), words))
            # One batch is computed while the next one is on its way.
            if len(under_way) > 1:
                collect()
            if len(fetched) == portion:
                yield answers()
    while under_way:
        collect()
    if fetched:
        yield answers()
