"""Hybrid Task Cascade (Chen et al., CVPR 2019) for cells: three stages that judge, move and draw in turns.

Takes and gives what `networks.rcnn` describes. Its training needs `areas` in every target, int64 (height,
width), 0 background and otherwise the label of the cell; in evaluation it also gives `areas`, float32
(4, height / 8, width / 8), its logits for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.pipeline.networks import torchvision_compat
from inference.pipeline.networks.rcnn import (
    BOX_CELLS,
    CLASSES,
    LEAST_SCORE,
    LEVELS,
    MASK_CELLS,
    MOST_CELLS,
    POSITIVE_SHARE,
    SAME_BOX,
    SAMPLED,
    Found,
    Pyramid,
    box_head,
    images_of,
    mask_head,
    mask_predictor,
    parsed,
    proposer,
    region_pool,
)

torchvision_compat.ensure()

from torchvision.models.detection import _utils as detection  # noqa: E402  (importable after ensure() only)
from torchvision.models.detection.roi_heads import maskrcnn_loss  # noqa: E402
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image  # noqa: E402

Sizes = list[tuple[int, int]]

STAGE_IOU = (0.5, 0.6, 0.7)
"""From this overlap with a cell on a region is that cell, stage by stage."""

STAGE_WEIGHTS = (1.0, 0.5, 0.25)
STAGE_SCALES = (1.0, 2.0, 3.0)
"""Later stages move boxes less, so that their moves are counted in finer units (Cai and Vasconcelos 2018)."""

SEMANTIC = "semantic"
SEMANTIC_LEVEL = "1"
SEMANTIC_STRIDE = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """Regions of one image to learn from: `boxes` float32 (k, 4), `labels` int64 (k,), 0 for none, and
    `matched` int64 (k,), the index of the cell, without meaning where there is none."""

    boxes: Tensor
    labels: Tensor
    matched: Tensor

    @property
    def cells(self) -> "Sample":
        """Those that are cells."""
        chosen = self.labels > 0
        return Sample(self.boxes[chosen], self.labels[chosen], self.matched[chosen])


class Semantic(nn.Module):
    """Says of every place which kind of cell it is of, seeing all levels of the pyramid at once."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in LEVELS)
        self.convolutions = mask_head(width)
        self.logits = nn.Conv2d(width, CLASSES, 1)
        self.embedding = nn.Conv2d(width, width, 1)

    def forward(self, levels: Found) -> tuple[Tensor, Tensor]:
        """Return logits (n, 4, height / 8, width / 8) and features (n, width, height / 8, width / 8)."""
        size = levels[SEMANTIC_LEVEL].shape[-2:]
        raised = [
            functional.relu(lateral(functional.interpolate(levels[name], size=size, mode="bilinear")))
            for name, lateral in zip(LEVELS, self.laterals, strict=True)
        ]
        features = self.convolutions(torch.stack(raised).sum(dim=0))
        return self.logits(features), functional.relu(self.embedding(features))


