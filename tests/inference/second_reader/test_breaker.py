"""The circuit breaker on a clock of its own."""

import pytest

from inference.second_reader.breaker import Breaker, Open
from inference.second_reader.budget import Spent
from inference.second_reader.posting import Failed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fails() -> str:
    raise Failed("broken")


def is_spent() -> str:
    raise Spent("no time")


def works() -> str:
    return "well"


def opened(clock) -> Breaker:
    breaker = Breaker(failures=3, pause=60, clock=clock)
    for _ in range(3):
        with pytest.raises(Failed):
            breaker.call(fails)
    return breaker


def test_it_opens_after_failures_in_a_row(clock):
    with pytest.raises(Open):
        opened(clock).call(works)


def test_failures_between_successes_do_not_open_it(clock):
    breaker = Breaker(failures=2, clock=clock)
    for _ in range(5):
        with pytest.raises(Failed):
            breaker.call(fails)
        assert breaker.call(works) == "well"


def test_after_the_pause_a_success_closes_it(clock):
    breaker = opened(clock)
    clock.now = 61
    assert breaker.call(works) == "well"
    assert breaker.call(works) == "well"


def test_after_the_pause_a_failure_opens_it_again(clock):
    breaker = opened(clock)
    clock.now = 61
    with pytest.raises(Failed):
        breaker.call(fails)
    with pytest.raises(Open):
        breaker.call(works)
    clock.now = 122
    assert breaker.call(works) == "well"


def test_only_one_tries_after_the_pause(clock):
    breaker = opened(clock)
    clock.now = 61

    def others_wait() -> str:
        with pytest.raises(Open):
            breaker.call(works)
        return "well"

    assert breaker.call(others_wait) == "well"


def test_what_is_not_the_fault_of_the_endpoint_does_not_count(clock):
    breaker = Breaker(failures=1, clock=clock)
    with pytest.raises(Spent):
        breaker.call(is_spent)
    assert breaker.call(works) == "well"


def test_a_try_without_verdict_leaves_room_for_another(clock):
    breaker = opened(clock)
    clock.now = 61
    with pytest.raises(Spent):
        breaker.call(is_spent)
    clock.now = 122
    assert breaker.call(works) == "well"
