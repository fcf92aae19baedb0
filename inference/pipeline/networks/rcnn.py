"""Mask R-CNN (He et al. 2017) for cells, and the parts that it shares with the cascade of `networks.htc`.

In training a network takes float32 (n, 3, height, width) and one dict per image, and gives a dict of losses:
`boxes` float32 (k, 4) as x0, y0, x1, y1 in px, `labels` int64 (k,), 1 red cell, 2 white cell, 3 platelet, and
`masks` uint8 (k, height, width). In evaluation it takes the pixels alone and gives one dict per image, surest
first: `boxes`, `labels`, `scores` float32 (k,), 0–1, and `masks` float32 (k, 1, 28, 28), the chance of every
place in the box to be of the cell. Pixels are normalised RGB at 0.2 µm, sides multiples of 32.
"""

from typing import Any

from torch import Tensor, nn

from inference.pipeline.networks import region_align, torchvision_compat

if torchvision_compat.ensure() == "plain torch":
    region_align.install()

from torchvision.models.detection import MaskRCNN  # noqa: E402  (importable after ensure() only)
from torchvision.models.detection.anchor_utils import AnchorGenerator  # noqa: E402
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead  # noqa: E402
from torchvision.models.detection.image_list import ImageList  # noqa: E402
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor  # noqa: E402
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead  # noqa: E402
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, nms  # noqa: E402
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool  # noqa: E402

Found = dict[str, Tensor]

CLASSES = 4
"""Background, red cell, white cell, platelet."""

BACKBONES = {
    "swin": "swin_tiny_patch4_window7_224",
    "resnet50": "resnet50_gn",
    "resnet10": "resnet10t",
}
"""The timm models behind the names of architectures. ResNet-50 is the one with group normalisation, for the
batches of a large network are too small to take means over (Wu and He 2018)."""

WIDTH = 256
LEVELS = ("0", "1", "2", "3")

ANCHOR_PX = ((8, 13), (21, 32), (44, 60), (84, 116), (160, 220))
"""Widths of the anchors on the levels of the pyramid: a platelet is 8 to 16 px wide, a red cell about 36, a
white one 40 to 100, and training shows them 0.7 to 1.45 times as large."""

RATIOS = (0.5, 1.0, 2.0)

FINE_PX = 56
"""Regions less wide than this are looked at on the finest level of the pyramid, others on coarser ones."""

BOX_CELLS, MASK_CELLS = 7, 14
"""Sides of the grids on which the box head and the mask head see a region."""

PROPOSED = 1000
"""So many places of a level of the pyramid are proposed."""

SAMPLED = 256
POSITIVE_SHARE = 0.25
"""So many regions of an image are learnt from, at most this share of them cells."""

LEAST_SCORE = 0.1
SAME_BOX = 0.5
MOST_CELLS = 1000


JUDGES = (RPNHead, FastRCNNPredictor)
"""The parts that say of every place and of every region what is there, before the surest are chosen."""


class AsIs(nn.Module):
    """In the place of torchvision's transform: pixels come normalised and keep their size, and masks stay on
    the grids of their boxes."""

    def forward(self, pixels: Tensor, targets: list[Found] | None = None) -> tuple[Any, list[Found] | None]:
        return images_of(pixels), targets

    def postprocess(self, found: list[Found], *_: Any) -> list[Found]:
        return found


def images_of(pixels: Tensor) -> Any:
    """Pixels (n, 3, height, width) as torchvision hands images on."""
    return ImageList(pixels, [(pixels.shape[2], pixels.shape[3])] * len(pixels))


