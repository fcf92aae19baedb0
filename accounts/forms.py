"""Forms of the account and laboratory pages."""

from dataclasses import asdict
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from . import selectors
from .models import AuditEvent, DoubleReading, Role, User
from .sign_off import CRITICAL_FINDINGS, SignOffLimits

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


class DiameterForm(forms.Form):
    """The least and the greatest diameter of a normal red cell in µm."""

    low = forms.FloatField(label=_("Lower limit, µm"), min_value=1, max_value=20)
    high = forms.FloatField(label=_("Upper limit, µm"), min_value=1, max_value=20)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not self.errors and data["low"] >= data["high"]:
            raise forms.ValidationError(_("The lower limit has to be below the upper one."))
        return data


class GradeForm(forms.Form):
    """One line of the table of grades: the limits of 1+, 2+ and 3+ in % of the classified red cells."""

    one = forms.FloatField(label=_("1+ from"), min_value=0.01, max_value=100)
    two = forms.FloatField(label=_("2+ from"), min_value=0.01, max_value=100)
    three = forms.FloatField(label=_("3+ above"), min_value=0.01, max_value=100)

    def __init__(self, data: Any, cell_class: str, name: str, limits: tuple[float, float, float]) -> None:
        super().__init__(
            data, prefix=cell_class, initial=dict(zip(("one", "two", "three"), limits, strict=True))
        )
        self.cell_class = cell_class
        for field in self.fields.values():
            field.widget.attrs |= {"step": "any", "aria-label": f"{name}, {field.label}, %", "class": "num"}

    @property
    def limits(self) -> tuple[float, float, float]:
        data = self.cleaned_data
        return data["one"], data["two"], data["three"]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not self.errors and not data["one"] < data["two"] < data["three"]:
            raise forms.ValidationError(_("Each limit has to be above the one before it."))
        return data


class SignOffForm(forms.Form):
    """What has to be answered before a slide is signed off."""

    unseen_percent = forms.FloatField(
        label=_("Share of a field that may stay unviewed, %"),
        min_value=0,
        max_value=100,
        help_text=_("More than this needs a reason, which the report prints. 100 asks for no look at all."),
    )
    least_wbc = forms.IntegerField(label=_("Least leukocytes"), min_value=0, max_value=10_000)
    least_rbc = forms.IntegerField(label=_("Least red cells"), min_value=0, max_value=100_000)
    least_rbc_for_platelets = forms.IntegerField(
        label=_("Least red cells beside which platelets are judged"), min_value=0, max_value=100_000
    )
    critical = forms.MultipleChoiceField(
        label=_("Findings of which somebody has to be told"),
        choices=[(key, one.name) for key, one in CRITICAL_FINDINGS.items()],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    @staticmethod
    def showing(limits: SignOffLimits) -> dict[str, Any]:
        """The limits as the form's initial values."""
        return {**asdict(limits), "critical": list(limits.critical)}

    @property
    def limits(self) -> SignOffLimits:
        given = self.cleaned_data
        left_out = tuple(key for key in CRITICAL_FINDINGS if key not in given["critical"])
        numbers = {name: given[name] for name in self.fields if name != "critical"}
        return SignOffLimits(**numbers, not_critical=left_out)


class StagingForm(forms.Form):
    """Whether leukemia staging is offered to the clinicians of the laboratory."""

    offered = forms.BooleanField(
        label=_("Clinicians can request leukemia staging for a case"), required=False
    )


class ReviewForm(forms.Form):
    """Which cells a second pathologist calls, and which share is called blind."""

    double_reading = forms.ChoiceField(
        label=_("A second pathologist calls"), choices=DoubleReading.choices, widget=forms.RadioSelect
    )
    blind_percent = forms.IntegerField(
        label=_("Share of cells called blind, %"), min_value=0, max_value=100, help_text=_("0 to 100")
    )


class MailForm(forms.Form):
    wanted = forms.BooleanField(label=_("Send me a mail as well"), required=False)


class ThemeForm(forms.Form):
    theme = forms.TypedChoiceField(choices=User.Theme.choices, coerce=User.Theme)


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
