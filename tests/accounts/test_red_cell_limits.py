"""The laboratory's own limits for red cells: who may change them, what they may be, and what follows them."""

import pytest
from django.core.exceptions import PermissionDenied

from accounts import selectors, services
from accounts.models import AuditEvent
from accounts.ranges import DEFAULT_GRADES_PERCENT, RED_CELLS, RedCellLimits
from inference.pipeline.config import RBC_CLASSES, RBC_GRADES_PERCENT, RBC_NORMAL_DIAMETER_UM

PAGE = "/laboratory/red-cells/"


def typed(**changed: str) -> dict[str, str]:
    """The form of the page with the default limits, some of them changed."""
    fields = {
        f"{name}-{field}": str(limit)
        for name, limits in DEFAULT_GRADES_PERCENT.items()
        for field, limit in zip(("one", "two", "three"), limits, strict=True)
    }
    named = {name.replace("__", "-"): value for name, value in changed.items()}
    return {**fields, "diameter-low": "6", "diameter-high": "8", **named}


def test_the_defaults_are_those_of_the_analysis(lab):
    assert selectors.red_cell_limits(lab.pk) == RedCellLimits(RBC_NORMAL_DIAMETER_UM, RBC_GRADES_PERCENT)
    assert tuple(RED_CELLS) == RBC_CLASSES[1:]


def test_the_page_opens_to_administrators_only(client_for, administrator, clinician, pathologist):
    page = client_for(administrator).get(PAGE)
    assert page.status_code == 200
    assert b'name="schistocyte-three" value="2.0"' in page.content
    assert client_for(None).get(PAGE).url.startswith("/accounts/login/")
    for other in (clinician, pathologist):
        assert client_for(other).get(PAGE).status_code == 403
        assert client_for(other).post(PAGE, typed()).status_code == 403


def test_limits_are_replaced_and_audited(client_for, administrator, other_lab):
    given = typed(diameter__low="6.5", sickle__one="0.1")
    assert client_for(administrator).post(PAGE, given).status_code == 302
    kept = selectors.red_cell_limits(administrator.lab_id)
    assert kept.diameter_um == (6.5, 8.0)
    assert kept.grades_percent == {**DEFAULT_GRADES_PERCENT, "sickle": (0.1, 1.0, 2.0)}
    assert selectors.red_cell_limits(other_lab.pk).diameter_um == RBC_NORMAL_DIAMETER_UM
    line = AuditEvent.objects.get(verb="lab.red_cells")
    assert (line.actor, line.detail["diameter_um"]) == (administrator, [6.5, 8])
    assert line.detail["grades"]["sickle"] == [0.1, 1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"diameter__low": "8"},
        {"diameter__high": ""},
        {"target__one": "5"},
        {"target__two": "20"},
        {"target__three": "101"},
        {"target__one": "0"},
        {"target__two": "many"},
    ],
)
def test_limits_that_are_none_are_not_saved(client_for, administrator, wrong):
    answer = client_for(administrator).post(PAGE, typed(**wrong))
    assert answer.status_code == 422
    assert b"errorlist" in answer.content
    assert selectors.red_cell_limits(administrator.lab_id).grades_percent == DEFAULT_GRADES_PERCENT


def test_the_service_refuses_who_may_not(pathologist):
    with pytest.raises(PermissionDenied):
        services.save_red_cell_limits(pathologist, RedCellLimits((5.0, 9.0), DEFAULT_GRADES_PERCENT))
    assert selectors.red_cell_limits(pathologist.lab_id).diameter_um == RBC_NORMAL_DIAMETER_UM
