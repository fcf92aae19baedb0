"""Cases in any state."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from cases import services
from cases.models import Case


@pytest.fixture
def make_case(clinician, patient):
    def make(accession, status="review", priority="routine", hours=1, actor=clinician, **more):
        made = services.create_case(
            actor,
            more.pop("patient", patient),
            accession=accession,
            priority=priority,
            collected_at=more.pop("collected_at", datetime(2026, 11, 1, 8, tzinfo=UTC)),
            **more,
        )
        opened = timezone.now() - timedelta(hours=hours)
        Case.objects.filter(pk=made.pk).update(status=status, created_at=opened)
        return made

    return make
