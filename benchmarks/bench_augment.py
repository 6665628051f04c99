"""Crop, rotation, flip and zoom as one affine warp, beside one after another, and beside torch's grid_sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates
from side_by_side import peer

from smrjax.data.augment import augment

CASES = [(64, 64), (16, 224)]
geometry = jax.jit(lambda images, key: augment(images, key, stain=0.0))


def draws(count: int, size: int):
    rng = np.random.default_rng(0)
    angle, mirror = rng.uniform(0, 2 * np.pi, count), rng.choice([-1.0, 1.0], count)
    return angle, mirror, np.exp(rng.uniform(-0.05, 0.05, count)), rng.integers(-size // 14, size // 14 + 1, (count, 2))


@jax.jit
def one_after_another(images, angle, mirror, scale, shift):
    """Each with an interpolation of its own but the mirror and the crop, which need none."""
    size = images.shape[1]
    centre, reach = (size - 1) / 2, size // 14
    grid = jnp.arange(size) - centre

    def sample(image, rows, columns):
        places = [rows + centre, columns + centre]
        return jax.vmap(lambda c: map_coordinates(c, places, order=1, mode="mirror"), -1, -1)(image)

    def one(image, angle, mirror, scale, shift):
        image = image.astype(jnp.float32)
        padded = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
        image = jax.lax.dynamic_slice(padded, (*(shift + reach), 0), image.shape)
        rows, columns = jnp.meshgrid(grid, grid, indexing="ij")
        image = sample(
            image, jnp.cos(angle) * rows - jnp.sin(angle) * columns, jnp.sin(angle) * rows + jnp.cos(angle) * columns
        )
        image = jnp.where(mirror < 0, image[:, ::-1], image)
        return sample(image, rows / scale, columns / scale)

    return jax.vmap(one)(images, angle, mirror, scale, shift)


@pytest.mark.parametrize("case", CASES, ids="{0[0]} of {0[1]} px".format)
def bench_augment(compare, case):
    count, size = case
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    on_device, key, drawn = jnp.asarray(images), jax.random.key(0), tuple(map(jnp.asarray, draws(count, size)))
    functions = {
        "augment": lambda: geometry(on_device, key),
        "one after another in JAX": lambda: one_after_another(on_device, *drawn),
    }
    if torch := peer("torch"):
        pixels = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
        angle, mirror, scale, shift = (torch.tensor(np.asarray(d), dtype=torch.float32) for d in drawn)

        def by_torch():
            c, s = torch.cos(angle) / scale, torch.sin(angle) / scale
            rows = [
                torch.stack([c * mirror, -s, shift[:, 1] / size], 1),
                torch.stack([s * mirror, c, shift[:, 0] / size], 1),
            ]
            grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), pixels.shape, align_corners=True)
            floats = pixels.float()
            return torch.nn.functional.grid_sample(floats, grid, padding_mode="reflection", align_corners=True)

        functions["torch, affine_grid + grid_sample"] = by_torch
    compare("Crop, rotation, flip and zoom", f"{count} images of {size} px", functions, rounds=9)
