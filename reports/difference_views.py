"""The page on which two versions of a report are compared."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.permissions import PersonRequest, Verb, verb_required
from cases.selectors import cases_for

from . import selectors, versions


@verb_required(Verb.REPORT_VIEW)
@require_safe
@never_cache
def changes(request: PersonRequest, case_id: UUID, before: int, after: int) -> HttpResponse:
    """What changed from version `before` to version `after`."""
    case = get_object_or_404(cases_for(request.user), pk=case_id)
    context = {
        "case": case,
        "compared": versions.compared(request.user, case_id, before, after),
        "versions": selectors.versions(request.user, case_id),
        "nav_section": "worklist",
    }
    return render(request, "reports/changes.html", context)
