"""The worker's door to reports."""

from celery import shared_task

from . import services


@shared_task
def render_report(report_id: str) -> None:
    """Needs a signed report; leaves it with its PDF stored. May run twice: the first PDF stays."""
    services.render(report_id)


@shared_task
def sweep_reports() -> None:
    """Renders signed reports whose PDF is missing, because the broker or a worker was gone."""
    services.sweep()
