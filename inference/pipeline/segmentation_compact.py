"""The default engine: a small network made for two CPU cores, whose maps tell centres, radii and areas.

The network sees every image at one working resolution; where the image does not say how large its pixels
are, the red cells tell.
"""

from collections.abc import Sequence

import numpy as np

from inference.pipeline import segmentation_scale, star
from inference.pipeline.findings import Image, NetworkUsed
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.networks.segmentation import AREAS, STRIDE
from inference.pipeline.segmentation_drawn import Drawn, reaching_the_border, unexplained
from inference.pipeline.segmentation_engine import Answer
from inference.pipeline.segmentation_star import KINDS, WORK_UM, Detections, decode, padded
from inference.pipeline.shapes import resized
from inference.pipeline.star import Floats


class Compact:
    """The segmentation network of `networks.segmentation`, by OpenVINO on a CPU."""

    def __init__(self, network: Network | None = None) -> None:
        """`network`: None for the product's own, which may be missing: then raises NetworkUnavailable."""
        self.network = network or runtime.load(registry.SEGMENTATION_NETWORK)

    @property
    def used(self) -> tuple[NetworkUsed, ...]:
        """The network."""
        return (self.network.card.used,)

    def estimate_pixel_um(self, image: Image) -> float | None:
        """Micrometres per pixel, as `segmentation_scale` estimates them."""
        return segmentation_scale.estimate_pixel_um(image, self.network)

    def find(self, images: Sequence[Image], pixel_um: float) -> list[Answer]:
        """Find the cells of images of one size; see `Engine`."""
        small = [resized(image, pixel_um / WORK_UM) for image in images]
        answers = self.network.predict(np.stack([padded(image, self.network) for image in small]))
        return [
            self._answer(maps, shown.shape, image.shape)
            for maps, shown, image in zip(answers, small, images, strict=True)
        ]

    def warm_up(self) -> None:
        """Compile the network."""
        self.network.warm_up()

    def _answer(self, maps: Floats, shape: tuple[int, ...], full: tuple[int, ...]) -> Answer:
        found = decode(maps, (shape[0], shape[1]))
        outlines = reaching_the_border(star.outlines(found.centres, found.radii), shape)
        drawn = Drawn([KINDS[kind] for kind in found.kinds], outlines, self._confidences(found))
        counted = drawn.counted(self.network.card)
        return Answer(
            drawn.instances(self.network.card, shape, full),
            unexplained(maps[AREAS], counted, shape, STRIDE),
        )

    def _confidences(self, found: Detections) -> Floats:
        """Chance, 0–1, that each detection is a cell of its kind, by the card's logistic regression."""
        calibration = self.network.card.text["calibration"]
        weights = np.array([calibration[kind.value] for kind in KINDS], np.float32)[found.kinds].reshape(
            -1, 2
        )
        return np.asarray(1 / (1 + np.exp(-(weights[:, 0] * found.logits + weights[:, 1]))), np.float32)
