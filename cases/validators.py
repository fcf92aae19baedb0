"""Dates that can be a patient's or a specimen's."""

from datetime import UTC, date, datetime

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

FIRST_YEAR = 1880


def birth_date(value: date) -> None:
    if value > timezone.localdate():
        raise ValidationError(_("This date lies in the future."))
    if value.year < FIRST_YEAR:
        raise ValidationError(_("Check the year: this is before %(year)d.") % {"year": FIRST_YEAR})


def collection_time(value: datetime) -> None:
    if value > timezone.now():
        raise ValidationError(_("This time lies in the future."))
    if value < datetime(FIRST_YEAR, 1, 1, tzinfo=UTC):
        raise ValidationError(_("Check the year: this is before %(year)d.") % {"year": FIRST_YEAR})
