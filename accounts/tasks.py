"""The worker's door to notifications."""

from celery import shared_task

from . import notifications


@shared_task
def mail_notifications(keys: list[str]) -> None:
    """Needs notifications whose mail is due; leaves it sent, put off or given up. May run twice: one mail."""
    notifications.deliver_all(keys)


@shared_task
def sweep_mail() -> None:
    """Mails what is due because the broker, a worker or the mail server was gone."""
    notifications.sweep()
