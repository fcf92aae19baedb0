"""System checks: every network of the product has its card, and the weights the card describes."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry
from inference.second_reader.choices import in_house

REQUIRED = (registry.WBC_NETWORK, registry.SEGMENTATION_NETWORK)


def networks_are_whole(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Compare the weight file of every model card with its sha256; torch is not needed for it."""
    with_network = [engine for engine in SegmentationEngine if engine is not SegmentationEngine.WATERSHED]
    chosen = [engine for engine in with_network if engine == settings.SEGMENTATION_ENGINE]
    needed = map(registry.segmentation_network, chosen)
    return list(_problems(sorted({*REQUIRED, *needed, *registry.names()})))


def staging_network_is_whole(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """The staging network that the settings name has its card, and the weights the card describes."""
    if not settings.STAGING_NETWORK:
        return []
    try:
        folder = registry.staging_folder(settings.STAGING_NETWORK)
        registry.verified_weights(registry.card(registry.STAGING_NETWORK, folder))
    except NetworkUnavailable as error:
        return [
            checks.Error(
                f"STAGING_NETWORK is {settings.STAGING_NETWORK!r}. {error.text}",
                hint="It names a folder with staging.json and staging.safetensors, below inference/weights or"
                " by its absolute path; empty, it means inference/weights itself.",
                id="inference.E007",
            )
        ]
    return []


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


def second_reader_is_whole(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """The second reader is off, or everything it needs is there and its addresses can be used."""
    return [*_half_set_reader(), *_reader_addresses(), *_reader_keys(), *_reader_limits()]


def _half_set_reader() -> Iterable[checks.CheckMessage]:
    """A variable that does nothing without another one."""
    needs = {
        "SECOND_READER_URL": "SECOND_READER_MODEL",
        "SECOND_READER_MODEL": "SECOND_READER_URL",
        "SECOND_READER_KEY": "SECOND_READER_URL",
        "SECOND_READER_GEMINI_KEY": "SECOND_READER_GEMINI_MODEL",
        "SECOND_READER_GEMINI_MODEL": "SECOND_READER_GEMINI_KEY",
    }
    for name, other in needs.items():
        if getattr(settings, name) and not getattr(settings, other):
            text = f"{name} is set and {other} is not; set both, or none for no second reader."
            yield checks.Error(text, id="inference.E003")


def _reader_addresses() -> Iterable[checks.CheckMessage]:
    for name in ("SECOND_READER_URL", "SECOND_READER_GEMINI_URL"):
        if not (url := getattr(settings, name)):
            continue
        if not _is_base_address(url):
            # The address itself is not repeated: it may hold a password.
            text = f"{name} has to be http://host or https://host, with a path at most: no user, no query."
            yield checks.Error(text, id="inference.E004")
        elif url.startswith("http://") and not in_house(url):
            text = f"{name} sends pictures of cells and the key over the network unencrypted."
            yield checks.Warning(text, hint="Use https:// for hosts outside.", id="inference.W001")


def _is_base_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        rest = parts.username or parts.password or parts.query or parts.fragment or parts.port == 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not rest


def _reader_keys() -> Iterable[checks.CheckMessage]:
    for name in ("SECOND_READER_KEY", "SECOND_READER_GEMINI_KEY"):
        key = getattr(settings, name)
        if not (key.isascii() and key.isprintable()):
            text = f"{name} holds characters that no HTTP header can carry; a key is one line of ASCII."
            yield checks.Error(text, id="inference.E005")


def _reader_limits() -> Iterable[checks.CheckMessage]:
    least = {"TIMEOUT": 1, "RETRIES": 0, "CELLS": 1, "SECONDS": 1, "AT_ONCE": 1}
    for name, limit in least.items():
        if (value := getattr(settings, f"SECOND_READER_{name}")) < limit:
            text = f"SECOND_READER_{name} is {value}; it has to be at least {limit}."
            yield checks.Error(text, id="inference.E006")


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
