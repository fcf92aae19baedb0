"""The Medical Enhanced Filter beside its plain form, for the benchmark."""

from inference.pipeline.enhance import enhance, enhance_batch
from inference.pipeline.findings import Image
from inference.pipeline.networks.registry import PreprocessingVariant
from inference.training import plain_enhance
from inference.training.timing import Stage

CELLS = 32
REFERENCE = "v1, one OpenCV call after another"


def stages(crop: Image) -> list[Stage]:
    """Return v1 of one cell and of a batch, and the other variants of a batch, for one uint8 RGB crop.

    v4 is v3 after the stain normalisation, which has a stage of its own.
    """
    batch = [crop] * CELLS
    one = Stage(
        "MEF v1 of one cell",
        lambda: enhance(crop, PreprocessingVariant.MEF_V1),
        lambda: plain_enhance.mef_v1(crop),
        REFERENCE,
    )
    variants = (PreprocessingVariant.MEF_V1, PreprocessingVariant.MEF_V2, PreprocessingVariant.MEF_V3)
    return [one, *(_of_a_batch(batch, variant) for variant in variants)]


def _of_a_batch(batch: list[Image], variant: PreprocessingVariant) -> Stage:
    return Stage(
        f"MEF {variant.removeprefix('mef_')} of {len(batch)} cells",
        lambda: enhance_batch(batch, variant),
        lambda: [plain_enhance.mef_v1(crop) for crop in batch],
        REFERENCE,
    )
