"""What the classes of white cells look like, as haematology has it, and what of that is measured or told."""

from collections.abc import Mapping

from inference.pipeline.criteria import Between, Criterion, Named, Part, Source, Typical

CRITERIA: Mapping[str, tuple[Criterion, ...]] = {
    "neutrophil": (
        Criterion("nucleus of 2 to 5 lobes joined by thin bridges, or a band", Source.ICSH),
        Criterion("dense, clumped chromatin", Source.BAIN),
        Criterion("ample, pale pink cytoplasm with fine granules", Source.BAIN),
    ),
    "eosinophil": (
        Criterion("nucleus of two lobes, seldom three", Source.BAIN),
        Criterion("cytoplasm packed with large, round, orange-red granules", Source.BAIN),
    ),
    "basophil": (
        Criterion("coarse, purple-black granules of unequal size that may hide the nucleus", Source.BAIN),
        Criterion("nucleus of few lobes, often indistinct", Source.BAIN),
    ),
    "lymphocyte": (
        Criterion("round or slightly indented nucleus with condensed chromatin", Source.BAIN),
        Criterion("scant to moderate, pale blue cytoplasm; few azurophilic granules at most", Source.BAIN),
        Criterion("reactive cells are larger, with more and bluer cytoplasm", Source.ICSH),
    ),
    "monocyte": (
        Criterion("large cell; indented, folded or lobed nucleus with loose chromatin", Source.BAIN),
        Criterion("ample grey-blue cytoplasm, often with vacuoles and fine granules", Source.BAIN),
    ),
    "immature_granulocyte": (
        Criterion(
            "promyelocyte, myelocyte or metamyelocyte: round, oval or indented nucleus without lobes",
            Source.ICSH,
        ),
        Criterion("chromatin looser than that of mature granulocytes", Source.ELN),
        Criterion("primary or secondary granules in the cytoplasm", Source.ELN),
    ),
    "blast": (
        Criterion("high nuclear-cytoplasmic ratio, round or oval nucleus", Source.IWGM),
        Criterion("fine chromatin, often with nucleoli", Source.IWGM),
        Criterion(
            "basophilic cytoplasm, without granules or with few; Auer rods prove a myeloid one", Source.ELN
        ),
    ),
    "erythroblast": (
        Criterion("round nucleus with dense, clumped chromatin", Source.ELN),
        Criterion("cytoplasm without granules, from blue to pink as it fills with haemoglobin", Source.BAIN),
    ),
    "platelet": (
        Criterion("no nucleus; small, granular, pale blue body, in clumps or alone", Source.BAIN),
        Criterion("usually smaller than a red cell; a giant one as large as that or larger", Source.ICSH),
    ),
    "artifact": (
        Criterion("smudged or broken cell, precipitate or dirt: no intact cell to call", Source.ICSH),
    ),
}
"""What the classes look like, as a second reader is told."""

_WHOLE = Between(
    Part.NUCLEUS, "nucleus_lobes", (1, 1), (1, 2), "in one piece", "of {value} lobes", Source.BAIN
)


def _ample(source: Source) -> Typical:
    return Typical(Part.CYTOPLASM, "nc_ratio", False, "ample", "scant", source)


def _without_red(source: Source) -> Typical:
    words = "without orange-red", "orange-red"
    return Typical(Part.CYTOPLASM, "cytoplasm_redness", False, *words, source)


def _fine(source: Source) -> Typical:
    return Typical(Part.GRANULES, "granularity", False, "fine at most", "coarse", source)


