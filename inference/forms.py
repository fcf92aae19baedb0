"""What people send about a cell or a slide."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from inference import by_hand, names, rehearsals, sign_off
from inference.candidates import MAX_REASON
from inference.models import CellSkip, CriticalCall, GateAnswer, ManualCount
from inference.review import MAX_COMMENT


class DecisionForm(forms.Form):
    """The class a person gives to a cell, and why."""

    label = forms.ChoiceField(label=_("Class"), choices=list(names.CLASS_NAMES.items()))
    comment = forms.CharField(label=_("Comment"), max_length=MAX_COMMENT, required=False)


class SkipForm(forms.Form):
    """Why a cell is left open for now."""

    reason = forms.ChoiceField(label=_("Reason"), choices=CellSkip.Reason.choices)
    comment = forms.CharField(label=_("Comment"), max_length=MAX_COMMENT, required=False)


class StagingForm(forms.Form):
    """The stage a person gives to a smear, or that it has none, and why."""

    label = forms.ChoiceField(label=_("Stage"), choices=list(names.STAGING_ANSWERS.items()))
    comment = forms.CharField(label=_("Comment"), max_length=MAX_COMMENT, required=False)


class GateAnswerForm(forms.Form):
    """A person's word on a check of the sign-off, and why."""

    check_key = forms.ChoiceField(choices=GateAnswer.Check.choices)
    run = forms.UUIDField(required=False)
    answer = forms.ChoiceField(label=_("Answer"), choices=GateAnswer.Answer.choices)
    reason = forms.CharField(label=_("Reason, printed on the report"), max_length=MAX_COMMENT)


class CriticalCallForm(forms.Form):
    """Who was told of a critical finding."""

    finding = forms.CharField(max_length=40, widget=forms.HiddenInput)
    told = forms.CharField(label=_("Told"), max_length=120, help_text=_("Name and role of who was told."))
    told_by = forms.CharField(label=_("By"), max_length=120)
    told_at = forms.DateTimeField(
        label=_("At"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    how = forms.ChoiceField(label=_("How"), choices=CriticalCall.How.choices)
    read_back = forms.TypedChoiceField(
        label=_("Read back"),
        choices=[("", _("Choose")), ("yes", _("yes, it was repeated correctly")), ("no", _("no"))],
        coerce=lambda said: said == "yes",
    )
    note = forms.CharField(label=_("Note"), max_length=MAX_COMMENT, required=False)

    @property
    def call(self) -> sign_off.Told:
        return sign_off.Told(**self.cleaned_data)


class TallyForm(forms.Form):
    """A count by hand: its id, its end, and a number for each class."""

    count_id = forms.UUIDField()
    target = forms.TypedChoiceField(choices=ManualCount.Target.choices, coerce=int)
    comment = forms.CharField(label=_("Comment"), max_length=MAX_COMMENT, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key in by_hand.COUNTED:
            self.fields[key] = forms.IntegerField(min_value=0, max_value=1000)

    @staticmethod
    def empty() -> dict[str, Any]:
        """A new count."""
        return {"target": ManualCount.Target.HUNDRED, **dict.fromkeys(by_hand.COUNTED, 0)}

    @property
    def tally(self) -> by_hand.Tally:
        given = self.cleaned_data
        counts = {key: given[key] for key in by_hand.COUNTED}
        return by_hand.Tally(given["count_id"], given["target"], counts, given["comment"])


class RehearsalForm(forms.Form):
    """On how many of the newest signed cases a network is rehearsed."""

    cases = forms.IntegerField(
        label=_("Signed cases, newest first"),
        min_value=1,
        max_value=rehearsals.MOST_CASES,
        initial=rehearsals.USUAL_CASES,
    )


class ChoiceForm(forms.Form):
    """Why another network is to be used, and the number of the choice that was seen in use."""

    reason = forms.CharField(label=_("Reason"), max_length=MAX_REASON)
    seen = forms.IntegerField(min_value=0)
