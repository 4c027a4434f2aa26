"""What `airloom bench` says of a study on this machine."""

import pytest

from airloom import bench
from airloom.bench import TITLES, Speed, Work
from airloom.demo import study
from airloom.errors import StudyError
from airloom.grid import tiles
from airloom.study import changed


def test_presets_are_measured_in_processes_of_their_own():
    (found,) = bench.bench(changed(study(), {"phases.0.batch": 2}), ["small"], cores=1, seconds=0)
    assert found.preset == "small"
    assert found.weights > 10_000
    assert found.operations > 1e8
    assert 1e-3 < found.predicting.seconds < found.training.seconds < 60
    assert 1e8 < found.predicting.memory < 2e10
    assert len(found.hours) == len(study().phases)
    assert len(found.words()) == len(TITLES)


def test_hours_and_days_follow_from_seconds_a_sample(monkeypatch):
    asked = study()  # 2022 is trained on: 365 days, two tiles a day, 16 epochs
    windows = len(tiles(asked.target_grid.shape, asked.tiles.size, asked.tiles.stride, asked.tile_multiple))
    monkeypatch.setattr(bench, "_apart", lambda work, *_: Work(3.6 if work is bench._train else 0.5, 1e9))
    (found,) = bench.bench(asked, ["small"])
    assert found.hours[0] == pytest.approx(365 * 2 * 16 * 3.6 / 3600)
    assert found.day == pytest.approx(windows * 0.5)
    assert found.words()[3] == "0.28"


def test_what_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr(bench, "_apart", lambda *_: None)
    (found,) = bench.bench(study(), ["small"])
    assert (found.hours, found.day) == ([], None)
    assert found.words()[3:] == ["no room", "", "", "no room", ""]


def test_an_unknown_preset_is_refused():
    with pytest.raises(StudyError, match="preset"):
        next(bench.bench(study(), ["huge"]))


def test_words_are_rounded():
    found = Speed("base", 1_234_567, 97_000_000_000, Work(2.0, 4.2e9), Work(0.7, 1.06e9), [1.25, 0.5], 8.44)
    assert found.words() == ["base", "1,234,567", "97.00", "0.50", "1.2 + 0.5", "4.2", "8.4", "1.1"]
