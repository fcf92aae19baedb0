"""A patient over time, white and red cells: a page, and its part on the patient's page."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.permissions import PersonRequest, Verb, verb_required
from cases.selectors import patients_for

from . import red_trends
from . import trends as over_time


@verb_required(Verb.REPORT_VIEW)
@require_safe
@never_cache
def trends(request: PersonRequest, patient_id: UUID) -> HttpResponse:
    patient = get_object_or_404(patients_for(request.user), pk=patient_id)
    context = {
        "patient": patient,
        "trends": over_time.trends(request.user, patient),
        "red": red_trends.red_trends(request.user, patient),
        "most": over_time.MOST_CASES,
        "nav_section": "patients",
    }
    part = "HX-Request" in request.headers
    return render(request, "reports/partials/trends.html" if part else "reports/trends.html", context)
