"""Worlds that teach a fusion: the same however many are made at once, and gone on with where they were stopped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from airloom.learn.stop import Stopped
from airloom.methods.pointconv import teach
from airloom.methods.pointconv.study import FusionStudy
from airloom.methods.pointconv.teach import World, days_to_make, make_worlds
from airloom.progress import quiet
from tests.test_pointconv_run import STUDY

WORLDS = {"number": 1, "start": "2019-01-31", "end": "2019-02-01", "days": 31}
SMALL = {
    **STUDY,
    "networks": [{**STUDY["networks"][0], "variable": "no2"}],
    "worlds": WORLDS,
    "grid": {**STUDY["grid"], "cell": 20000},
}


def made(folder: Path, threads: int = 1) -> list[World]:
    return make_worlds(FusionStudy.model_validate(SMALL), folder, threads=threads, progress=quiet)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory) -> list[World]:
    return made(tmp_path_factory.mktemp("worlds"))


def same(worlds: list[World], others: list[World]) -> bool:
    pairs = list(zip(worlds, others, strict=True))
    alike = all(np.array_equal(w.profile(day), o.profile(day)) for w, o in pairs for day in range(2))
    return alike and all(np.array_equal(w.maps, o.maps) for w, o in pairs)


def test_worlds_differ_and_are_the_same_side_by_side(one_by_one, tmp_path):
    first, last = one_by_one
    assert len(first) == len(last) == 2
    assert not np.array_equal(first.day(0), last.day(0))
    assert same(made(tmp_path, threads=2), one_by_one)


def test_stopped_worlds_keep_whole_months_and_go_on(one_by_one, tmp_path, monkeypatch):
    days = iter([False, True])

    @contextmanager
    def asked_on_the_second_day() -> Iterator[Callable[[], bool]]:
        yield lambda: next(days)

    with monkeypatch.context() as patch:
        patch.setattr(teach, "stop_asked", asked_on_the_second_day)
        with pytest.raises(Stopped, match="world-0: stopped in February 2019"):
            made(tmp_path)
    assert days_to_make(FusionStudy.model_validate(SMALL), tmp_path) == 3
    assert same(made(tmp_path), one_by_one)
