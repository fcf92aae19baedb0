"""Slides in the formats of the scanners' makers and DICOM whole-slide images, read by OpenSlide."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import openslide

from inference.pipeline.errors import UnreadableImage
from inference.pipeline.findings import Box, Image, Notice
from inference.pipeline.slide_colour import Colours, Model, Stored
from inference.pipeline.slide_source import Level, check_extent, damaged, scale_of

GENERIC = "generic-tiff"
IN_PARTS = {".mrxs": "MIRAX", ".vms": "VMS", ".vmu": "VMU"}
CACHE_BYTES = 64 * 1024 * 1024
"""Decoded tiles that OpenSlide keeps, because neighbouring regions share them."""


@dataclass(frozen=True, slots=True)
class OpenSlideSource:
    """A slide that OpenSlide reads; what the scanner left out is transparent and becomes white."""

    kind: str
    levels: tuple[Level, ...]
    pixel_um: float | None
    notices: tuple[Notice, ...]
    slide: openslide.OpenSlide
    colours: Colours

    @classmethod
    def of(cls, kind: str, slide: openslide.OpenSlide) -> Self:
        """A source of an opened slide."""
        slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        sizes = zip(slide.level_dimensions, slide.level_downsamples, strict=True)
        levels = tuple(Level(*size, downsample) for size, downsample in sizes)
        profile = slide.color_profile
        colours = Colours(Stored(Model.RGB, 8, profile.tobytes() if profile else None))
        pixel_um, notices = scale_of(*_resolution(slide))
        return cls(kind, levels, pixel_um, (*colours.notices, *notices), slide, colours)

    def read(self, level: int, box: Box) -> Image:
        x0, y0, x1, y1 = box
        downsample = self.levels[level].downsample
        corner = (round(x0 * downsample), round(y0 * downsample))
        try:
            region = self.slide.read_region(corner, level, (x1 - x0, y1 - y0))
        except openslide.OpenSlideError as error:
            raise damaged() from error
        return self.colours(np.asarray(region))

    def close(self) -> None:
        self.slide.close()


def format_of(path: Path) -> str | None:
    """The maker's format, as OpenSlide names it; None for plain images and TIFF that no maker signed.

    Raises UnreadableImage for the first file of a slide in several files when the others are not there.
    """
    kind = openslide.OpenSlide.detect_format(path)
    if kind is None and (name := IN_PARTS.get(path.suffix.lower())):
        text = f"A {name} slide lies in several files, and not all of them are here. Export it as one file,"
        raise UnreadableImage(text + " such as DICOM or a tiled TIFF.", code="parts_missing")
    return None if kind == GENERIC else kind


def open_maker(path: Path, kind: str) -> OpenSlideSource:
    """Open a slide whose format OpenSlide has recognised."""
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise damaged() from error
    width, height = slide.dimensions
    check_extent(width, height)
    source = OpenSlideSource.of(kind, slide)
    # What was cut off is missing at the end, where most formats keep this corner.
    source.read(0, (width - 1, height - 1, width, height))
    return source


def _resolution(slide: openslide.OpenSlide) -> tuple[float, float]:
    """Micrometres per pixel along x and y; 0 where the slide does not say."""
    names = (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
    x_um, y_um = (float(slide.properties.get(name, 0)) for name in names)
    return x_um, y_um
