"""What people send about a cell or a slide."""

from django import forms
from django.utils.translation import gettext_lazy as _

from inference import names
from inference.review import MAX_COMMENT


class DecisionForm(forms.Form):
    """The class a person gives to a cell, and why."""

    label = forms.ChoiceField(label=_("Class"), choices=list(names.CLASS_NAMES.items()))
    comment = forms.CharField(label=_("Comment"), max_length=MAX_COMMENT, required=False)


class StagingForm(forms.Form):
    """The stage a person gives to a smear, or that it has none, and why."""

    label = forms.ChoiceField(label=_("Stage"), choices=list(names.STAGING_ANSWERS.items()))
    comment = forms.CharField(label=_("Comment"), max_length=MAX_COMMENT, required=False)
