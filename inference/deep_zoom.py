"""The picture of a smear tile by tile, made in the web process from the original when somebody looks there.

Images that can only be decoded whole are another matter where they are large: a worker writes a reading copy
of them once (`inference.tasks.copy_for_viewer`), and until it is there the preview stands for them.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from celery import current_app
from django.core.cache import cache
from django.core.files.storage import default_storage
from kombu.exceptions import OperationalError
from PIL import Image as Picture

from cases.local_files import local_path
from inference import pictures, tile_cache, tiles
from inference.models import AnalysisRun
from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Box, Image
from inference.pipeline.slide_files import is_read_in_parts, open_source
from inference.shelf import Opened, Shelf
from inference.tiles import Level, Source, Tile

logger = logging.getLogger(__name__)

DECODED_MAX_PIXELS = 16_000_000
"""What the web process decodes whole: 48 MB for each of the few images that are open."""

PHOTOGRAPHS = ("JPEG", "PNG", "BMP", "WEBP")
COPY_TASK = "inference.tasks.copy_for_viewer"
ASKED_AGAIN_SECONDS = 900
FACTS_SECONDS = 86_400

SHELF = Shelf()


@dataclass(frozen=True, slots=True)
class Part:
    """A level of another source, as one level of a layered one."""

    width: int
    height: int
    downsample: float
    source: Source
    number: int


@dataclass(frozen=True, slots=True)
class Layered:
    """An original whose preview is its coarsest level, so that the whole is seen without reading it."""

    levels: Sequence[Part]

    def read(self, level: int, box: Box) -> Image:
        part = self.levels[level]
        return part.source.read(part.number, box)


@dataclass(eq=False)
class Preview:
    """The preview of a smear, decoded when it is first read from."""

    smear: Any
    size: tuple[int, int]

    @property
    def levels(self) -> Sequence[Part]:
        return (Part(*self.size, self.smear.width / self.size[0], self, 0),)

    def read(self, level: int, box: Box) -> Image:
        x0, y0, x1, y1 = box
        return self._pixels[y0:y1, x0:x1]

    @cached_property
    def _pixels(self) -> Image:
        with self.smear.preview.open() as file:
            return np.ascontiguousarray(pictures.pixels(file))


@dataclass(frozen=True, slots=True)
class Made:
    """A tile as a JPEG; `final` is False for what stands in for it until the reading copy is there."""

    jpeg: bytes
    final: bool = True


def tile(run: AnalysisRun, wanted: Tile) -> Made | None:
    """A tile of the picture of a run; None outside it. Raises PipelineError where the file is damaged."""
    smear = run.smear
    placed = tiles.place(wanted, smear.width, smear.height)
    if placed is None:
        return None
    name = f"{smear.sha256}/{wanted.level}_{wanted.column}_{wanted.row}"
    if kept := tile_cache.fetch(name):
        return Made(kept)
    which = _readable(smear)
    if not which:
        ask_for_copy(run)
        return Made(tiles.jpeg(_taken(smear, "preview").source, *placed), final=False)
    made = tiles.jpeg(_taken(smear, which).source, *placed)
    tile_cache.keep(name, made)
    return Made(made)


def warm(run: AnalysisRun) -> None:
    """Open the image of a run in the background, while the browser still loads the viewer's page."""
    threading.Thread(target=_warmed, args=(run.smear,), daemon=True).start()


def _warmed(smear: Any) -> None:
    try:
        if which := _readable(smear):
            _taken(smear, which)
    except (PipelineError, OSError):
        # The first tile comes upon the same, and its answer says so.
        logger.warning(
            "The image of smear %s could not be opened ahead of its tiles.", smear.pk, exc_info=True
        )


def is_ready(smear: Any) -> bool:
    """Whether the picture can be seen at its full resolution."""
    return bool(_readable(smear))


def _readable(smear: Any) -> str:
    """Which file has the picture at its full resolution; empty until the reading copy is there."""
    if not needs_copy(smear):
        return "original"
    return "copy" if _exists(copy_name(smear)) else ""


def _exists(name: str) -> bool:
    """A reading copy that is there stays there, so storage is asked only until then."""
    key = f"viewer:copy:{name}"
    if cache.get(key):
        return True
    there = default_storage.exists(name)
    if there:
        cache.set(key, True, FACTS_SECONDS)
    return there


def needs_copy(smear: Any) -> bool:
    """Whether an image is too large to be decoded here and cannot be read in parts."""
    if smear.width * smear.height <= DECODED_MAX_PIXELS:
        return False
    if smear.format in PHOTOGRAPHS:
        return True
    key = f"viewer:whole:{smear.sha256}"
    known = cache.get(key)
    if known is None:
        with local_path(smear.original, smear.suffix) as path:
            known = not is_read_in_parts(path)
        cache.set(key, known, FACTS_SECONDS)
    return bool(known)


def copy_name(smear: Any) -> str:
    """Where the reading copy of a smear lies in the storage."""
    return f"copies/{smear.case_id}/{smear.sha256}.tif"


def ask_for_copy(run: AnalysisRun) -> None:
    """Have a worker write the reading copy, unless one was asked a moment ago."""
    if not cache.add(f"viewer:asked:{run.smear.sha256}", True, ASKED_AGAIN_SECONDS):
        return
    try:
        current_app.send_task(COPY_TASK, args=[str(run.pk)])
    except OperationalError:
        cache.delete(f"viewer:asked:{run.smear.sha256}")
        logger.warning("No broker took the request for a reading copy of smear %s.", run.smear_id)


def _taken(smear: Any, which: str) -> Opened:
    openers = {"original": _original, "copy": _copy, "preview": _preview}
    return SHELF.take(f"{which}:{smear.sha256}", lambda: openers[which](smear))


def _original(smear: Any) -> Opened:
    with ExitStack() as on_failure:
        path = on_failure.enter_context(local_path(smear.original, smear.suffix))
        return Opened(_layered(_opened(path, on_failure), smear), on_failure.pop_all())


def _copy(smear: Any) -> Opened:
    with ExitStack() as on_failure:
        with default_storage.open(copy_name(smear)) as file:
            path = on_failure.enter_context(local_path(file, ".tif"))
        return Opened(_opened(path, on_failure), on_failure.pop_all())


def _opened(path: Path, holds: ExitStack) -> Source:
    source = open_source(path)
    holds.callback(source.close)
    return source


def _layered(source: Source, smear: Any) -> Source:
    """The source itself where its coarsest level is as small as the preview."""
    parts = [_part(source, number, level) for number, level in enumerate(source.levels)]
    if smear.width * smear.height <= DECODED_MAX_PIXELS:
        return source
    preview = _preview_of(smear).levels[0]
    if preview.downsample < 2 * parts[-1].downsample:
        return source
    return Layered([*parts, preview])


def _part(source: Source, number: int, level: Level) -> Part:
    return Part(level.width, level.height, level.downsample, source, number)


def _preview(smear: Any) -> Opened:
    return Opened(_preview_of(smear), ExitStack())


def _preview_of(smear: Any) -> Preview:
    with smear.preview.open() as file, Picture.open(file) as picture:
        return Preview(smear, picture.size)
