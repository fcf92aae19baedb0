"""Where the second reader is reached, and how much of it a run may use."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

IN_HOUSE_SUFFIXES = (".local", ".internal", ".home.arpa", ".localhost")


class Speaks(StrEnum):
    """The protocol of an endpoint, by which a reading names its provider."""

    OPENAI = "openai_compatible"
    GEMINI = "gemini"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One language model. The key may be empty, as local servers ask for none; it is never shown."""

    speaks: Speaks
    url: str
    model: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Choices:
    """The endpoints in the order in which they are asked, and the limits.

    `timeout` is in seconds and for one request, `retries` are further requests after passing failures;
    `cells` and `seconds` are what one run may spend in all; `at_once` cells are read at the same time.
    """

    endpoints: tuple[Endpoint, ...]
    timeout: float = 20.0
    retries: int = 1
    cells: int = 20
    seconds: float = 60.0
    at_once: int = 1


def in_house(url: str) -> bool:
    """Whether an address names this machine or one of a private network, as far as the name tells."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(IN_HOUSE_SUFFIXES)
