"""The taxonomy, the numeric contracts of every stage, and the choices a laboratory can make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

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

RBC_CLASSES = (
    "normal",
    "macrocyte",
    "microcyte",
    "sickle",
    "target",
    "spherocyte",
    "stomatocyte",
    "ovalocyte",
    "elliptocyte",
    "teardrop",
    "echinocyte",
    "schistocyte",
    "hypochromic",
    "malaria_infected",
)
"""What a red cell can be called, in the order of every list; no network has learnt malaria_infected."""

RBC_SIZES = ("macrocyte", "microcyte")
"""What a red cell of normal shape is called by its measured diameter alone; no network decides it."""

RBC_UNTRAINED = ("malaria_infected",)
"""What no network calls a red cell, for want of licensed images; a person can."""

RBC_SHAPES = tuple(name for name in RBC_CLASSES if name not in (*RBC_SIZES, *RBC_UNTRAINED))
"""What the red-cell network tells apart, in the order of its probabilities."""


def shape_of(label: str) -> str:
    """Return what the red-cell network calls a class: those that only the size tells apart are normal to
    it."""
    return "normal" if label in RBC_SIZES else label


RBC_GRADES_PERCENT = {
    "macrocyte": (5.0, 11.0, 20.0),
    "microcyte": (5.0, 11.0, 20.0),
    "sickle": (0.5, 1.0, 2.0),
    "target": (2.0, 5.0, 20.0),
    "spherocyte": (2.0, 5.0, 20.0),
    "stomatocyte": (2.0, 5.0, 20.0),
    "ovalocyte": (2.0, 5.0, 20.0),
    "elliptocyte": (2.0, 5.0, 20.0),
    "teardrop": (2.0, 5.0, 20.0),
    "echinocyte": (2.0, 5.0, 20.0),
    "schistocyte": (0.2, 1.0, 2.0),
    "hypochromic": (5.0, 11.0, 20.0),
    "malaria_infected": (0.1, 1.0, 2.0),
}
"""Default limits in % of the classified red cells: a class is graded 1+ and 2+ from the first two on and 3+
above the third. The second and third are those of the ICSH (Palmer et al., Int J Lab Hematol 2015, table of
red cells), which grades most findings from 2+ on. The first, and all of malaria_infected, are this product's
own; that of schistocytes is about the upper limit in healthy adults (Zini et al., Int J Lab Hematol 2012)."""

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
RBC_NORMAL_DIAMETER_UM = (6.2, 8.2)
"""Default limits in µm of the diameter of a normal red cell in a dried smear: below is a microcyte, above a
macrocyte (Turgeon, Clinical Hematology: 6.2 to 8.2 µm). docs/red_cells_network.md has what was measured."""
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
    rbc_batch: int = 128
    duplicate_iou: float = 0.5


@dataclass(frozen=True, slots=True)
class Config:
    """Everything about one analysis that is not in the image.

    `augmentation` None leaves it to the network's card, whose temperature and thresholds hold for its own
    views and turns only: another augmentation is noted, and so is `normalise_stain` off. With
    `adapt_batch_statistics` a network's batch statistics are moved towards those of the slide. With
    `remediate` cells whose call is in doubt are called again in other stains and cut out tighter. With
    `review_contradicted` cells whose words contradict their call go to review. With
    `staging` the fields of the smear are staged as well, which is done only where it was asked for. All red
    cells are counted and up to `rbc_classified` of them classified; `rbc_diameter_um` are the least and the
    greatest normal diameter, `rbc_grades` the limits of grades in % by class, and at most `rbc_reviewed` red
    cells of a smear are put into the review queue. `wbc_folder` holds card and weights of the network that
    calls the white cells and `staging_folder` those of the one that stages, None for the shipped ones.
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
    rbc_classified: int = 2_000
    rbc_reviewed: int = 20
    rbc_diameter_um: tuple[float, float] = RBC_NORMAL_DIAMETER_UM
    rbc_grades: Mapping[str, tuple[float, float, float]] = field(default_factory=lambda: RBC_GRADES_PERCENT)
    wbc_folder: Path | None = None
    staging_folder: Path | None = None