class MaskBranch(nn.Module):
    """Draws the cell of a region, told by the branch of the stage before what it saw."""

    def __init__(self, width: int, first: bool) -> None:
        super().__init__()
        self.told = None if first else nn.Conv2d(width, width, 1)
        self.convolutions = mask_head(width)
        self.predictor = mask_predictor(width)

    def forward(self, regions: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return logits (k, 4, 28, 28), and features (k, width, 14, 14) for the next stage."""
        if self.told is not None and before is not None:
            regions = regions + functional.relu(self.told(before))
        features = self.convolutions(regions)
        return self.predictor(features), features


class Stage(nn.Module):
    """One stage of the cascade: what a region is, how its box should move, and its mask."""

    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self.head = box_head(width)
        self.classes = nn.Linear(4 * width, CLASSES)
        self.moves = nn.Linear(4 * width, 4)
        self.mask = MaskBranch(width, first=number == 0)
        scale = STAGE_SCALES[number]
        self.coder = detection.BoxCoder((10 * scale, 10 * scale, 5 * scale, 5 * scale))
        self.matcher = detection.Matcher(STAGE_IOU[number], STAGE_IOU[number])
        self.sampler = detection.BalancedPositiveNegativeSampler(SAMPLED, POSITIVE_SHARE)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Judge regions on the grid of BOX_CELLS: logits (k, 4) of the classes, moves (k, 4) of the boxes."""
        features = self.head(regions)
        return self.classes(features), self.moves(features)

    def moved(self, moves: Tensor, boxes: list[Tensor], sizes: Sizes) -> list[Tensor]:
        """Return the boxes after their moves, inside their images."""
        placed = _per_image(self.coder.decode(moves.detach(), boxes)[:, 0], boxes)
        return [clip_boxes_to_image(own, size) for own, size in zip(placed, sizes, strict=True)]

    def sampled(self, boxes: list[Tensor], targets: list[Found]) -> list[Sample]:
        """Choose regions to learn from among boxes (k, 4) and the cells' own."""
        return [self._sample(own, target) for own, target in zip(boxes, targets, strict=True)]

    def _sample(self, boxes: Tensor, target: Found) -> Sample:
        boxes = torch.cat([boxes, target["boxes"]])
        matched = torch.full((len(boxes),), -1, device=boxes.device)
        if len(target["boxes"]):
            matched = self.matcher(box_iou(target["boxes"], boxes))
        labels = torch.cat([target["labels"].new_zeros(1), target["labels"]])[matched.clamp(min=-1) + 1]
        (cells,), (others,) = self.sampler([labels])
        chosen = torch.where(cells | others)[0]
        return Sample(boxes[chosen], labels[chosen], matched[chosen])

    def losses(self, judged: tuple[Tensor, Tensor], samples: list[Sample], targets: list[Found]) -> Found:
        """Compare what `forward` said about samples with what they are."""
        (logits, moves), labels = judged, torch.cat([sample.labels for sample in samples])
        cells = [sample.cells for sample in samples]
        wanted = self.coder.encode(
            [target["boxes"][own.matched] for own, target in zip(cells, targets, strict=True)],
            [own.boxes for own in cells],
        )
        off = functional.smooth_l1_loss(moves[labels > 0], torch.cat(wanted), beta=1 / 9, reduction="sum")
        return {"class": functional.cross_entropy(logits, labels), "box": off / max(1, len(labels))}


class Cascade(nn.Module):
    """The whole network."""

    def __init__(self, backbone: str, width: int, init: str) -> None:
        super().__init__()
        self.backbone = Pyramid(backbone, width, init)
        self.proposer = proposer(width)
        self.semantic = Semantic(width)
        stages = nn.ModuleList(Stage(number, width) for number in range(len(STAGE_IOU)))
        self.stages = cast("Sequence[Stage]", stages)
        self.for_boxes = nn.ModuleList([region_pool(BOX_CELLS), region_pool(BOX_CELLS, (SEMANTIC,))])
        self.for_masks = nn.ModuleList([region_pool(MASK_CELLS), region_pool(MASK_CELLS, (SEMANTIC,))])

    def forward(self, pixels: Tensor, targets: list[Found] | None = None) -> Found | list[Found]:
        """Return losses where there are targets, and otherwise what is found."""
        images, levels = images_of(pixels), self.backbone(pixels)
        proposals, lost = self.proposer(images, levels, targets)
        areas, levels[SEMANTIC] = self.semantic(levels)
        if targets is None:
            found = self._find(levels, proposals, images.image_sizes)
            return [{**own, "areas": logits} for own, logits in zip(found, areas, strict=True)]
        half = SEMANTIC_STRIDE // 2
        wanted = torch.stack([target["areas"] for target in targets])
        wanted = wanted[:, half::SEMANTIC_STRIDE, half::SEMANTIC_STRIDE]
        lost = {**lost, "areas": functional.cross_entropy(areas, wanted)}
        return {**lost, **self._stage_losses(levels, proposals, images.image_sizes, targets)}

    def _stage_losses(self, levels: Found, boxes: list[Tensor], sizes: Sizes, targets: list[Found]) -> Found:
        lost: Found = {}
        for number, (stage, weight) in enumerate(zip(self.stages, STAGE_WEIGHTS, strict=True)):
            samples = stage.sampled(boxes, targets)
            boxes = [sample.boxes for sample in samples]
            judged = stage(_pooled(self.for_boxes, levels, boxes, sizes))
            parts = stage.losses(judged, samples, targets)
            boxes = stage.moved(judged[1], boxes, sizes)
            # Interleaved: the mask branch learns on the boxes as its own stage has moved them.
            cells = [sample.cells for sample in stage.sampled(boxes, targets)]
            regions = _pooled(self.for_masks, levels, [own.boxes for own in cells], sizes)
            parts["mask"] = _mask_loss(self._drawn(regions, number + 1)[-1], cells, targets)
            lost |= {f"{name}_{number}": weight * part for name, part in parts.items()}
        return lost

    def _drawn(self, regions: Tensor, stages: int) -> list[Tensor]:
        """Mask logits (k, 4, 28, 28) of the first stages, each told what the one before saw."""
        drawn, before = [], None
        for stage in self.stages[:stages]:
            logits, before = stage.mask(regions, before)
            drawn.append(logits)
        return drawn

    def _find(self, levels: Found, boxes: list[Tensor], sizes: Sizes) -> list[Found]:
        judged = []
        for stage in self.stages:
            logits, moves = stage(_pooled(self.for_boxes, levels, boxes, sizes))
            judged.append(logits.softmax(dim=1))
            boxes = stage.moved(moves, boxes, sizes)
        scores = _per_image(torch.stack(judged).mean(dim=0), boxes)
        found = [_chosen(own, score) for own, score in zip(boxes, scores, strict=True)]
        boxes = [own["boxes"] for own in found]
        regions = _pooled(self.for_masks, levels, boxes, sizes)
        drawn = torch.stack([logits.sigmoid() for logits in self._drawn(regions, len(self.stages))])
        masks = _of_labels(drawn.mean(dim=0), torch.cat([own["labels"] for own in found]))[:, None]
        return [{**own, "masks": part} for own, part in zip(found, _per_image(masks, boxes), strict=True)]


def _per_image(values: Tensor, boxes: list[Tensor]) -> Sequence[Tensor]:
    """Values of the boxes of all images, taken apart."""
    return torch.split(values, [len(own) for own in boxes])


def _pooled(pools: nn.ModuleList, levels: Found, boxes: list[Tensor], sizes: Sizes) -> Tensor:
    """What a pool of the pyramid and one of the semantic features see of the boxes, added."""
    pyramid, semantic = pools
    pooled: Tensor = pyramid(levels, boxes, sizes) + semantic(levels, boxes, sizes)
    return pooled


def _of_labels(masks: Tensor, labels: Tensor) -> Tensor:
    """The mask (k, 28, 28) of each one's label among (k, 4, 28, 28)."""
    return masks[torch.arange(len(labels), device=labels.device), labels]


def _mask_loss(logits: Tensor, cells: list[Sample], targets: list[Found]) -> Tensor:
    lost: Tensor = maskrcnn_loss(
        logits,
        [own.boxes for own in cells],
        [target["masks"] for target in targets],
        [target["labels"] for target in targets],
        [own.matched for own in cells],
    )
    return lost


def _chosen(boxes: Tensor, scores: Tensor) -> Found:
    """The cells among boxes (k, 4) with chances (k, 4) of every class: each once per kind, surest first."""
    region, kind = torch.where(scores[:, 1:] > LEAST_SCORE)
    boxes, scores, labels = boxes[region], scores[region, kind + 1], kind + 1
    kept = batched_nms(boxes, scores, labels, SAME_BOX)[:MOST_CELLS]
    return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}


def build(architecture: str, init: str = "scratch") -> Cascade:
    """Build a Hybrid Task Cascade for cells, htc_ and the backbone; see `rcnn.build`."""
    backbone, width = parsed(architecture, "htc")
    return Cascade(backbone, width, init)
