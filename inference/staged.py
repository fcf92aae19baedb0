"""Where the staging of a smear stands, what was found and what a person made of it, for pages and reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from inference import names, stage_records
from inference.models import AnalysisRun, StageCall, StageReview
from inference.pipeline.findings import FieldState, NetworkUsed, Notice, StagedField, Staging, StagingStatus
from inference.pipeline.payload import staging_part

Status = StageCall.Status


@dataclass(frozen=True, slots=True)
class StageShare:
    """One stage with its probability and the 95 % interval over fields, 0–1."""

    key: str
    name: str
    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class StagedSmear:
    """The staging of one run: whether it was requested, the machine's word and a person's beside it."""

    requested: bool
    row: StageCall | None
    review: StageReview | None

    @cached_property
    def found(self) -> Staging | None:
        """The machine's word, once there is one and as long as it is wanted."""
        done = self.requested and self.row and self.row.status == Status.DONE
        return stage_records.staging(self.row) if done and self.row else None

    @property
    def status(self) -> StagingStatus:
        if not self.requested:
            return StagingStatus.NOT_REQUESTED
        if self.found:
            return self.found.status
        failed = self.row is not None and self.row.status == Status.FAILED
        return StagingStatus.FAILED if failed else StagingStatus.WAITING

    @property
    def is_waiting(self) -> bool:
        return self.status is StagingStatus.WAITING

    @property
    def label(self) -> str:
        """What counts: a person's word, or else the machine's; empty where neither has a stage."""
        if self.found is None:
            return ""
        return self.review.label if self.review else self.found.label or ""

    @property
    def machine_label(self) -> str:
        """What the network says, that the smear is not stageable included; empty where it abstained."""
        if self.status is StagingStatus.NOT_STAGEABLE:
            return names.NOT_STAGEABLE
        return (self.found.label if self.found else None) or ""

    @property
    def is_open(self) -> bool:
        return self.found is not None and self.found.needs_review and self.review is None

    @property
    def is_corrected(self) -> bool:
        said = self.machine_label
        return self.review is not None and bool(said) and self.review.label != said

    @property
    def reasons(self) -> list[str]:
        """Why a person must look, in words."""
        return [names.staging_reason_name(reason) for reason in self.found.reasons] if self.found else []

    @property
    def shares(self) -> list[StageShare]:
        """The probabilities in the order of the taxonomy; none where no field was staged."""
        found = self.found
        return [
            StageShare(key, names.leukemia_name(key), found.probabilities[key], *found.intervals_95[key])
            for key in names.LEUKEMIA_NAMES
            if found and key in found.probabilities
        ]

    @property
    def used(self) -> int:
        """How many fields were staged."""
        return self.found.count(FieldState.STAGED) if self.found else 0

    @property
    def disagreeing(self) -> int:
        """In how many fields the blasts do not fit the stage."""
        return sum(bool(field.disagrees) for field in self.fields)

    @property
    def left_out(self) -> list[tuple[str, int]]:
        """Why fields were left out, in words, and how many."""
        states = [state for state in FieldState if state is not FieldState.STAGED]
        counted = [(state, self.found.count(state)) for state in states] if self.found else []
        return [(names.field_state_name(state), count) for state, count in counted if count]

    @property
    def fields(self) -> tuple[StagedField, ...]:
        return self.found.fields if self.found else ()

    @property
    def networks(self) -> tuple[NetworkUsed, ...]:
        """The network that staged, if one did."""
        return (self.found.network,) if self.found else ()

    @property
    def notices(self) -> tuple[Notice, ...]:
        return self.found.notices if self.found else ()

    @property
    def blocks_sign_off(self) -> str:
        """Why the slide cannot be signed off; empty when the staging does not stand in the way."""
        if self.is_waiting:
            return _("The staging of this slide is not finished.")
        if self.status is StagingStatus.FAILED:
            return _("The staging of this slide failed: repeat it, or have the request withdrawn.")
        return _("The staging of this slide needs a person's answer.") if self.is_open else ""

    def part(self) -> dict[str, Any]:
        """The `staging` of the payload: the machine's word, and a person's beside it."""
        part = staging_part(self.found)
        if self.requested and self.found is None:
            part["status"] = self.status.value
        if self.row and self.status is StagingStatus.FAILED:
            part["error"] = {"code": self.row.error_code, "message": self.row.error_message}
        if self.review and self.found:
            part |= {"reviewed_label": self.review.label, "requires_manual_review": False}
        return part


def answers_to(run: AnalysisRun) -> QuerySet[StageReview]:
    """What people said of the stage of a smear, the latest first, what was taken back included."""
    said = StageReview.objects.filter(stage_call__run=run).select_related("stage_call", "reviewer")
    return said.order_by("-decided_at", "-pk")


def staged(run: AnalysisRun) -> StagedSmear:
    """The staging of a run as it stands now."""
    return stagings([run])[run]


def stagings(runs: Iterable[AnalysisRun]) -> dict[AnalysisRun, StagedSmear]:
    """The stagings of some runs."""
    which = list(runs)
    asked = [run for run in which if run.smear.case.staging_requested]
    calls = {call.run_id: call for call in StageCall.objects.filter(run__in=asked)}
    standing = StageReview.objects.filter(stage_call__in=calls.values(), undone_at=None)
    reviews = {review.stage_call_id: review for review in standing.select_related("reviewer")}
    return {run: _staged(run, calls, reviews) for run in which}


def _staged(run: AnalysisRun, calls: dict[Any, StageCall], reviews: dict[int, StageReview]) -> StagedSmear:
    call = calls.get(run.pk)
    return StagedSmear(run.smear.case.staging_requested, call, reviews.get(call.pk) if call else None)
