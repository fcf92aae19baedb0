"""Where runs, results, the review and their API live."""

from django.urls import path

from inference import api, review_views, staging_api, staging_views, views

app_name = "inference"
urlpatterns = [
    path("cases/<uuid:case_id>/runs/", views.case_runs, name="case-runs"),
    path("runs/<uuid:run_id>/", views.run_page, name="run"),
    path("runs/<uuid:run_id>/status/", views.run_status, name="run-status"),
    path("runs/<uuid:run_id>/retry/", views.retry, name="retry"),
    path("runs/<uuid:run_id>/overlay.png", views.overlay, name="overlay"),
    path("runs/<uuid:run_id>/cells/<int:number>/", views.cell_panel, name="cell"),
    path("runs/<uuid:run_id>/cells/<int:number>/similar/", views.similar_cells, name="similar"),
    path("runs/<uuid:run_id>/cells/<int:number>/crop.png", views.crop, name="crop"),
    path("runs/<uuid:run_id>/cells/<int:number>/heatmap.png", views.heatmap, name="heatmap"),
    path("runs/<uuid:run_id>/cells/<int:number>/heat-map/", views.heat_map, name="heat-map"),
    path("cases/<uuid:case_id>/staging/", staging_views.case_staging, name="case-staging"),
    path("cases/<uuid:case_id>/staging/request/", staging_views.request_staging, name="request-staging"),
    path("cases/<uuid:case_id>/staging/withdraw/", staging_views.withdraw_staging, name="withdraw-staging"),
    path("runs/<uuid:run_id>/staging/", staging_views.waiting, name="staging"),
    path("runs/<uuid:run_id>/staging/retry/", staging_views.retry, name="retry-staging"),
    path("review/<uuid:run_id>/staging/decide/", staging_views.decide, name="decide-staging"),
    path("review/<uuid:run_id>/staging/undo/", staging_views.undo, name="undo-staging"),
    path("review/", review_views.queue, name="review-queue"),
    path("review/<uuid:run_id>/", review_views.slide, name="review-slide"),
    path("review/<uuid:run_id>/claim/", review_views.claim, name="claim"),
    path("review/<uuid:run_id>/release/", review_views.release, name="release"),
    path("review/<uuid:run_id>/sign-off/", review_views.sign_off, name="sign-off"),
    path("review/<uuid:run_id>/cells/<int:number>/decide/", review_views.decide, name="decide"),
    path("review/<uuid:run_id>/cells/<int:number>/undo/", review_views.undo, name="undo"),
    *api.urlpatterns,
    *staging_api.urlpatterns,
]
