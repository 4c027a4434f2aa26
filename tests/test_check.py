"""What `airloom check` estimates."""

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from airloom import check
from airloom.cube.stations import read_stations
from airloom.study import changed


@pytest.fixture
def steps(monkeypatch) -> list[tuple]:
    """What was measured: a sample forward takes a second, and three with the way back; a coarse one a tenth of that."""
    asked = []

    def step(study, channels, batch, side_by_side, scales=None):
        asked.append((batch, side_by_side, scales))
        share = 0.1 if scales else 1.0
        return check._Step(1.0 * share, 3.0 * share, 1e6)

    monkeypatch.setattr(check, "_step", step)
    return asked


def estimated(study, small, there=None, workers=1) -> check.Findings:
    found = check.Findings(there=there)
    check._training(
        study,
        read_stations(small.study.stations, "no2", small.study.target_grid, small.study.period, small.data),
        workers,
        found,
    )
    return found


def test_an_epoch_is_its_samples_and_those_that_validate(small, steps):
    seconds = estimated(small.study, small).seconds["train phase 2 (at most)"]
    assert seconds == pytest.approx(2 * (0.8 * 31 * 3 + 0.2 * 31))  # two epochs, the 31 days of December


def test_a_phase_near_the_former_model_computes_that_once(small, steps):
    by_days = changed(small.study, {"phases.1.loss.former_ssim": 0})
    with_former, without = (estimated(s, small).seconds["train phase 3 (at most)"] for s in (small.study, by_days))
    assert with_former - without == pytest.approx(39)  # the days of 2023, forward


def test_the_former_models_fields_are_kept_in_memory_of_every_member_that_trains(small, steps):
    coarse = {"tiles": {"size": 16, "stride": 16}, "members": 3, "phases.1.loss.ssim_cell": 4000}
    fields = 39 * 4 * 8 * 8 * 4  # days of 2023, tiles, cells of 4 km in one, bytes
    for workers in (1, 2):
        found = [
            estimated(changed(small.study, {**coarse, "phases.1.loss.former_ssim": on}), small, workers=workers)
            for on in (1, 0)
        ]
        assert found[0].memory - found[1].memory == pytest.approx(workers * fields)


def test_days_that_no_file_has_are_not_counted(small, steps):
    there = np.arange(70) % 2 == 0  # of December's 31 days 16
    seconds = estimated(small.study, small, there).seconds["train phase 2 (at most)"]
    assert seconds == pytest.approx(2 * (0.8 * 16 * 3 + 0.2 * 16))


def test_trees_cost_every_cell_of_the_days_that_are_drawn(small, steps, monkeypatch):
    monkeypatch.setattr(check, "seconds_a_cell", lambda features: 1e-3)
    drawn, alone = (changed(small.study, {"assimilation": {"trees": share}}) for share in (0.5, 0))
    assert estimated(drawn, small).seconds["assimilate"] == pytest.approx(39 * 32 * 32 * 1e-3)  # the days of 2023
    assert "assimilate" not in estimated(alone, small).seconds


def test_validation_sees_as_few_tiles_of_a_day_as_training(small, steps):
    cut = {"tiles": {"size": 16, "stride": 16}}
    whole, one = (changed(small.study, {**cut, "phases.0.tiles_a_day": n}) for n in (None, 1))
    four, single = (estimated(s, small).seconds["train phase 2 (at most)"] for s in (whole, one))
    assert four == pytest.approx(4 * single)


def test_members_side_by_side_take_the_time_of_one(small, steps):
    three = changed(small.study, {"members": 3})
    one, two = (estimated(three, small, workers=w).seconds["train phase 2 (at most)"] for w in (1, 2))
    assert one == pytest.approx(3 / 2 * two)  # three rounds, and two
    assert {s[1] for s in steps} == {1, 2}


def test_coarse_epochs_are_counted_as_such(small, steps):
    coarse = changed(
        small.study, {"method.pyramid": True, "phases.0.coarse": [{"scales": 1, "epochs": 4}, {"scales": 2, "epochs": 6}]}
    )
    more = (
        estimated(coarse, small).seconds["train phase 2 (at most)"]
        - estimated(small.study, small).seconds["train phase 2 (at most)"]
    )
    assert more == pytest.approx(0.1 * 10 * (0.8 * 31 * 3 + 0.2 * 31))
    assert {(8, 1, 1), (8, 1, 2)} <= set(steps)


def test_steps_are_timed_where_training_works(small, monkeypatch):
    monkeypatch.setattr(check, "device", lambda: torch.device("meta"))
    found = set()
    hook = register_module_forward_hook(lambda part, given, told: found.add(getattr(told, "device", None)))
    step = check._step(small.study, {"weather": 2, "emissions": 1}, 4, 1)
    hook.remove()
    assert found - {None} == {torch.device("meta")}
    assert step.forward > 0
