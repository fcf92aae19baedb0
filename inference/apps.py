"""The app's place in Django."""

from django.apps import AppConfig
from django.core.checks import register


class InferenceConfig(AppConfig):
    name = "inference"

    def ready(self) -> None:
        from accounts.context import NAV_COUNTS
        from accounts.permissions import Verb
        from accounts.services import LIMITS_CHANGED, REVIEW_CHANGED
        from cases.standings import SOURCES

        from . import case_states, checks, double_reading, review_queue, what_matters

        register(checks.networks_are_whole, "inference")
        register(checks.staging_network_is_whole, "inference")
        register(checks.segmentation_engine_is_known, "inference")
        register(checks.second_reader_is_whole, "inference")
        SOURCES["analyses"] = case_states.facts
        NAV_COUNTS["review"] = (Verb.REVIEW_VIEW, review_queue.queue_count)
        LIMITS_CHANGED.append(what_matters.look_again)
        REVIEW_CHANGED.append(double_reading.follow_settings)
