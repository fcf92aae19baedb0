"""The filters of the API's lists."""

import django_filters
from django.db.models import QuerySet

from . import selectors
from .models import Case, Patient


class PatientFilter(django_filters.FilterSet):
    mrn = django_filters.CharFilter()
    q = django_filters.CharFilter(method="search", label="Every word is found in the MRN or the name")

    class Meta:
        model = Patient
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Patient], name: str, value: str) -> QuerySet[Patient]:
        return selectors.search_patients(rows, value)


class CaseFilter(django_filters.FilterSet):
    accession = django_filters.CharFilter()
    patient = django_filters.UUIDFilter(field_name="patient_id")
    status = django_filters.MultipleChoiceFilter(choices=Case.Status.choices)
    priority = django_filters.ChoiceFilter(choices=Case.Priority.choices)
    collected_from = django_filters.DateFilter(field_name="collected_at", lookup_expr="date__gte")
    collected_to = django_filters.DateFilter(field_name="collected_at", lookup_expr="date__lte")
    q = django_filters.CharFilter(
        method="search", label="Every word is found in the accession number, the MRN or the patient's name"
    )

    class Meta:
        model = Case
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        return selectors.search_cases(rows, value)
