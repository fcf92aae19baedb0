"""What people type about patients and cases; the services judge it."""

from typing import Any

from django import forms
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext_lazy as _

from . import validators
from .models import Case, Patient
from .services import CASE_FIELDS, PATIENT_FIELDS

PIXEL_UM_RANGE = (0.01, 10.0)


class PatientForm(forms.ModelForm):
    birth_date = forms.DateField(
        label=_("Birth date"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        validators=[validators.birth_date],
    )

    class Meta:
        model = Patient
        fields = PATIENT_FIELDS
        labels = {"mrn": _("Medical record number (MRN)")}
        widgets = {name: forms.TextInput(attrs={"autocomplete": "off"}) for name in PATIENT_FIELDS[:3]}


class CaseForm(forms.ModelForm):
    collected_at = forms.DateTimeField(
        label=_("Collected at"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        validators=[validators.collection_time],
    )
    pixel_um = forms.FloatField(
        label=_("Pixel size, µm"),
        required=False,
        min_value=PIXEL_UM_RANGE[0],
        max_value=PIXEL_UM_RANGE[1],
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_("About 0.1 with a 100× objective. Left empty, it is estimated from the red cells."),
    )

    class Meta:
        model = Case
        fields = CASE_FIELDS
        widgets = {"priority": forms.RadioSelect, "accession": forms.TextInput(attrs={"autocomplete": "off"})}
        help_texts = {
            "indication": _("What the clinician asks, or why the smear was made."),
            "stain": _("For example May-Grünwald-Giemsa or Wright."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["priority"].choices = list(reversed(Case.Priority.choices))  # type: ignore[attr-defined]
        zone = get_current_timezone_name()
        self.fields["collected_at"].help_text = _("Time zone: %(zone)s") % {"zone": zone}


class NewCaseForm(CaseForm):
    """A case as it is opened; whether staging was asked for is changed on its page later."""

    staging_requested = forms.BooleanField(label=_("Request leukemia staging"), required=False)


class WorklistForm(forms.Form):
    """The filters of the worklist; one that is not understood is named and left out."""

    tab = forms.CharField(required=False, widget=forms.HiddenInput)
    q = forms.CharField(
        label=_("Accession number, MRN or name"),
        required=False,
        widget=forms.TextInput(attrs={"type": "search", "data-hotkey": "/"}),
    )
    priority = forms.ChoiceField(
        label=_("Priority"), required=False, choices=[("", _("Any")), *Case.Priority.choices]
    )
    collected_from = forms.DateField(
        label=_("Collected from"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    collected_to = forms.DateField(
        label=_("to"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )


class SearchForm(forms.Form):
    q = forms.CharField(
        label=_("MRN or name"),
        required=False,
        widget=forms.TextInput(attrs={"type": "search", "data-hotkey": "/"}),
    )
