"""Duplicates against a brute force over all pairs, on planted copies, and on real cells that have none."""

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from smrjax.data import duplicates
from smrjax.data.augment import dihedral
from smrjax.data.duplicates import NEAR_HASH, difference, find_duplicates, near_hashes
from smrjax.data.perceptual import BITS, VIEWS, hashes, shrunk
from smrjax.data.rendering import render_all
from tests.data.test_real_cells import DATA

PBC = DATA / "pbc"
SIZE = 64


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file))


def moved(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    return padded[4 + dy : 4 + dy + len(image), 4 + dx : 4 + dx + len(image)]


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor))


#: What a second copy of a picture may have gone through.
KINDS = {
    "turned": lambda image, i: dihedral(image[None], 1 + i % 7)[0],
    "jpeg 90": lambda image, i: jpeg(image, 90),
    "jpeg 50": lambda image, i: jpeg(image, 50),
    "moved by one": lambda image, i: moved(image, *[(0, 1), (1, 0), (-1, 1), (1, 1)][i % 4]),
    "moved by two": lambda image, i: moved(image, *[(0, 2), (-2, 0), (2, -2), (1, 2)][i % 4]),
    "darker": lambda image, i: brightness(image, 0.7),
    "brighter": lambda image, i: brightness(image, 1.1),
    "all at once": lambda image, i: dihedral(brightness(jpeg(moved(image, 1, -1), 70), 0.9)[None], i % 8)[0],
}


@pytest.fixture(scope="module")
def rendered() -> np.ndarray:
    return np.stack([cell.image for cell in render_all(120, size=SIZE, seed=3)])


def rows(found) -> set[tuple[int, int]]:
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_small_images_are_means_over_areas():
    """Against exact integration over a grid on which both sizes have whole pixels."""
    images = np.random.default_rng(0).integers(0, 256, (2, 15, 15, 3), np.uint8)
    fine = images.repeat(6, axis=1).repeat(6, axis=2).astype(np.float64)  # 90 = 15 x 6 = 9 x 10
    expected = fine.reshape(2, 9, 10, 9, 10, 3).mean((2, 4))
    np.testing.assert_allclose(shrunk(images, 9), expected, rtol=1e-5)
    np.testing.assert_array_equal(shrunk(images, 15), images)


def test_hashes_of_the_views_are_those_of_the_turned_images(rendered):
    code = hashes(rendered[:40])
    for k in range(VIEWS):
        own = hashes(np.ascontiguousarray(dihedral(rendered[:40], k)))[:, 0]
        away = np.bitwise_count(own ^ code[:, k]).sum(-1)
        # The same but for waves that are next to nothing; every other view is far away.
        assert away.max() <= 2
        other = np.bitwise_count(own ^ code[:, (k + 1) % VIEWS]).sum(-1)
        assert np.median(other) > BITS / 4