MEASURED: Mapping[str, tuple[Typical | Between, ...]] = {
    "neutrophil": (
        Between(
            Part.NUCLEUS,
            "nucleus_lobes",
            (2, 5),
            (1, 6),
            "of {value} lobes",
            "of {value} lobes, too many",
            Source.ICSH,
        ),
        Typical(
            Part.NUCLEUS,
            "nucleus_solidity",
            False,
            "deeply indented",
            "round, without an indentation",
            Source.ICSH,
        ),
        Typical(
            Part.CHROMATIN, "nucleus_contrast", True, "dense", "hardly denser than the cytoplasm", Source.BAIN
        ),
        _ample(Source.BAIN),
        _fine(Source.BAIN),
    ),
    "eosinophil": (
        Between(
            Part.NUCLEUS,
            "nucleus_lobes",
            (2, 3),
            (1, 4),
            "of {value} lobes",
            "of {value} lobes, too many",
            Source.BAIN,
        ),
        Typical(
            Part.NUCLEUS,
            "nucleus_solidity",
            False,
            "deeply indented",
            "round, without an indentation",
            Source.BAIN,
        ),
        _ample(Source.BAIN),
        Typical(Part.CYTOPLASM, "cytoplasm_redness", True, "orange-red", "without orange-red", Source.BAIN),
        Typical(Part.GRANULES, "granularity", True, "many", "hardly any", Source.BAIN),
    ),
    "basophil": (
        Typical(Part.GRANULES, "granularity", True, "coarse and dark", "hardly any", Source.BAIN),
        Typical(
            Part.CELL,
            "nc_ratio",
            True,
            "dark over most of its area",
            "dark over too little of its area",
            Source.BAIN,
        ),
        _without_red(Source.BAIN),
    ),
    "lymphocyte": (
        _WHOLE,
        Typical(
            Part.NUCLEUS,
            "nucleus_solidity",
            True,
            "round",
            "deeply indented or segmented",
            Source.BAIN,
        ),
        Typical(
            Part.CHROMATIN, "chromatin_texture", False, "smooth and dense", "coarsely patched", Source.BAIN
        ),
        Typical(Part.CYTOPLASM, "nc_ratio", True, "scant", "very ample", Source.BAIN),
        _without_red(Source.BAIN),
    ),
    "monocyte": (
        Between(
            Part.NUCLEUS, "nucleus_lobes", (1, 1), (1, 3), "in one piece", "of {value} lobes", Source.BAIN
        ),
        Typical(Part.NUCLEUS, "nucleus_solidity", False, "indented", "perfectly round", Source.BAIN),
        Typical(Part.CHROMATIN, "nucleus_contrast", False, "loose", "very dense", Source.BAIN),
        _without_red(Source.BAIN),
        _fine(Source.BAIN),
    ),
    "immature_granulocyte": (
        Typical(
            Part.CHROMATIN, "nucleus_contrast", False, "looser than in mature cells", "very dense", Source.ELN
        ),
        _without_red(Source.ELN),
        Typical(Part.GRANULES, "granularity", True, "present", "hardly any", Source.ELN),
    ),
    "blast": (
        Between(
            Part.CELL,
            "cell_diameter_um",
            (12, 20),
            (8, 30),
            "large",
            "of a size unusual for a blast",
            Source.BAIN,
        ),
        Typical(Part.CHROMATIN, "nucleus_contrast", False, "fine", "very dense", Source.IWGM),
        Typical(Part.CYTOPLASM, "cytoplasm_blueness", True, "blue", "pale", Source.ELN),
        Typical(Part.GRANULES, "granularity", False, "few", "coarse", Source.IWGM),
    ),
    "erythroblast": (
        Between(
            Part.CELL,
            "cell_diameter_um",
            (6, 12),
            (4, 20),
            "small",
            "of a size unusual for an erythroblast",
            Source.BAIN,
        ),
        _WHOLE,
        Typical(Part.NUCLEUS, "nucleus_solidity", True, "round", "indented or segmented", Source.ELN),
        Typical(Part.NUCLEUS, "nc_ratio", False, "small", "too large for its cell", Source.BAIN),
        Typical(Part.CHROMATIN, "nucleus_contrast", True, "very dense", "loose", Source.ELN),
    ),
    "platelet": (
        Between(
            Part.CELL,
            "cell_diameter_um",
            (0, 5),
            (0, 12),
            "of the size of a platelet",
            "too large for a platelet",
            Source.ICSH,
        ),
    ),
    "artifact": (),
}
"""What is measured for each class. An artifact is what is no intact cell: nothing measured tells.

The nucleus found in a blast or an immature granulocyte is often half of it (docs/words.md), so that neither
lobes nor the nuclear-cytoplasmic ratio speak for or against these.
"""

NAMED: Mapping[str, tuple[Named, ...]] = {
    "neutrophil": (
        Named(Part.GRANULES, "granule_type", ("small",), ("coarse",), "small", "coarse"),
        Named(Part.GRANULES, "granule_colour", ("pink",), ("red",), "pink", "red"),
    ),
    "eosinophil": (
        Named(Part.GRANULES, "granule_type", ("round",), ("nil",), "round", "not seen"),
        Named(Part.GRANULES, "granule_colour", ("red",), ("purple",), "red", "purple"),
    ),
    "basophil": (
        Named(Part.GRANULES, "granule_type", ("coarse",), ("nil", "small"), "coarse", "not coarse"),
        Named(Part.GRANULES, "granule_colour", ("purple",), ("red",), "purple", "red"),
    ),
    "lymphocyte": (
        Named(Part.CYTOPLASM, "nuclear_cytoplasmic_ratio", ("high",), (), "scant", ""),
        Named(Part.GRANULES, "granule_type", (), ("coarse", "round"), "", "large"),
    ),
    "monocyte": (
        Named(Part.CHROMATIN, "chromatin_density", ("loosely",), (), "loose", ""),
        Named(Part.CYTOPLASM, "cytoplasm_vacuole", ("yes",), (), "with vacuoles", ""),
        Named(Part.GRANULES, "granule_type", (), ("coarse", "round"), "", "large"),
    ),
}
"""What the network's attributes say about the five mature classes it has learnt them on, and no others. The
shape of the nucleus is left out: too seldom right even where the network is sure (docs/words.md)."""


def criteria_of(label: str) -> tuple[str, ...]:
    """Return what a class looks like, in the words of haematology."""
    return tuple(criterion.words for criterion in CRITERIA[label])


NUCLEUS_SURE = frozenset({"neutrophil", "eosinophil", "lymphocyte", "monocyte", "erythroblast"})
"""The classes whose nucleus is found whole often enough to be named. In blasts and immature granulocytes it
is often half of the nucleus, in basophils granules are taken for it; platelets and artifacts have none."""
