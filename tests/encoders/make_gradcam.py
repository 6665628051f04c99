"""Write gradcam.npz with pytorch-grad-cam 1.5.7 (pip's ``grad-cam``): its maps of two reference networks.

Run from the repository root, where torch and that package are installed: ``python -m tests.encoders.make_gradcam``.
"""

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from tests.encoders.torch_models import NETWORKS
from tests.encoders.weights import GRADCAM, GRADCAM_CLASSES, make_images, make_state, size_of


class Classifier(torch.nn.Module):
    """Logits of a reference network's own last layer."""

    def __init__(self, network, pool, layer):
        super().__init__()
        self.network, self.pool, self.layer = network, pool, layer

    def forward(self, images):
        return self.layer(self.pool(list(self.network.stages(images).values())[-1]))


def parts_of(name, seed):
    """A network as a classifier, by stage the module that returns its features, and how these become maps."""
    network = NETWORKS[name]()
    state = make_state({k: tuple(v.shape) for k, v in network.state_dict().items()}, seed)
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
    if name == "vit_tiny":
        side = size_of(name)[0] // 4
        layers = {"block1": network.encoder.layers.encoder_layer_0, "block2": network.encoder.ln}
        classifier = Classifier(network, lambda x: x[:, 0], network.heads.head)
        return classifier, layers, lambda x: x[:, 1:].reshape(len(x), side, side, -1).permute(0, 3, 1, 2)
    layers = {"block1": network.layer1, "block2": network.layer2}
    return Classifier(network, lambda x: x.mean((2, 3)), network.fc), layers, None


def maps_of(name, seed=0):
    """By stage the maps before they are scaled, [B, h, w], and the ones in 0..1 at the images' size, [B, H, W]."""
    classifier, layers, as_map = parts_of(name, seed)
    images = torch.from_numpy(make_images(size_of(name))).permute(0, 3, 1, 2)
    targets = [ClassifierOutputTarget(label) for label in GRADCAM_CLASSES]
    found = {}
    for stage, layer in layers.items():
        with GradCAM(classifier, [layer], reshape_transform=as_map) as cam:
            full = cam(images, targets)
            seen = cam.activations_and_grads
            arrays = (x[0].numpy() for x in (seen.activations, seen.gradients))
            found[f"{name}/{stage}"] = np.maximum(cam.get_cam_image(images, layer, targets, *arrays), 0)
            found[f"{name}/{stage}/full"] = full[:, ::3, ::3]
    return found


def main():
    np.savez_compressed(GRADCAM, **(maps_of("resnet_tiny") | maps_of("vit_tiny")))


if __name__ == "__main__":
    main()
