"""What all findings are made of: a notice in words, and a share with its interval."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a notice asks for: nothing, a second look, or another image."""

    INFO = "info"
    WARN = "warn"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Notice:
    """One observation about the image or the analysis, worded for the user."""

    code: str
    text: str
    severity: Severity = Severity.WARN


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total` as a percentage with its exact (Clopper–Pearson) 95 % interval, all in %."""

    count: int
    percent: float
    low: float
    high: float
