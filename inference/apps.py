"""The app's place in Django."""

from django.apps import AppConfig
from django.core.checks import register


class InferenceConfig(AppConfig):
    name = "inference"

    def ready(self) -> None:
        from accounts.context import NAV_COUNTS
        from accounts.permissions import Verb

        from . import checks, selectors

        register(checks.networks_are_whole, "inference")
        register(checks.segmentation_engine_is_known, "inference")
        register(checks.second_reader_is_whole, "inference")
        NAV_COUNTS["review"] = (Verb.REVIEW_VIEW, selectors.queue_count)
