"""Descriptors of many cells: the numbers of one cell at a time, from threads, from the cache, and after a stop."""

import jax
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from experiments import descriptors
from experiments.config import TrainOptions
from experiments.descriptors import CHUNK, of_network, of_threads
from experiments.prepare import augmentation
from smrjax.classical import lbp
from smrjax.data import CellSet
from smrjax.encoders import ENCODERS
from smrjax.train.loop import Interrupted

STILL = TrainOptions(rotation=False, flips=False, crop=0.0, zoom=0.0, stain=0.0)
TURNED = TrainOptions(flips=False, crop=0.1, zoom=0.0, stain=0.0)


@pytest.fixture(scope="module")
def cells() -> CellSet:
    """A few more than three chunks of smooth random images."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (3 * CHUNK + 5, 4, 4, 3))
    images = np.stack([np.kron(image, np.ones((4, 4, 1))) for image in coarse]).astype(np.uint8)
    labels = np.arange(len(images), dtype=np.int32) % 2
    return CellSet(images, labels, tuple(map(str, labels)), ("A", "B"), None, None, None, "digest", "few")


def run(cells, cache, compute=None, *, copies=0, options=TURNED, should_stop=lambda: False, identity="lbp", seed=0):
    return descriptors.descriptors(
        cells,
        compute or of_threads("lbp", 2),
        identity,
        title="lbp",
        copies=copies,
        augment=augmentation(options),
        settings=repr(options),
        seed=seed,
        cache=cache,
        should_stop=should_stop,
    )


def test_threads_keep_the_order_of_the_cells(cells, tmp_path):
    (found,) = run(cells, tmp_path)
    np.testing.assert_array_equal(found, np.stack([lbp(image) for image in cells.images]))


def test_a_second_run_reads_what_the_first_wrote(cells, tmp_path):
    first = run(cells, tmp_path, copies=1)

    def never(chunks):
        raise AssertionError("computed again")

    for again, before in zip(run(cells, tmp_path, never, copies=1), first, strict=True):
        np.testing.assert_array_equal(again, before)


def test_a_stopped_computation_goes_on(cells, tmp_path):
    """What was written before the stop is not computed again, and a chunk torn apart is."""
    (whole,) = run(cells, tmp_path / "whole")
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        run(cells, tmp_path / "parts", should_stop=lambda: next(asked))
    (part,) = (tmp_path / "parts").glob("*.part")
    assert part.stat().st_size == 2 * CHUNK * 30 * 4
    with open(part, "ab") as file:
        file.write(b"torn")
    seen = []

    def counted(chunks):
        def note(some):
            for chunk in some:
                seen.append(len(chunk))
                yield chunk

        yield from of_threads("lbp", 2)(note(chunks))

    (found,) = run(cells, tmp_path / "parts", counted)
    np.testing.assert_array_equal(found, whole)
    assert sum(seen) == 1 + CHUNK + 5  # one image says how many numbers there are
    assert not list((tmp_path / "parts").glob("*.part"))


def test_copies_are_turned_cells_that_their_seed_decides(cells, tmp_path):
    plain, one, two = run(cells, tmp_path, copies=2)
    (_, again) = run(cells, tmp_path / "again", copies=1)
    (_, other) = run(cells, tmp_path, copies=1, seed=1)
    np.testing.assert_array_equal(again, one)
    assert all(np.abs(a - b).max() > 0.05 for a, b in [(plain, one), (one, two), (one, other)])
    still = run(cells, tmp_path, copies=1, options=STILL)
    np.testing.assert_array_equal(still[1], still[0])


def test_a_copy_is_the_image_turned_as_scipy_turns_it(cells):
    """Some rotation about the centre and shift by whole pixels gives every copy, found by trying."""
    views = descriptors._views(cells.images, augmentation(TURNED), 0, 1)(np.arange(2))
    centre = (np.array(cells.images.shape[1:3]) - 1) / 2
    for row in range(2):
        best = np.inf
        for angle in np.linspace(0, 2 * np.pi, 721):
            matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            for shift in np.ndindex(5, 5):
                offset = centre - matrix @ centre + np.array(shift) - 2
                turned = affine_transform(
                    cells.images[row, ..., 0].astype(float), matrix, offset, order=1, mode="mirror"
                )
                best = min(best, np.abs(turned - views[row, ..., 0]).mean())
        assert best < 1.5


def test_a_networks_descriptor_is_its_pooled_output(cells, tmp_path):
    model = ENCODERS["densenet_tiny"](embedding_dim=0)
    variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 16, 16, 3)))
    (found,) = run(cells, tmp_path, of_network(model, variables), identity="network")
    rows = [0, CHUNK, len(cells) - 1]
    _, stages = model.apply(variables, cells.images[rows].astype(np.float32))
    np.testing.assert_allclose(found[rows], np.asarray(stages["block2"]).mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_a_damaged_file_is_computed_again(cells, tmp_path):
    (whole,) = run(cells, tmp_path)
    expected = np.array(whole)
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:1000])
    np.testing.assert_array_equal(run(cells, tmp_path)[0], expected)
