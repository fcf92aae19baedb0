"""System checks: every network of the product has its card, and the weights the card describes."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core import checks

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry

REQUIRED = (registry.WBC_NETWORK, registry.SEGMENTATION_NETWORK)


def networks_are_whole(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Compare the weight file of every model card with its sha256; torch is not needed for it."""
    with_network = [engine for engine in SegmentationEngine if engine is not SegmentationEngine.WATERSHED]
    chosen = [engine for engine in with_network if engine == settings.SEGMENTATION_ENGINE]
    needed = map(registry.segmentation_network, chosen)
    return list(_problems(sorted({*REQUIRED, *needed, *registry.names()})))


def segmentation_engine_is_known(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """The engine of the settings is one of the product's."""
    if settings.SEGMENTATION_ENGINE in [*SegmentationEngine]:
        return []
    return [
        checks.Error(
            f"SEGMENTATION_ENGINE is {settings.SEGMENTATION_ENGINE!r}; the engines are"
            f" {', '.join(SegmentationEngine)}.",
            id="inference.E002",
        )
    ]


def _problems(names: Iterable[str]) -> Iterable[checks.CheckMessage]:
    for name in names:
        try:
            registry.verified_weights(registry.card(name))
        except NetworkUnavailable as error:
            yield checks.Error(
                error.text,
                hint="Restore inference/weights from the release; without it no smear can be analysed.",
                id="inference.E001",
            )
