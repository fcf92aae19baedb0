"""System checks: every network of the product has its card, and the weights the card describes."""

from collections.abc import Iterable
from typing import Any

from django.core import checks

from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry

REQUIRED = (registry.WBC_NETWORK, registry.SEGMENTATION_NETWORK)


def networks_are_whole(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Compare the weight file of every model card with its sha256; torch is not needed for it."""
    return list(_problems(sorted({*REQUIRED, *registry.names()})))


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
