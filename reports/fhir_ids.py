"""Who is who in a Bundle: the same part of the same case is the same resource in every version."""

from uuid import UUID, uuid5

from .codes import System
from .content import ReportContent


def status(content: ReportContent) -> str:
    if content.signature is None:
        return "preliminary"
    return "corrected" if content.amends else "final"


def fhir_id(content: ReportContent, *names: str) -> str:
    """The same part of the same case has the same id in every version, and on every export."""
    return str(uuid5(UUID(content.order.id), "/".join(names)))


def network_keys(content: ReportContent) -> list[tuple[str, str, str]]:
    return [(network.name, network.version, network.sha256) for network in content.networks]


def network_id(name: str, version: str, sha256: str) -> str:
    return str(uuid5(UUID(System.LOCAL.removeprefix("urn:uuid:")), f"{name}/{version}/{sha256}"))


def software_id(content: ReportContent) -> str:
    parts = [content.software, content.software_version, *map("/".join, network_keys(content))]
    return str(uuid5(UUID(content.lab.id), "|".join(parts)))


def lab_system(content: ReportContent, what: str) -> str:
    return f"urn:uuid:{uuid5(UUID(content.lab.id), what)}"
