"""Addresses of the account and laboratory pages."""

from django.urls import path

from . import api, notification_views, views

app_name = "accounts"
urlpatterns = [
    path("laboratory/people/", views.people, name="people"),
    path("laboratory/people/<uuid:pk>/role/", views.change_role, name="role"),
    path("laboratory/people/<uuid:pk>/<slug:decision>/", views.decide, name="decide"),
    path("laboratory/ranges/", views.ranges, name="ranges"),
    path("laboratory/red-cells/", views.red_cells, name="red_cells"),
    path("laboratory/sign-off/", views.sign_off, name="sign_off"),
    path("laboratory/staging/", views.staging, name="staging"),
    path("laboratory/review/", views.review, name="review"),
    path("laboratory/audit/", views.trail, name="audit"),
    path("theme/", views.theme, name="theme"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<str:digest>/revoke/", views.revoke, name="revoke"),
    path("notifications/", notification_views.notification_list, name="notifications"),
    path("notifications/bell/", notification_views.bell, name="bell"),
    path("notifications/read/", notification_views.read_all, name="read-all"),
    path("notifications/settings/", notification_views.settings, name="notification-settings"),
    path("notifications/<uuid:pk>/read/", notification_views.read, name="read"),
    path("api/v1/auth/token/", api.Token.as_view(), name="api-token"),
]
