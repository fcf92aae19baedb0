"""What is read of many classified cells says what their rows say, in one question."""

import pytest

from inference import blind
from inference.cell_facts import CellFacts, facts


def columns(row):
    return CellFacts(*(getattr(row, name) for name in CellFacts._fields))


@pytest.mark.parametrize("analysed", ["red_run", "doubted_run"])
def test_facts_are_the_columns_of_the_rows(analysed, request, django_assert_num_queries):
    cells = request.getfixturevalue(analysed).cells.exclude(label="").order_by("number")
    rows = list(cells.all())
    with django_assert_num_queries(1):
        found = facts(cells)
    assert found == [columns(row) for row in rows]


def test_what_was_measured_and_called_is_among_them(red_run):
    assert all(cell.measures for cell in facts(red_run.cells.filter(kind="RBC").exclude(label="")))


def test_without_cells_there_are_no_facts(done_run):
    assert facts(done_run.cells.filter(label="no such class")) == []


def test_what_is_hidden_of_a_row_is_hidden_of_its_facts(doubted_run):
    row = doubted_run.cells.get(number=8)
    (known,) = facts(doubted_run.cells.filter(number=8))
    bare, seen = blind.stripped(row), blind.stripped(known)
    assert seen == columns(bare)
    assert (seen.label, seen.second_call, seen.is_veiled) == ("", {}, True)
    assert known.second_call and known.prediction_sets and not known.is_veiled
