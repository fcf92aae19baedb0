"""Forms of the report page."""

from django import forms
from django.utils.translation import gettext_lazy as _

from .services import MAX_COMMENT

MEANINGS = (
    _("I have reviewed the cells and the figures and approve this report."),
    _("I approve this report after its slides were reviewed by a colleague."),
)


class CommentForm(forms.Form):
    comment = forms.CharField(
        label=_("Comment of the pathologist"),
        max_length=MAX_COMMENT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
    )


class SignForm(forms.Form):
    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)
    meaning = forms.ChoiceField(
        label=_("What the signature means"),
        choices=[(str(text), text) for text in MEANINGS],
        initial=str(MEANINGS[0]),
        widget=forms.RadioSelect,
    )
    password = forms.CharField(
        label=_("Your password"),
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text=_("Signing makes this version final. It cannot be changed afterwards, only amended."),
    )


class AmendForm(forms.Form):
    reason = forms.CharField(label=_("Reason for the amendment"), max_length=300)
    reopen_slides = forms.BooleanField(
        label=_("Open the slides for review again"),
        required=False,
        initial=True,
        help_text=_("Leave it off when only the comment changes."),
    )
