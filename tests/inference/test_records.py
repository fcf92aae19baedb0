from inference import records
from inference.models import Cell


def test_prediction_sets_come_in_the_order_of_their_levels():
    kept = Cell(prediction_sets={"100": ["blast", "monocyte"], "95": ["blast"], "9": []})
    assert list(records.prediction_sets(kept)) == [9, 95, 100]
