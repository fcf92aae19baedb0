"""Addresses of the worklist, patients, cases, and the files of smears."""

from django.urls import path

from . import api, question_api, question_views, tus, views

app_name = "cases"
urlpatterns = [
    path("", views.worklist, name="worklist"),
    path("patients/", views.patients, name="patients"),
    path("patients/new/", views.new_patient, name="new-patient"),
    path("patients/<uuid:pk>/", views.patient, name="patient"),
    path("patients/<uuid:pk>/edit/", views.edit_patient, name="edit-patient"),
    path("cases/new/", views.new_case, name="new-case"),
    path("cases/new/patient/", views.patient_choice, name="patient-choice"),
    path("cases/<uuid:pk>/", views.case, name="case"),
    path("cases/<uuid:pk>/status/", views.case_status, name="case-status"),
    path("cases/<uuid:pk>/edit/", views.edit_case, name="edit-case"),
    path("cases/<uuid:case_id>/questions/", question_views.box, name="questions"),
    path("cases/<uuid:case_id>/questions/ask/", question_views.ask, name="ask"),
    path("questions/<uuid:question_id>/answer/", question_views.answer, name="answer"),
    path("uploads/<uuid:pk>/discard/", views.discard_upload, name="discard-upload"),
    path("smears/<uuid:pk>/preview.jpg", views.preview, name="preview"),
    path("smears/<uuid:pk>/original", views.original, name="original"),
    *api.urlpatterns,
    *question_api.urlpatterns,
    *tus.urlpatterns,
]
