"""The worker's door to uploads."""

from celery import shared_task

from . import resumable


@shared_task
def sweep_uploads() -> None:
    """Needs nothing; leaves no expired upload, and no bytes of one that has ended."""
    resumable.sweep()
