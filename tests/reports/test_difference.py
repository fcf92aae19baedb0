"""Two versions of a report, cell by cell: what changed, by whom, when and why."""

from dataclasses import replace

import pytest
from django.urls import reverse

from inference import review, selectors
from reports import services
from reports.difference import difference
from reports.models import Report


@pytest.fixture
def amended_case(drafted, sign, pathologist):
    """Version 1 signed; version 2 drafted with the blast relabelled and one word taken back."""
    first = sign(pathologist, drafted)
    services.amend(pathologist, first, "The blast is a lymphocyte")
    run = selectors.run_for(pathologist, selectors.current_runs(first.case_id).get().pk)
    review.decide(pathologist, run.cells.get(number=7), "lymphocyte", "no nucleolus")
    review.sign_off(pathologist, run)
    return first.case


def changes(client, case):
    return client.get(f"/api/v1/cases/{case.pk}/report/changes/1/2/").json()


def test_cells_figures_and_flags_that_changed_are_named(amended_case, pathologist, api_for):
    found = changes(api_for(pathologist), amended_case)
    (cell,) = found["cells"]
    assert (cell["cell_id"], cell["before"], cell["after"]) == (7, "blast", "lymphocyte")
    assert (cell["reviewer"], cell["comment"], cell["taken_back"]) == ("Paul Path", "no nucleolus", False)
    figures = {one["key"]: (one["before"], one["after"]) for one in found["figures"]}
    assert set(figures) == {"blast", "lymphocyte"}
    assert figures["blast"][0].startswith("1 cell, 12.5 % (")
    assert figures["blast"][1].startswith("0 cells, 0.0 % (")
    assert any("called a blast" in words for words in found["went"])
    assert (found["before"], found["after"], found["reason"]) == (1, 2, "The blast is a lymphocyte")


def test_the_page_shows_it_and_the_report_links_it(amended_case, clinician, client_for):
    client = client_for(clinician)
    page = client.get(reverse("reports:changes", args=[amended_case.pk, 1, 2])).content.decode()
    for words in ("cell 7", "Blast", "Lymphocyte", "Paul Path", "no nucleolus", "The blast is a lymphocyte"):
        assert words in page
    report = client.get(reverse("reports:report", args=[amended_case.pk])).content.decode()
    assert reverse("reports:changes", args=[amended_case.pk, 1, 2]) in report


def test_strangers_and_missing_versions_are_not_found(
    amended_case, pathologist, stranger, client_for, api_for
):
    page = reverse("reports:changes", args=[amended_case.pk, 1, 2])
    assert client_for(stranger).get(page).status_code == 404
    assert api_for(stranger).get(f"/api/v1/cases/{amended_case.pk}/report/changes/1/2/").status_code == 404
    assert (
        client_for(pathologist).get(reverse("reports:changes", args=[amended_case.pk, 1, 9])).status_code
        == 404
    )


def test_the_word_of_the_time_counts(amended_case, pathologist, sign, api_for):
    """Version 2 is signed with the word it had; a word after that belongs to version 3."""
    second = Report.objects.get(case=amended_case, version=2)
    second = sign(pathologist, second)
    services.amend(pathologist, second, "Once more")
    run = selectors.run_for(pathologist, selectors.current_runs(amended_case.pk).get().pk)
    review.undo(pathologist, run.cells.get(number=7))
    review.decide(pathologist, run.cells.get(number=7), "blast", "it is one")
    (cell,) = changes(api_for(pathologist), amended_case)["cells"]
    assert (cell["after"], cell["comment"], cell["taken_back"]) == ("lymphocyte", "no nucleolus", False)


def test_images_that_come_and_go_are_named(signed):
    image = signed.images[0]
    other = replace(image, run_id="another", name="second.png")
    found = difference(signed, replace(signed, version=2, images=(other,)))
    assert found.images_came == ("second.png: 120 leukocytes, 840 red cells, 41 platelets",)
    assert found.images_went == ("field 1.png: 120 leukocytes, 840 red cells, 41 platelets",)
    assert found.cells == ()


def listing(signed, **cells):
    image = replace(
        signed.images[0],
        payload={"cell_detections": [{"cell_id": int(n[1:]), **cell} for n, cell in cells.items()]},
    )
    return replace(signed, images=(image,))


def test_a_red_cell_that_one_version_does_not_list_counted_as_the_machine_called_it(signed):
    before = listing(signed, c1={"classification": "normal"})
    said = {"classification": "target", "reviewed_classification": "sickle"}
    found = difference(before, listing(signed, c1={"classification": "normal"}, c2=said))
    assert [(one.number, one.before, one.after) for one in found.cells] == [(2, "target", "sickle")]
    back = difference(listing(signed, c2=said), listing(signed, c1={"classification": "normal"}))
    assert [(one.number, one.before, one.after) for one in back.cells] == [(2, "sickle", "target")]


def test_nothing_changed_is_said(signed):
    assert difference(signed, signed).is_empty
