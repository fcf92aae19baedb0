"""Addresses of the account and laboratory pages."""

from django.urls import path

from . import api, views

app_name = "accounts"
urlpatterns = [
    path("laboratory/people/", views.people, name="people"),
    path("laboratory/people/<uuid:pk>/role/", views.change_role, name="role"),
    path("laboratory/people/<uuid:pk>/<slug:decision>/", views.decide, name="decide"),
    path("laboratory/ranges/", views.ranges, name="ranges"),
    path("laboratory/staging/", views.staging, name="staging"),
    path("laboratory/audit/", views.trail, name="audit"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<str:digest>/revoke/", views.revoke, name="revoke"),
    path("api/v1/auth/token/", api.Token.as_view(), name="api-token"),
]
