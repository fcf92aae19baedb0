"""What a laboratory asks for before a slide is signed off, and the table of its critical findings."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class CriticalFinding:
    """A finding of which somebody has to be told at once: any cell of `cell_class`; with `first_only` only
    where no earlier signed report of the patient has one; with `from_grade` only from that grade of red cells
    on, by the laboratory's own table."""

    name: Promise
    cell_class: str
    first_only: bool = False
    from_grade: int = 0


CRITICAL_FINDINGS: Mapping[str, CriticalFinding] = {
    "first_blasts": CriticalFinding(_("First blasts"), "blast", first_only=True),
    "parasites": CriticalFinding(_("Malaria parasites in red cells"), "malaria_infected"),
    "schistocytes": CriticalFinding(_("Schistocytes above the limit"), "schistocyte", from_grade=2),
}
"""Another line here is another finding: gate, settings, report and API read this table."""


@dataclass(frozen=True, slots=True)
class SignOffLimits:
    """A laboratory's limits: the share of a field in % that may stay unviewed without a word; the least
    leukocytes and red cells that answer for themselves, and the least red cells beside which platelets do
    (Fonio's count is per 1,000 red cells); the findings of the table that are not called here."""

    unseen_percent: float = 20.0
    least_wbc: int = 100
    least_rbc: int = 100
    least_rbc_for_platelets: int = 1000
    not_critical: tuple[str, ...] = ()

    @property
    def critical(self) -> dict[str, CriticalFinding]:
        """The findings that are called."""
        return {key: one for key, one in CRITICAL_FINDINGS.items() if key not in self.not_critical}
