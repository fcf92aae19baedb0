"""What would change in a case, on cells with known calls."""

from inference.models import Cell, CellReview
from inference.pipeline.findings import Call
from inference.rehearsal_figures import LISTED, Agreement, Anew, compared
from inference.results import ReviewedCell


def anew(before, after, word=None, needs_review=False, reasons=()):
    row = Cell(
        number=1,
        kind="WBC",
        **dict.fromkeys(("x0", "y0", "x1", "y1", "centroid_x", "centroid_y", "area_px"), 9),
        segmentation_confidence=0.9,
        label=before,
        confidence=0.9,
        needs_review=needs_review,
    )
    review = CellReview(cell=row, label=word) if word else None
    return Anew(ReviewedCell(row, review), Call(after, 0.8, {after: 0.8}), reasons)


def test_flags_appear_and_vanish_by_code():
    neutrophils = [anew("neutrophil", "neutrophil") for _ in range(120)]
    told = compared([*neutrophils, anew("erythroblast", "blast")], 0)
    assert told["appeared"] == ["1 of 121 leukocytes is called a blast."]
    assert told["vanished"] == ["Erythroblasts: 1 beside 120 leukocytes."]
    assert told["leukocytes"] == [120, 121] and told["changed"] == 1


def test_a_persons_word_stands_in_both_differentials():
    told = compared([anew("neutrophil", "blast", word="monocyte")], 0)
    counts = {line["key"]: [side[0] for side in line["shares"]] for line in told["lines"]}
    assert counts["monocyte"] == [1, 1] and counts["blast"] == [0, 0]
    assert told["changed"] == 1 and told["appeared"] == []


def test_agreement_counts_gains_and_losses_on_the_decided_cells_only():
    cells = [
        anew("neutrophil", "blast", word="blast"),
        anew("blast", "lymphocyte", word="blast"),
        anew("blast", "blast", word="blast"),
        anew("neutrophil", "monocyte"),
    ]
    kept = compared(cells, 0)["agreement"]
    assert Agreement(**kept) == Agreement(n=3, before=2, after=2, gained=1, lost=1)
    both = Agreement(**kept).plus(Agreement(n=2, before=1, after=2, gained=1))
    assert both == Agreement(5, 3, 4, 2, 1)
    assert Agreement().shares[0].high == 100.0


def test_cells_that_go_to_review_anew_or_no_longer_are_counted():
    cells = [
        anew("neutrophil", "neutrophil", reasons=("low_confidence",)),
        anew("neutrophil", "neutrophil", needs_review=True),
        anew("blast", "blast", needs_review=True, reasons=("blast",)),
    ]
    told = compared(cells, 3)
    assert (told["to_review"], told["from_review"], told["left_out"]) == (1, 1, 3)
    (one,) = told["told"]
    assert one["reasons"] == ["low_confidence"] and one["before"] == one["after"] == "neutrophil"


def test_very_many_changes_are_counted_and_the_first_named():
    told = compared([anew("neutrophil", "blast") for _ in range(LISTED + 5)], 0)
    assert (told["changed"], len(told["told"]), told["untold"]) == (LISTED + 5, LISTED, 5)
