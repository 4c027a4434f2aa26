"""Reading ahead changes neither what comes nor its order."""

import threading

import pytest

from airloom.learn.ahead import AHEAD, ahead


def test_all_come_in_their_order_and_some_are_made_before_they_are_asked_for():
    made, third = [], threading.Event()

    def make(item):
        made.append(item)
        if len(made) == AHEAD + 1:
            third.set()
        return 10 * item

    results = ahead(make, range(6))
    assert next(results) == 0
    assert third.wait(5)  # made though not asked for
    assert len(made) <= AHEAD + 1
    assert list(results) == [10, 20, 30, 40, 50]
    assert made == list(range(6))


def test_what_fails_is_told_when_its_turn_comes():
    results = ahead(lambda n: 1 / n, [1, 2, 0, 4])
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closed_it_makes_no_more():
    made = []
    results = ahead(made.append, range(100))
    next(results)
    results.close()
    assert len(made) <= AHEAD + 1
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead") and t.is_alive()]