def _normed(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // 16), channels)


class Pyramid(nn.Module):
    """A timm backbone under a feature pyramid (Lin et al. 2017): float32 (n, 3, height, width) to `width`
    channels at strides of 4, 8, 16, 32 and 64 px, named "0" to "3" and "pool"."""

    def __init__(self, backbone: str, width: int, init: str) -> None:
        super().__init__()
        import timm
        from timm.layers import Format

        sizes: dict[str, Any] = {"strict_img_size": False} if backbone.startswith("swin") else {}
        body: Any = timm.create_model(backbone, features_only=True, pretrained=init == "imagenet", **sizes)
        self.body = body
        self.channels_last = getattr(body, "output_fmt", Format.NCHW) == Format.NHWC
        self.pyramid = FeaturePyramidNetwork(
            body.feature_info.channels()[-len(LEVELS) :], width, LastLevelMaxPool(), _normed
        )
        self.out_channels = width

    def forward(self, pixels: Tensor) -> Found:
        levels = self.body(pixels)[-len(LEVELS) :]
        if self.channels_last:
            levels = [level.permute(0, 3, 1, 2).contiguous() for level in levels]
        pyramid: Found = self.pyramid(dict(zip(LEVELS, levels, strict=True)))
        return pyramid


def region_pool(side: int, levels: tuple[str, ...] = LEVELS) -> Any:
    """Sees regions on a square grid, each on the level of the pyramid that suits its size."""
    return MultiScaleRoIAlign([*levels], side, sampling_ratio=2, canonical_scale=FINE_PX, canonical_level=3)


def proposer(width: int) -> Any:
    """The network that proposes where cells could be (Ren et al. 2015)."""
    anchors = AnchorGenerator(ANCHOR_PX, (RATIOS,) * len(ANCHOR_PX))
    return RegionProposalNetwork(
        anchors,
        RPNHead(width, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=SAMPLED,
        positive_fraction=0.5,
        pre_nms_top_n={"training": PROPOSED, "testing": PROPOSED},
        post_nms_top_n={"training": PROPOSED, "testing": 2 * MOST_CELLS},
        nms_thresh=0.7,
    )


def box_head(width: int) -> Any:
    """Region on the grid of BOX_CELLS to a vector of 4 × `width`."""
    return TwoMLPHead(width * BOX_CELLS**2, 4 * width)


def mask_head(width: int) -> Any:
    """Four convolutions on the grid of MASK_CELLS."""
    return MaskRCNNHeads(width, (width,) * 4, 1)


def mask_predictor(width: int) -> Any:
    """Features to logits of every class at twice the resolution."""
    return MaskRCNNPredictor(width, width, CLASSES)


def once(found: Found, overlap: float) -> Found:
    """What was found in an image without what a surer find overlaps by more than this, whatever its kind."""
    kept = nms(found["boxes"], found["scores"], overlap)
    return {**found, **{name: found[name][kept] for name in ("boxes", "labels", "scores", "masks")}}


def parsed(architecture: str, design: str) -> tuple[str, int]:
    """Read the timm backbone and the width off a name such as maskrcnn_swin or maskrcnn_resnet10_64.

    Raises ValueError for a name of another design or with an unknown backbone.
    """
    given, _, rest = architecture.partition("_")
    backbone, _, width = rest.partition("_")
    if given != design or backbone not in BACKBONES or not (width or "256").isdigit():
        raise ValueError(
            f"{architecture} is no network of the design {design}; the name is {design}_, one of"
            f" {', '.join(BACKBONES)}, and, unless it is {WIDTH}, _ and the width."
        )
    return BACKBONES[backbone], int(width or WIDTH)


def build(architecture: str, init: str = "scratch") -> nn.Module:
    """Build a Mask R-CNN for cells, maskrcnn_ and the backbone.

    `init` is "scratch" for random weights or "imagenet" for timm's pretrained backbone, which timm downloads.
    Raises ValueError for any other name.
    """
    backbone, width = parsed(architecture, "maskrcnn")
    network: nn.Module = MaskRCNN(
        Pyramid(backbone, width, init),
        box_roi_pool=region_pool(BOX_CELLS),
        box_head=box_head(width),
        box_predictor=FastRCNNPredictor(4 * width, CLASSES),
        box_score_thresh=LEAST_SCORE,
        box_nms_thresh=SAME_BOX,
        box_detections_per_img=MOST_CELLS,
        box_batch_size_per_image=SAMPLED,
        box_positive_fraction=POSITIVE_SHARE,
        mask_roi_pool=region_pool(MASK_CELLS),
        mask_head=mask_head(width),
        mask_predictor=mask_predictor(width),
    )
    network.rpn, network.transform = proposer(width), AsIs()
    return network
