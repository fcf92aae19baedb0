"""The taxonomy, the numeric contracts of every stage, and the choices a laboratory can make."""

from dataclasses import dataclass, field
from enum import StrEnum

WBC_CLASSES = (
    "neutrophil",
    "eosinophil",
    "basophil",
    "lymphocyte",
    "monocyte",
    "immature_granulocyte",
    "blast",
    "erythroblast",
    "platelet",
    "artifact",
)
"""What a cell of the white-cell stream can be called, in the order of every probability vector."""

STAGES_OF_LEUKEMIA = ("benign", "early_pre_b", "pre_b", "pro_b")
"""What a field of a smear can be staged as, in the order of every probability vector."""

DIFFERENTIAL_CLASSES = WBC_CLASSES[:7]
"""The leukocytes whose shares add up to 100 %; erythroblasts are given per 100 of them."""

REFERENCE_RANGES = {
    "neutrophil": (50.0, 70.0),
    "lymphocyte": (20.0, 40.0),
    "monocyte": (2.0, 10.0),
    "eosinophil": (1.0, 4.0),
    "basophil": (0.0, 1.0),
}
"""Default adult reference ranges in % of leukocytes; each laboratory keeps its own table."""

RBC_DIAMETER_UM = 7.2
REFERENCE_PIXEL_UM = 0.1
REVIEW_CONFIDENCE = 0.7


class SegmentationEngine(StrEnum):
    """The ways to find cells. Only `compact` comes with weights; `watershed` needs none."""

    COMPACT = "compact"
    WATERSHED = "watershed"
    MASKRCNN_SWIN = "maskrcnn_swin"
    HTC = "htc"
    YOLO11_SEG = "yolo11_seg"


class Augmentation(StrEnum):
    """How often a network sees a cell when it is called: once, upright and turned by 180°, or in all eight
    ways to turn and mirror its square. The answers are averaged."""

    NONE = "none"
    HALF_TURN = "half_turn"
    EIGHT = "eight"


@dataclass(frozen=True, slots=True)
class TileConfig:
    """Square tiles: side and overlap in px, and the least share of tissue worth looking at. `readers` threads
    read ahead, with at most `prefetch` tiles in memory; up to `batch` tiles are segmented at once. At 0.1 µm
    per pixel the overlap shows every white cell whole in one tile at least."""

    size: int = 1024
    overlap: int = 192
    min_tissue: float = 0.05
    edge_margin: int = 10
    readers: int = 2
    prefetch: int = 4
    batch: int = 2


@dataclass(frozen=True, slots=True)
class CellConfig:
    """Which instances are cells, and how they are cropped; areas in px at 0.1 µm per pixel."""

    min_confidence: float = 0.5
    min_area: float = 50.0
    max_area: float = 50_000.0
    max_aspect: float = 5.0
    min_solidity: float = 0.7
    padding: float = 0.25
    wbc_side: int = 224
    rbc_side: int = 64
    wbc_batch: int = 32
    duplicate_iou: float = 0.5


@dataclass(frozen=True, slots=True)
class Config:
    """Everything about one analysis that is not in the image.

    `augmentation` None leaves it to the network's card, whose temperature and thresholds hold for its own
    views and turns only: another augmentation is noted, and so is `normalise_stain` off. With
    `adapt_batch_statistics` a network's batch statistics are moved towards those of the slide. With
    `remediate` cells whose call is in doubt are called again in other stains and cut out tighter. With
    `review_contradicted` cells whose words contradict their call go to review. With
    `staging` the fields of the smear are staged as well, which is done only where it was asked for.
    """

    pixel_um: float | None = None
    engine: SegmentationEngine = SegmentationEngine.COMPACT
    tiles: TileConfig = field(default_factory=TileConfig)
    cells: CellConfig = field(default_factory=CellConfig)
    review_confidence: float = REVIEW_CONFIDENCE
    normalise_stain: bool = True
    declared_classes: tuple[str, ...] | None = None
    augmentation: Augmentation | None = None
    adapt_batch_statistics: bool = False
    remediate: bool = False
    review_contradicted: bool = False
    staging: bool = False