def test_near_hashes_are_all_of_them(monkeypatch):
    """Against a loop over all pairs and views, on hashes of which some are near by chance."""
    monkeypatch.setattr(duplicates, "_COLUMNS", 32)
    rng = np.random.default_rng(0)
    code = rng.integers(0, 2**60, (150, VIEWS, 2), np.uint64)
    for i in range(0, 140, 7):  # in one view, nearer and farther than the limit
        code[i + 5, i % VIEWS] = code[i, 0] ^ np.uint64((1 << (i // 6)) - 1)
    expected = {}
    for i in range(150):
        for j in range(i + 1, 150):
            away = [sum(int(a ^ b).bit_count() for a, b in zip(code[i, 0], code[j, k], strict=True)) for k in range(8)]
            if min(away) <= NEAR_HASH:
                expected[i, j] = int(np.argmin(away))
    found = {}
    for start in range(0, 150, 64):
        for i, j, k in zip(*near_hashes(code, start, min(start + 64, 150)), strict=True):
            found[int(i), int(j)] = int(k)
    assert found == expected and len(expected) == 10


def test_difference_is_what_a_correlation_leaves():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 12, 12, 3)).astype(np.uint8)
    # By hand: means over three pixels, the best of nine shifts, sqrt(1 - r^2) over all colours.
    a, b = (
        np.array([[image[y : y + 3, x : x + 3].mean((0, 1)) for x in range(10)] for y in range(10)])
        for image in (one.astype(np.float64), dihedral(other[None], 3)[0].astype(np.float64))
    )
    left = []
    for dy in range(3):
        for dx in range(3):
            p, q = a[1:9, 1:9].reshape(-1, 3), b[dy : dy + 8, dx : dx + 8].reshape(-1, 3)
            p, q = (p - p.mean(0)).ravel(), (q - q.mean(0)).ravel()
            r = max(p @ q / np.sqrt((p @ p) * (q @ q)), 0)
            left.append(np.sqrt(1 - r * r))
    assert difference(one, other, 3) == pytest.approx(min(left), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_planted_copies_are_found(rendered, kind):
    copies = np.stack([KINDS[kind](image, i) for i, image in enumerate(rendered[:40])])
    found = rows(find_duplicates(np.concatenate([rendered, copies])))
    planted = {(i, 120 + i) for i in range(40)}
    assert found <= planted and len(found) >= 39


def test_exact_copies_are_each_paired_with_the_first(rendered):
    images = np.concatenate([rendered[:5], rendered[[2, 2, 4]], dihedral(rendered[2:3], 5)])
    found = find_duplicates(images)
    assert rows(found) == {(2, 5), (2, 6), (4, 7), (2, 8)}
    assert found.exact.tolist() == [True, True, False, True]
    assert found.difference.max() < 0.01


@pytest.mark.parametrize("among", [0, 1, 5, 7, 300, 320])
def test_near_copies_of_some_cells_alone(rendered, among):
    """Those of all pairs that begin with one of them, wherever blocks end; exact ones among all."""
    cells = np.concatenate([rendered] * 2 + [dihedral(rendered[:80], 3)])
    cells[:120] = dihedral(cells[:120], 6)
    every = find_duplicates(cells)
    seen: list[int] = []
    found = find_duplicates(cells, among=among, on_cells=seen.append)
    assert rows(found) == {
        pair for pair, exact in zip(sorted(rows(every)), every.exact, strict=True) if exact or pair[0] < among
    }
    assert sum(seen) == len(cells)


def test_rendered_cells_have_no_duplicates():
    images = np.stack([cell.image for cell in render_all(300, size=32, seed=0)])
    assert len(find_duplicates(images)) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 5, 33])
def test_ends(size):
    """No image, one, images of one colour, and images that are tiny."""
    plain = np.full((4, size, size, 3), 200, np.uint8)
    plain[2] = 100
    assert len(find_duplicates(plain[:0])) == len(find_duplicates(plain[:1])) == 0
    assert rows(find_duplicates(plain)) == {(0, 1), (0, 3)}
    noise = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    assert rows(find_duplicates(np.concatenate([noise, noise[:1]]))) == {(0, 3)}


def test_progress_adds_up(rendered):
    seen = []
    find_duplicates(np.concatenate([rendered[:30], rendered[:7]]), on_cells=seen.append)
    assert sum(seen) == 37


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> np.ndarray:
    if not PBC.is_dir():
        pytest.skip(f"no real cells at {PBC}")
    from smrjax.data import load_pbc

    cache = tmp_path_factory.mktemp("cache")
    return np.asarray(load_pbc(PBC, size=SIZE, cache_dir=cache, progress=False).images)


@pytest.mark.soak
def test_real_cells_have_none_and_planted_ones_are_found(real):
    """The recall of every kind of copy and the nearest pairs of different cells, for benchmarks/RESULTS.md."""
    begun = time.monotonic()
    assert len(find_duplicates(real)) == 0
    print(f"\n{len(real)} cells: {time.monotonic() - begun:.1f} s, no pair")
    chosen = np.random.default_rng(0).choice(len(real), 300, replace=False)
    for kind, copy in KINDS.items():
        copies = np.stack([copy(real[row], i) for i, row in enumerate(chosen)])
        found = rows(find_duplicates(np.concatenate([real, copies])))
        planted = {(int(row), len(real) + i) for i, row in enumerate(chosen)}
        print(f"{kind}: {len(found & planted)} of 300 found, {len(found - planted)} others")
        assert len(found & planted) >= 297 and not found - planted
