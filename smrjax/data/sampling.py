"""Which cells make up a batch: a function of seed and epoch alone, so that a run resumes at (epoch, step)."""

from collections.abc import Iterator

import numpy as np


def pk_batches(
    labels: np.ndarray,
    *,
    classes_per_batch: int,
    per_class: int,
    seed: int,
    epoch: int,
    steps: int | None = None,
) -> np.ndarray:
    """Batches of P classes with K cells each, for losses over pairs and triplets.

    Every batch has P x K cells, always. With more classes than P, each batch has P different ones, and all
    classes come up equally often; with P classes or fewer, each batch has all of them, and P x K is shared
    out evenly. Within a class all cells are used equally often, to within one at the end of any epoch (a
    large class goes on where the epoch before stopped); a cell is in a batch twice only if its class has
    fewer cells than the batch takes.

    Args:
        labels: Int[N], of the cells to draw from.
        classes_per_batch: P.
        per_class: K.
        seed: Of the run.
        epoch: From 0.
        steps: Batches in an epoch, the same in every epoch; ceil(N / (P K)) if None.

    Returns:
        Int32[steps, P * K], positions in ``labels``.

    Raises:
        ValueError: for no labels, or P or K below 1.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
        >>> batches = pk_batches(labels, classes_per_batch=2, per_class=2, seed=0, epoch=0)
        >>> labels[batches].tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    labels = np.asarray(labels)
    if labels.size == 0 or classes_per_batch < 1 or per_class < 1:
        raise ValueError("pk_batches needs labels, and P and K of at least 1")
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    size = classes_per_batch * per_class
    steps = -(-len(labels) // size) if steps is None else steps
    n = len(members)
    # A class takes `all_take` cells of every batch, and `some_take` more of the batches that it is drawn for.
    drawn, some_take, all_take = (
        (classes_per_batch, per_class, 0) if n > classes_per_batch else (size % n, 1, size // n)
    )
    chosen = _deal(n, np.full(steps, drawn), epoch * steps * drawn, (seed, 0), epoch).reshape(steps, drawn)
    takes = np.full((steps, n), all_take)
    np.put_along_axis(takes, chosen, all_take + some_take, axis=1)
    before = epoch * steps * all_take + some_take * _dealt(n, epoch * steps * drawn, (seed, 0))
    columns = [members[c][_deal(len(members[c]), takes[:, c], int(before[c]), (seed, 1 + c), epoch)] for c in range(n)]
    ends = np.cumsum(takes, axis=0)
    batches = [
        np.concatenate([columns[c][ends[step, c] - takes[step, c] : ends[step, c]] for c in range(n)])
        for step in range(steps)
    ]
    return np.array(batches, np.int32).reshape(steps, size)


def balanced_batches(labels: np.ndarray, *, batch: int, seed: int, epoch: int, steps: int | None = None) -> np.ndarray:
    """Batches that show every class equally often, however many cells it has (BM, section 2.3: weighted sampler).

    The paper draws each cell at random with the weight 1 / (cells of its class); here the same shares are dealt out, so
    that they hold in every batch as nearly as they can, and no cell of a class comes up twice before all others have.

    Args:
        labels: Int[N], of the cells to draw from.
        batch: Cells a batch.
        seed: Of the run.
        epoch: From 0.
        steps: Batches in an epoch, the same in every epoch; ceil(N / batch) if None.

    Returns:
        Int32[steps, batch], positions in ``labels``.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 0, 0, 1])
        >>> np.bincount(labels[balanced_batches(labels, batch=4, seed=0, epoch=0).ravel()]).tolist()
        [4, 4]
    """
    return pk_batches(labels, classes_per_batch=batch, per_class=1, seed=seed, epoch=epoch, steps=steps)


def shuffled_batches(labels: np.ndarray, *, batch: int, seed: int, epoch: int, steps: int | None = None) -> np.ndarray:
    """Plain shuffled batches of one fixed size, without regard to classes.

    Args:
        labels: Int[N], of the cells to draw from; only their number counts.
        batch: Cells a batch.
        seed: Of the run.
        epoch: From 0.
        steps: Batches in an epoch, the same in every epoch; ceil(N / batch) if None. Some cells come up once more
            than others, different ones in every epoch.

    Returns:
        Int32[steps, batch], positions in ``labels``.
    """
    n = len(labels)
    steps = -(-n // batch) if steps is None else steps
    order = _deal(n, np.full(steps, batch), epoch * steps * batch, (seed, 0), epoch)
    return order.astype(np.int32).reshape(steps, batch)


def eval_batches(rows: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells in order, in batches of one fixed size, so that nothing compiles twice.

    Args:
        rows: Int[n], which cells.
        batch: Cells a batch.

    Yields:
        Int[batch], the last padded by repeating its last cell, and Bool[batch], False where padded.

    Example:
        >>> [(some.tolist(), valid.sum().item()) for some, valid in eval_batches(np.arange(3), 2)]
        [([0, 1], 2), ([2, 2], 1)]
    """
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        valid = np.arange(batch) < len(some)
        yield np.pad(some, (0, batch - len(some)), mode="edge"), valid


def _order(n: int, key: tuple[int, int]) -> np.ndarray:
    """The n items in the round in which epochs take turns."""
    return np.random.default_rng(key).permutation(n)


def _dealt(n: int, before: int, key: tuple[int, int]) -> np.ndarray:
    """How often each of n items is among the first ``before`` dealt."""
    rounds, rest = divmod(before, n)
    counts = np.full(n, rounds)
    counts[_order(n, key)[:rest]] += 1
    return counts


def _deal(n: int, takes: np.ndarray, before: int, key: tuple[int, int], epoch: int) -> np.ndarray:
    """Deal n items out, ``takes[b]`` to batch b of an epoch, after ``before`` of them in the epochs before.

    Which items the epoch gets once more than others follows from ``before`` alone: the next ones of a fixed
    round. They are dealt first, then whole shuffled decks; so a batch that needs a new deck always finds
    enough items in it that it does not have yet.
    """
    rng = np.random.default_rng((*key, epoch))
    extra = int(takes.sum()) % n
    deck = rng.permutation(np.roll(_order(n, key), -(before % n))[:extra])
    dealt = [np.zeros(0, int)]
    for take in takes.tolist():
        hand, deck = deck[:take], deck[take:]
        while len(hand) < take:
            need = take - len(hand)
            deck = rng.permutation(n)
            least = deck[np.argsort(np.bincount(hand, minlength=n)[deck], kind="stable")]
            hand, deck = np.concatenate([hand, least[:need]]), rng.permutation(least[need:])
        dealt.append(hand)
    return np.concatenate(dealt)
