"""Where reports and their API live."""

from django.urls import path

from . import api, difference_views, trend_views, views

app_name = "reports"
urlpatterns = [
    path("cases/<uuid:case_id>/report/", views.report, name="report"),
    path("cases/<uuid:case_id>/report/box/", views.case_report, name="case-report"),
    path("cases/<uuid:case_id>/report/draft/", views.draft, name="draft"),
    path("cases/<uuid:case_id>/report/comment/", views.comment, name="comment"),
    path("cases/<uuid:case_id>/report/sign/", views.sign, name="sign"),
    path("cases/<uuid:case_id>/report/amend/", views.amend, name="amend"),
    path("cases/<uuid:case_id>/report/<int:version>/<str:form>", views.download, name="download"),
    path(
        "cases/<uuid:case_id>/report/changes/<int:before>/<int:after>/",
        difference_views.changes,
        name="changes",
    ),
    path("patients/<uuid:patient_id>/trends/", trend_views.trends, name="patient-trends"),
    *api.urlpatterns,
]
