"""Find the nucleus of a white cell by the nuclear dye within the cell.

It fails where something else holds as much of the dye: basophil granules over and beside the nucleus,
precipitate, a neighbour inside the cell's outline; and where nothing stands out, as in cells that are almost
all nucleus or out of focus. A platelet has no nucleus, but its granules hold the dye too.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image
from inference.pipeline.optical import otsu
from inference.pipeline.shapes import clean, ellipse, fill

Mask = NDArray[np.uint8]
Plane = NDArray[np.float32]

NUCLEAR = (2.0, 1.0, -1.0)
"""What chromatin absorbs, in red, green, blue: eosin and haemoglobin absorb green and blue, basophilic
cytoplasm red, chromatin red and green."""
BLUR, SMOOTH = 0.012, 0.02
"""The blur and the radius by which outlines are smoothed, as shares of the crop's side: wider than the grain
of chromatin, narrower than the bridge between two lobes."""
LOWEST, HIGHEST = 0.4, 0.72
"""Where the cut may lie between glass and the cell's densest dye: lower it is cytoplasm that is cut off,
higher it is chromatin."""
DENSEST = 95
LEAST_PART, LARGEST_HOLE = 0.03, 0.1
"""The least part of a nucleus, and the largest hole that belongs to it, as shares of the cell."""
GLASS = 70
"""The percentile of the pixels beside the cell that is glass: red cells are darker, bright rims are few."""
FEWEST = 50


def densities(crop: Image, cell_mask: Mask, blur: float = BLUR) -> Plane:
    """Return the optical densities of a crop against the glass beside its cell, so that the lamp cancels.

    Takes uint8 RGB (side, side, 3), a mask uint8 (side, side), 255 on the cell, and a blur as a share of the
    side, 0 for none. Gives float32 (side, side, 3), red, green, blue, as ``ln((glass + 1) / (value + 1))``.
    """
    seen = cv2.GaussianBlur(crop, (0, 0), blur * len(crop)) if blur else crop
    beside = seen[cell_mask < 64]
    glass = np.percentile(beside, GLASS, axis=0) if len(beside) >= FEWEST else np.full(3, 240.0)
    return np.log((glass + 1) / (seen.astype(np.float32) + 1)).astype(np.float32)


def nucleus_mask(crop: Image, cell_mask: Mask) -> Mask:
    """Return where the nucleus of a cell lies: uint8 (side, side), 255 on it, all 0 where there is no cell.

    Takes the crop, uint8 RGB (side, side, 3), and the cell's mask, uint8 (side, side), 255 on the cell.
    Nuclear dye within the cell is cut by Otsu's method (1979), its outline smoothed and holes filled.
    """
    cell = cell_mask > 127
    area = int(cell.sum())
    if area < FEWEST:
        return np.zeros(cell.shape, np.uint8)
    dye = np.asarray(densities(crop, cell_mask) @ np.array(NUCLEAR, np.float32), np.float32)
    dense = cell & (dye > _cut(dye[cell]))
    brush = ellipse(round(SMOOTH * len(crop)))
    rounded = cv2.morphologyEx(dense.astype(np.uint8), cv2.MORPH_OPEN, ellipse(round(SMOOTH * len(crop) / 2)))
    whole = cv2.morphologyEx(rounded, cv2.MORPH_CLOSE, brush).astype(np.bool_)
    kept = fill(clean(whole, LEAST_PART * area), LARGEST_HOLE * area) & cell
    return np.asarray(kept * np.uint8(255), np.uint8)


def _cut(dye: Plane) -> float:
    """Otsu's cut of the dye in a cell's pixels (n,), held between the shares of the densest."""
    top = float(np.percentile(dye, DENSEST))
    return float(np.clip(otsu(np.clip(dye, 0, top)), LOWEST * top, HIGHEST * top))
