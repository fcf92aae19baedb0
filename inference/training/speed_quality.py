"""All quality checks of a tile beside the same measures in scikit-image and scipy, at full size."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, filters, measure

from inference.pipeline import quality
from inference.pipeline.findings import Image
from inference.training.timing import Stage

DARKER = 0.95
NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])


def stages(tile: Image) -> list[Stage]:
    """Pair the checks of a tile, uint8 RGB (height, width, 3), 1024 px square by convention, with plain."""
    height, width = tile.shape[:2]
    return [
        Stage(
            "quality checks",
            lambda: quality.assess(tile, width, height),
            lambda: plain(tile),
            "focus, noise, stain, exposure, tissue and clumps at full size, scikit-image and scipy",
        )
    ]


def plain(tile: Image) -> dict[str, float]:
    """Measure uint8 RGB pixels in the plainest way: no reduction, no tables."""
    grey = color.rgb2gray(tile)
    ground = float(np.quantile(grey, 0.95))
    stained = ndimage.binary_fill_holes(grey < DARKER * ground)
    depth = ndimage.distance_transform_edt(stained)
    optical = -np.log((tile[stained] + 1.0) / 256)
    return {
        "focus": float(filters.laplace(grey).var()),
        "noise": float(np.sqrt(np.pi / 2) / 6 * np.abs(ndimage.convolve(grey, NOISE_KERNEL)).mean()),
        "ground": ground,
        "clipped": float((tile == 255).all(axis=-1).mean()),
        "density": float(optical.mean()),
        "colour": float(np.ptp(optical, axis=1).mean()),
        "tissue": float(stained.mean()),
        "clumped": _largest_share(stained, float(depth.max())),
    }


def _largest_share(stained: NDArray[np.bool_], radius: float) -> float:
    """Share of the stained pixels in pieces of more than eight discs of a radius in px."""
    areas = np.array([region.area for region in measure.regionprops(measure.label(stained))])
    return float(areas[areas > 8 * np.pi * radius**2].sum() / max(1, areas.sum()))
