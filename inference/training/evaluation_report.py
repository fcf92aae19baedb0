"""Writes an evaluation as one HTML page that a laboratory can keep, with its pictures beside it as PNG."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from PIL import Image as PillowImage

from inference.pipeline.findings import Image
from inference.training.evaluate_wbc import Measured
from inference.training.evaluation_plots import Mistake, plots, words
from inference.training.evaluation_words import caveats

TEMPLATE = "evaluation_report.html"
MISTAKES_SHOWN = 64
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class About:
    """How an evaluation was made: the folder, the command, when, and what was asked for beside."""

    folder: Path
    command: str
    made: datetime
    perturbation: str | None = None
    declared: Sequence[str] = ()

    @property
    def date(self) -> str:
        """Date, time and zone."""
        return f"{self.made:%Y-%m-%d %H:%M %Z} (UTC{self.made.isoformat()[-6:]})"


def write_report(target: Path, measured: Measured, figures: Mapping[str, Any], about: About) -> Path:
    """Write ``index.html``, which needs no other file, and the PNGs; return where the page lies.

    `figures` are those of `evaluation_figures.detailed`, with the `overlap` where one was asked for.
    """
    target.mkdir(parents=True, exist_ok=True)
    mistakes = surest_mistakes(measured, about.folder)
    pictures = plots(figures, mistakes[:MISTAKES_SHOWN])
    for name, png in pictures.items():
        (target / f"{name}.png").write_bytes(png)
    page = target / "index.html"
    page.write_text(_html(figures, about, mistakes, pictures), encoding="utf-8")
    return page


def surest_mistakes(measured: Measured, folder: Path) -> list[Mistake]:
    """Return the misclassified cells, the surest first."""
    found = [
        Mistake(
            crop,
            measured.samples[place].path.relative_to(folder).as_posix(),
            measured.samples[place].label,
            measured.calls[place].label,
            measured.calls[place].confidence,
            not measured.found[place],
        )
        for place, crop in measured.crops.items()
    ]
    return sorted(found, key=lambda mistake: -mistake.confidence)


def _html(
    figures: Mapping[str, Any], about: About, mistakes: Sequence[Mistake], pictures: Mapping[str, bytes]
) -> str:
    return str(
        _template().render(
            figures=figures,
            about=about,
            mistakes=[
                (mistake, _data_uri(_jpeg(mistake.crop), "jpeg")) for mistake in mistakes[:MISTAKES_SHOWN]
            ],
            mistakes_total=len(mistakes),
            pictures={name: _data_uri(png, "png") for name, png in pictures.items()},
            caveats=caveats(figures, about.perturbation, about.declared),
        )
    )


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=interval, area=area, words=words)
    return environment.get_template(TEMPLATE)


def percent(share: float | None) -> str:
    """Return a share as it is read: in %, with one decimal."""
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(ends: Sequence[float] | None) -> str:
    """Return an interval of shares in %."""
    return "–" if ends is None else f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"


def area(ends: Sequence[float] | None) -> str:
    """Return an interval of areas, which are no percentages."""
    return "–" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def _jpeg(crop: Image) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(crop).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
