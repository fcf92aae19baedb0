"""Arrays of the pipeline as the PNG files that pages and reports show."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

INFERNO = np.array(
    [
        (0x00, 0x00, 0x04),
        (0x1F, 0x0C, 0x48),
        (0x55, 0x0F, 0x6D),
        (0x88, 0x22, 0x6A),
        (0xBA, 0x36, 0x55),
        (0xE3, 0x59, 0x33),
        (0xF9, 0x8C, 0x0A),
        (0xF9, 0xC9, 0x32),
        (0xFC, 0xFF, 0xA4),
    ],
    np.float32,
)
"""Nine equal steps of the perceptually uniform colour map "inferno" (Smith and van der Walt, CC0)."""

MAX_ALPHA = 215
PNG_LEVEL = 2
"""Three times as fast as the usual 6, for files an eighth larger."""


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode a uint8 (height, width, 3 or 4) RGB or RGBA image."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def heatmap_png(heatmap: NDArray[np.float32]) -> bytes:
    """Encode a float32 (height, width) map in 0–1 as an RGBA overlay: cold is transparent, hot opaque."""
    return png(_coloured(heatmap))


def heated_png(crop: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> bytes:
    """Encode a uint8 (side, side, 3) RGB crop with its float32 (side, side) map in 0–1 laid over it."""
    heat = Image.fromarray(_coloured(heatmap))
    under = Image.fromarray(crop).convert("RGBA")
    return png(np.asarray(Image.alpha_composite(under, heat.resize(under.size)).convert("RGB")))


def _coloured(heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    heat = np.clip(heatmap, 0.0, 1.0)
    steps = np.linspace(0.0, 1.0, len(INFERNO))
    channels = [np.interp(heat, steps, INFERNO[:, channel]) for channel in range(3)]
    return np.dstack([*channels, np.sqrt(heat) * MAX_ALPHA]).round().astype(np.uint8)


def pixels(file: Any) -> NDArray[np.uint8]:
    """Decode an image file to uint8 (height, width, 3) RGB."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
