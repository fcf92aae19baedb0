"""The app's place in Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from . import context, events, selectors  # noqa: F401
        from .permissions import Verb

        context.NAV_COUNTS["people"] = (Verb.LAB_PEOPLE, selectors.pending_count)
        context.NAV_COUNTS["unread"] = (Verb.NOTIFICATION_VIEW, selectors.unread_count)
