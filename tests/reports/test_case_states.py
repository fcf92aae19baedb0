"""What worklists say about the reports of cases."""

import pytest

from reports import services
from reports.case_states import facts

pytestmark = pytest.mark.django_db


def words(user, case):
    return [fact.text for fact in facts(user, [case]).get(case.pk, [])]


def test_from_draft_to_amendment(ready, drafted, pathologist, clinician, stranger, sign):
    assert words(clinician, ready) == ["drafted, not signed"]
    first = sign(pathologist, drafted)
    (signed,) = words(clinician, ready)
    assert signed.startswith("signed by Paul Path, ")
    second = services.amend(pathologist, first, "Comment", reopen_slides=False)
    assert words(clinician, ready) == [signed, "amendment drafted, not signed"]
    sign(pathologist, second)
    (amended,) = words(clinician, ready)
    assert amended.startswith("amended: version 2, signed by Paul Path, ")
    assert words(stranger, ready) == []
