"""Pages of what people do by hand: the tally at the microscope, and the answer to an alarm of identity."""

from uuid import UUID, uuid4

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required
from accounts.types import User
from cases.selectors import smears_for
from inference import by_hand, identity_review, names, selectors
from inference.forms import TallyForm
from inference.models import ManualCount
from inference.pages import Choice
from inference.review import ReviewConflict


@verb_required(Verb.SMEAR_COUNT)
@require_http_methods(["GET", "HEAD", "POST"])
def tally(request: PersonRequest, smear_id: UUID) -> HttpResponse:
    """The keyboard for a count at the microscope, which needs no analysis; one refused comes back as sent."""
    smear = get_object_or_404(smears_for(request.user).select_related("case__patient"), pk=smear_id)
    problem, form = "", TallyForm(initial=TallyForm.empty())
    if request.method == "POST":
        form = TallyForm(request.POST)
        try:
            if form.is_valid():
                by_hand.save(request.user, smear, form.tally)
                messages.success(request, _("Your count is kept beside the machine's."))
                return _to_smear(request.user, smear_id)
            problem = _("This is not a count of the classes that are counted by hand.")
        except by_hand.CountConflict as conflict:
            problem = conflict.text
    rows = [(Choice(key, names.class_name(key), names.CLASS_KEYS[key]), form[key]) for key in by_hand.COUNTED]
    context = {
        "smear": smear,
        "case": smear.case,
        "form": form,
        "rows": rows,
        "targets": ManualCount.Target.choices,
        "count_id": uuid4(),
        "counts": by_hand.counted_by_hand(smear, {}),
        "problem": problem,
        "nav_section": "worklist",
    }
    return render(request, "inference/tally.html", context, status=422 if problem else 200)


def _to_smear(user: User, smear_id: UUID) -> HttpResponseRedirect:
    """The smear's latest analysis, where its counts stand."""
    run = selectors.runs_for(user).filter(smear=smear_id).order_by("-queued_at").first()
    page = reverse("inference:run", args=[run.pk]) if run else reverse("inference:tally", args=[smear_id])
    return redirect(f"{page}#by-hand")


@verb_required(Verb.SMEAR_COUNT)
@require_POST
def withdraw(request: PersonRequest, count_id: UUID) -> HttpResponse:
    row = by_hand.count_for(request.user, count_id)
    try:
        by_hand.withdraw(request.user, row)
        messages.info(request, _("Your count is withdrawn; its row stays."))
    except by_hand.CountConflict as conflict:
        messages.warning(request, conflict.text)
    return _to_smear(request.user, row.smear_id)


@verb_required(Verb.SLIDE_SIGN_OFF)
@require_POST
def check_identity(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """A person's word on whose blood it is, without which an implausible change is not signed off."""
    run = selectors.run_for(request.user, run_id)
    try:
        identity_review.acknowledge(request.user, run, request.POST.get("comment", ""))
    except ReviewConflict as conflict:
        messages.warning(request, conflict.text)
    return redirect(f"{reverse('inference:review-slide', args=[run_id])}#identity")
