"""The crops of a run side by side on sheets, so that a page of thousands asks for dozens of pictures.

A sheet is made in the web process when it is looked at and lies with the tiles of the viewer. The order of
the cells is that of the machine's calls, which never change: those seen together lie together. Cells in
review lie apart, by number, for their place would tell the call to who has not made theirs.
"""

import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from django.core.files.storage import default_storage
from django.db.models import Case, QuerySet, Value, When
from PIL import Image as Picture

from inference import tile_cache
from inference.models import AnalysisRun, Cell
from inference.pipeline.findings import Kind
from inference.tiles import AT_ONCE, QUALITY

logger = logging.getLogger(__name__)

GROUND = (255, 255, 255)
"""What a cell without a crop shows."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sheets of `across`×`across` crops, each `side` px wide."""

    side: int
    across: int

    @property
    def cells(self) -> int:
        return self.across * self.across


LAYOUTS = {Kind.WBC: Layout(224, 5), Kind.RBC: Layout(64, 12)}
"""The crops of a stream at the size at which its network sees them."""


def in_order(run: AnalysisRun, stream: Kind) -> QuerySet[Cell]:
    """The classified cells of a stream as they lie on its sheets."""
    named = run.cells.exclude(label="")
    own = named.filter(kind=Kind.RBC) if stream is Kind.RBC else named.exclude(kind=Kind.RBC)
    of_sure = Case(When(needs_review=False, then="label"), default=Value(""))
    how_sure = Case(When(needs_review=False, then="confidence"), default=Value(0.0))
    return own.order_by("needs_review", of_sure, how_sure, "number")


def sheet(run: AnalysisRun, stream: Kind, number: int) -> bytes | None:
    """A sheet as JPEG; None where the stream has fewer."""
    name = f"{run.pk.hex}/{stream.value}-{number}"
    if kept := tile_cache.fetch(name):
        return kept
    first = number * LAYOUTS[stream].cells
    crops = list(in_order(run, stream).values_list("crop", flat=True)[first : first + LAYOUTS[stream].cells])
    if not crops:
        return None
    made = _jpeg(crops, LAYOUTS[stream])
    tile_cache.keep(name, made)
    return made


def _jpeg(crops: Iterable[str], layout: Layout) -> bytes:
    with AT_ONCE:
        whole = Picture.new("RGB", (layout.across * layout.side,) * 2, GROUND)
        for place, name in enumerate(crops):
            if name and (crop := _crop(name, layout.side)):
                row, column = divmod(place, layout.across)
                whole.paste(crop, (column * layout.side, row * layout.side))
        buffer = io.BytesIO()
        # Colours at full resolution: granules are told by theirs.
        whole.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _crop(name: str, side: int) -> Picture.Image | None:
    """A crop at the size of the sheet; one that is lost leaves its place empty, the others are still seen."""
    try:
        with default_storage.open(name) as file:
            picture = Picture.open(file).convert("RGB")
    except OSError:
        logger.exception("The crop %s cannot be read.", name)
        return None
    return picture if picture.size == (side, side) else picture.resize((side, side))
