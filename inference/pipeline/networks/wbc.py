"""The network that names the cells of the white-cell stream."""

from torch import nn

from inference.pipeline.networks import torchvision_compat

ARCHITECTURE = "regnetx_002"


def build(architecture: str, classes: int, init: str = "scratch") -> nn.Module:
    """Build a timm image classifier.

    Input of the module: float32 (n, 3, side, side), normalised RGB. Output: float32 logits (n, classes).
    `init` is "scratch" for random weights or "imagenet" for timm's pretrained ones, which timm downloads.
    """
    torchvision_compat.ensure()
    import timm

    network: nn.Module = timm.create_model(architecture, pretrained=init == "imagenet", num_classes=classes)
    return network
