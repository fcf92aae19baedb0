"""A call about a critical finding and an answer to the completeness gate, as a report holds them."""

from datetime import UTC, datetime

from reports.sign_off import Answer, Call

CALL = Call(
    finding="first_blasts",
    name="First blasts",
    cell_class="blast",
    says="First blasts: 6 of 120 leukocytes; none in an earlier signed report.",
    told="Dr Wade | ward 4",
    told_by="Paul Path",
    told_at=datetime(2026, 11, 21, 8, 5, tzinfo=UTC),
    how="phone",
    how_name="by phone",
    read_back=True,
    note="Bed 12.",
    recorded_by="Paul Path",
    stands=True,
)
ANSWER = Answer(
    key="platelets",
    name="Platelets",
    image="",
    says="41 platelets beside 840 red cells, fewer than 1,000.",
    answer="not_assessable",
    answer_name="not assessable",
    reason="Clumps.",
    answered_by="Paul Path",
    answered_at=datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
)
