"""Forms of the account and laboratory pages."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from . import selectors
from .models import AuditEvent, Role, User

TOKEN_LIVES = [(30, _("30 days")), (90, _("90 days")), (365, _("one year"))]


class RegistrationForm(forms.Form):
    """What allauth's registration asks beside address and password."""

    full_name = forms.CharField(
        label=_("Full name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    lab = forms.ModelChoiceField(
        label=_("Laboratory"), queryset=selectors.labs(), empty_label=_("Choose your laboratory")
    )
    role = forms.ChoiceField(
        label=_("You work as"),
        choices=[(role.value, role.label) for role in (Role.CLINICIAN, Role.PATHOLOGIST)],
        help_text=_("An administrator of the laboratory checks this before you can sign in."),
    )
    field_order = ("full_name", "email", "lab", "role", "password1", "password2")

    def signup(self, request: HttpRequest, user: User) -> None:
        """Everything is saved by the adapter, because an account without a laboratory cannot exist."""


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices)


class TokenForm(forms.Form):
    days = forms.TypedChoiceField(label=_("Valid for"), choices=TOKEN_LIVES, coerce=int, initial=90)


class RangeForm(forms.Form):
    """One line of the reference table; both fields empty means that no range is printed."""

    low = forms.FloatField(min_value=0, max_value=100, required=False)
    high = forms.FloatField(min_value=0, max_value=100, required=False)

    def __init__(self, data: Any, *, cell_class: str, name: str, initial: dict[str, Any]) -> None:
        super().__init__(data, prefix=cell_class, initial=initial)
        self.cell_class = cell_class
        for field, label in (("low", _("lower limit")), ("high", _("upper limit"))):
            attributes = self.fields[field].widget.attrs
            attributes |= {"step": "any", "aria-label": f"{name}, {label}", "class": "num"}

    @property
    def has_limits(self) -> bool:
        return self.cleaned_data.get("low") is not None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        low, high = data.get("low"), data.get("high")
        if (low is None) != (high is None) and not self.errors:
            raise forms.ValidationError(_("Give both limits, or neither."))
        if low is not None and high is not None and low >= high:
            raise forms.ValidationError(_("The lower limit has to be below the upper one."))
        return data


class StagingForm(forms.Form):
    """Whether leukemia staging is offered to the clinicians of the laboratory."""

    offered = forms.BooleanField(
        label=_("Clinicians can request leukemia staging for a case"), required=False
    )


class AuditFilterForm(forms.Form):
    who = forms.CharField(label=_("Who or on what"), required=False)
    verb = forms.ChoiceField(label=_("What"), required=False)
    outcome = forms.ChoiceField(
        label=_("Outcome"), required=False, choices=[("", _("Any")), *AuditEvent.Outcome.choices]
    )
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, verbs: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["verb"].choices = [("", _("Any")), *((verb, verb) for verb in verbs)]  # type: ignore[attr-defined]
