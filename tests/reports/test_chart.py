from dataclasses import replace

import pytest

from reports.chart import WIDTH, chart


def test_bars_lie_on_one_scale(draft):
    drawn = chart(draft.lines)
    assert drawn.scale == 80
    neutrophil = drawn.bars[0]
    assert neutrophil.length == pytest.approx(WIDTH * neutrophil.line.percent / 80, abs=0.01)
    assert neutrophil.range_start == pytest.approx(WIDTH * 50 / 80)
    assert neutrophil.range_length == pytest.approx(WIDTH * 20 / 80)
    assert drawn.ticks[-1] == (WIDTH, 80)
    assert all(0 <= bar.low <= bar.length <= bar.high <= WIDTH for bar in drawn.bars)


@pytest.mark.parametrize(("high", "scale"), [(3.0, 20), (20.0, 20), (20.1, 40), (100.0, 100)])
def test_scale_is_the_shortest_that_holds_all(draft, high, scale):
    line = replace(draft.lines[0], percent=high / 2, low=0.0, high=high, reference=None)
    assert chart((line,)).scale == scale


def test_no_class_no_bar():
    assert chart(()).bars == ()
