"""The app's place in Django."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "reports"

    def ready(self) -> None:
        from cases.standings import SOURCES
        from inference.critical import KNOWN_BEFORE

        from . import case_states, selectors

        SOURCES["reports"] = case_states.facts
        KNOWN_BEFORE["reports"] = selectors.known_before
