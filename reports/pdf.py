"""The report on paper: A4, tagged, written by WeasyPrint from the frozen content alone."""

from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from weasyprint import CSS, HTML
from weasyprint.urls import URLFetcher

from .chart import chart
from .codes import figures
from .content import ReportContent, Superseded, digest

STYLES = ("report.css", "report_print.css")


def write(content: ReportContent, superseded: Superseded | None = None) -> bytes:
    """The PDF; the same content gives the same pages."""
    html = render_to_string("reports/print.html", context(content, superseded))
    document = HTML(string=html, base_url=None, url_fetcher=_embedded_only())
    pages: bytes = document.write_pdf(
        stylesheets=[CSS(string=style) for style in _styles()],
        pdf_variant="pdf/ua-1",
        pdf_identifier=digest(content).encode(),
    )
    return pages


def context(content: ReportContent, superseded: Superseded | None = None) -> dict[str, Any]:
    """What the document's template shows, on paper and on the page alike."""
    return {
        "content": content,
        "chart": chart(content.lines),
        "figures": {figure.key: figure.value for figure in figures(content)},
        "superseded": superseded,
        "digest": digest(content),
    }


def _embedded_only() -> URLFetcher:
    """Pictures come inside the content: nothing is ever read from a disk or a network for a report."""
    return URLFetcher(allowed_protocols=["data"], fail_on_errors=True)


@cache
def _styles() -> list[str]:
    return [Path(settings.BASE_DIR, "static", "wbc", name).read_text() for name in STYLES]
