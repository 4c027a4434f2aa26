"""What speaks with the networks of series, and how sure all of them together are."""

import os
import signal
import sys
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import torch

from airloom.errors import CheckpointError, StudyError
from airloom.learn.checkpoint import load_weights, save_weights
from airloom.learn.stop import Stopped
from airloom.methods.aqnet.beside import BOOSTING, LINE, VOICES, Beside, learn_voice
from airloom.methods.aqnet.calibrate import Errors, known_of, of_errors, of_forecast
from airloom.methods.aqnet.designs import THIN, designs, flat
from airloom.methods.aqnet.jobs import jobs_of
from airloom.methods.aqnet.regression import RIDGES, crossed
from airloom.methods.aqnet.split import Parts, parts_of, turns_of
from airloom.methods.aqnet.study import Forecast, SeriesMethod
from airloom.methods.aqnet.tell import Trained, blended
from airloom.methods.aqnet.windows import Forecasts
from airloom.study import changed
from tests.hourly import HOURLY, STATIONS, hours_of, series
from tests.test_aqnet_run import write

EVERY = np.ones(STATIONS, bool)
HOURS = 1300  # some waves
TRAIN, CHECKS, ASKED = np.arange(23, 900), np.arange(900, 1100), np.arange(1110, 1190)
TASK = Forecast(name="hours", leads=(1, 3))


def beside(which, known=EVERY):
    """A voice of a task, with what it learns from."""
    forecasts = Forecasts.of(hours_of(series(HOURS)), HOURLY, 3, 1)
    return Beside(TASK, forecasts, Parts(TRAIN, CHECKS, ASKED), known, which)


def solved(task):
    line = task.network(SeriesMethod(name="aqnet"))
    line.solve(task.windows, [task.parts], task.known, 1)
    return line


def grown(task):
    trees = task.network(SeriesMethod(name="aqnet"))
    list(trees.grow(task.windows, TRAIN, task.known, length=1, seed=0))
    return trees


def said(voice, task, moments=ASKED):
    seen = task.windows.lesson(moments, torch.from_numpy(task.known)).seen
    with torch.inference_mode():
        return voice(seen, torch.zeros(STATIONS, 2), torch.zeros(STATIONS, STATIONS, 2), 3)


def test_a_line_and_trees_know_more_than_the_mean():
    for which, learn in (("ridge", solved), ("gradient-boosting", grown)):
        task = beside(which)
        told = said(learn(task), task)[:, :, 0]
        wanted = task.windows.wanted[ASKED][:, :, 0]
        there = torch.isfinite(wanted)
        assert told.shape == (80, STATIONS, 3)
        assert ((told - wanted)[there] ** 2).mean() < 0.7 * wanted[there].var()


def test_each_step_has_the_penalty_that_errs_least_where_it_is_checked():
    task = beside("ridge")
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=task.windows.wanted[..., 2].shape)).float()
    task.windows.wanted[..., 2] = noise  # of which nothing can be known
    line = solved(task)
    assert line.penalties[0] < line.penalties[2]
    rows, wanted = map(np.concatenate, zip(*designs(task.windows, CHECKS, EVERY), strict=True))

    inputs, due = map(np.concatenate, zip(*designs(task.windows, TRAIN, EVERY), strict=True))
    terms, there = np.c_[inputs, np.ones(len(inputs))].astype(float), np.isfinite(due)
    whole = there.any(1)
    inner, outer = terms[whole].T @ terms[whole], terms[whole].T @ np.where(there, due, 0)[whole]
    free = np.diag(np.append(np.ones(len(inner) - 1), 0))
    lines = {p: np.linalg.solve(inner + p * free, outer) for p in RIDGES}
    errors = {p: np.nansum((rows @ o[:-1] + o[-1] - wanted) ** 2, 0) for p, o in lines.items()}
    for step in range(3):
        assert line.penalties[step] == min(RIDGES, key=lambda p, s=step: errors[p][s])


def test_trees_see_gaps_as_gaps_and_are_kept_as_text(tmp_path):
    task = beside("gradient-boosting")
    trees = grown(task)
    save_weights(tmp_path / "trees.safetensors", trees, {"study": "one"})
    again = task.network(SeriesMethod(name="aqnet"))
    load_weights(tmp_path / "trees.safetensors", again, belongs_to="one")
    assert torch.equal(said(again, task), said(trees, task))
    rows, _ = next(designs(task.windows, ASKED, EVERY, gaps=True))
    missing = np.isnan(series(HOURS).data["pm2p5"].to_numpy()[ASKED])
    assert np.array_equal(np.isnan(rows.reshape(80, STATIONS, -1)[:, :, flat_index(task)]), missing)
    longer = Beside(TASK, replace(task.windows, wanted=task.windows.wanted[..., :2]), task.parts, EVERY, "gradient-boosting")
    with pytest.raises(CheckpointError, match="3 sets of trees for 2 steps"):
        load_weights(tmp_path / "trees.safetensors", longer.network(SeriesMethod(name="aqnet")), belongs_to="one")


def flat_index(task):
    """Where `flat` has the target of the last hour."""
    seen = task.windows.lesson(ASKED[:1], torch.from_numpy(EVERY)).seen
    width = (flat(seen).shape[-1] - seen.clock.shape[-1]) // 24
    return 23 * width + task.windows.hours.channels.index("pm2p5")


def test_voices_have_equal_parts_in_what_is_told_of_stations_that_are_seen():
    known = EVERY.copy()
    known[2] = False
    task, one = beside(LINE, known), np.array([1120, 1130])
    scaler = type("Scale", (), {"restored": staticmethod(lambda _, v: v)})()

    class Says(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, seen, places, offsets, k):
            return torch.full((len(seen.inputs), STATIONS, 1, 3), self.value)

    voices = {name: Trained(task, [Says(value)], scaler, 3) for name, value in zip(VOICES, (2.0, 6.0), strict=True)}
    told = blended(Trained(task, [Says(0.0), Says(2.0)], scaler, 3, voices), one)
    assert told[:, known] == pytest.approx(3)  # (1 + 2 + 6) / 3
    assert told[:, 2] == pytest.approx(1)  # nobody but the networks


def test_thinned_moments_are_of_all_hours_of_the_day():
    for step in THIN.values():
        assert set(np.arange(1, 24 * 91 + 2)[::step] % 24) == set(range(24))


def test_trees_stop_after_a_step_and_go_on(tmp_path, monkeypatch):
    task, method, facts = beside(BOOSTING), SeriesMethod(name="aqnet"), {"seed": 0, "study": "one"}
    learn_voice(task, [task.parts], method, tmp_path / "whole", **facts)

    def asked_once(what, done, total):
        if done == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="the trees of 2 of 3 steps; the same command goes on"):
        learn_voice(task, [task.parts], method, tmp_path / "stopped", **facts, progress=asked_once)
    assert not (tmp_path / "stopped" / "best.safetensors").exists()
    grown = []
    learn_voice(
        task, [task.parts], method, tmp_path / "stopped", **facts, progress=lambda _, done, total: grown.append(done)
    )
    assert grown == [3]
    both = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert both[0] == both[1]


@pytest.mark.parametrize(("which", "part"), [(LINE, "validation"), (BOOSTING, "training")])
def test_a_step_that_is_never_known_is_named(which, part, tmp_path):
    task = beside(which)
    task.windows.wanted[..., 1] = torch.nan
    with pytest.raises(StudyError, match=f"no value is known 2 steps after the moments of {part}"):
        learn_voice(task, [task.parts], SeriesMethod(name="aqnet"), tmp_path, seed=0, study="one")


def test_patchtst_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    with pytest.raises(StudyError, match=r'transformers is not installed. Run `pip install "airloom\[series\]"`'):
        beside("patchtst").network(SeriesMethod(name="aqnet"))


def test_a_fold_of_hidden_stations_needs_no_voice_but_the_networks(tmp_path):
    jobs = jobs_of(changed(write(tmp_path), {}))
    assert {j.fold for j in jobs if j.which in VOICES} == {None}
    assert {j.which for j in jobs if j.fold == 1} == {"aqnet"}


def test_turns_let_every_week_before_the_test_validate_once():
    hours = np.datetime64("2020-01-06T00", "h") + np.arange(24 * 7 * 20)
    moments, asked = np.arange(23, len(hours)), {"test": datetime(2020, 4, 20), "every": 4}
    turns = turns_of(hours, moments, 1, 6, **asked)
    first = parts_of(hours, moments, 1, 6, **asked)
    assert len(turns) == 4
    assert np.array_equal(turns[0].validation, first.validation)
    together = np.concatenate([t.validation for t in turns])
    assert len(set(together)) == len(together)
    assert len(together) > 0.9 * 24 * 7 * 15
    for turn in turns:
        told = (turn.validation[:, None] + np.arange(1, 7)).ravel()
        assert not np.isin((turn.train[:, None] + np.arange(1, 7)).ravel(), told).any()


def test_crossed_lines_know_nothing_of_the_weeks_that_they_are_asked_of():
    """Another value in one turn's weeks changes what the others' lines say, never what its own does."""
    found, half = series(gaps=0), np.arange(23, 390)
    turns = [Parts(half[half < 180], half[half > 220], ASKED), Parts(half[half > 220], half[half < 180], ASKED)]
    told = []
    for value in (0.0, 5.0):
        forecasts = Forecasts.of(hours_of(found), HOURLY, 3, 1)
        forecasts.wanted[220:] += value
        told.append(crossed(forecasts, turns, np.full(3, 100.0), EVERY, 1))
    numbers = [len(t.validation) * STATIONS for t in turns]
    after = np.repeat([True, False], numbers)  # told by a line that has not seen the changed hours
    assert np.array_equal(told[0][0][after], told[1][0][after])
    assert not np.allclose(told[0][0][~after], told[1][0][~after])


def test_crossed_lines_are_held_as_much_as_the_whole_one():
    """Of a turn that trains on half of what the first does, the line is held half as much."""
    task, penalty, half = beside("ridge"), 3000.0, TRAIN[:400]
    turns = [Parts(TRAIN, CHECKS, ASKED), Parts(half, CHECKS, ASKED)]
    told, came = crossed(task.windows, turns, np.full(3, penalty), EVERY, 1)
    rows, wanted = next(designs(task.windows, half, EVERY))
    whole, there = np.isfinite(wanted).any(1), np.isfinite(wanted)
    terms = np.c_[rows, np.ones(len(rows))].astype(float)[whole]
    held = penalty * len(half) / len(TRAIN) * np.diag(np.append(np.ones(rows.shape[1]), 0))
    line = np.linalg.solve(terms.T @ terms + held, terms.T @ np.where(there, wanted, 0)[whole])
    asked, due = next(designs(task.windows, CHECKS, EVERY))
    assert told[len(asked) :] == pytest.approx(asked @ line[:-1] + line[-1], abs=1e-3)
    assert np.array_equal(came[len(asked) :], due, equal_nan=True)
    assert not np.allclose(told[: len(asked)], told[len(asked) :], atol=1e-2)


def test_forecasts_are_as_wide_as_the_lines_errors_and_as_much_narrower_as_all_err_less():
    """Others that know the truth shrink what the line errs to a third, and the intervals with it."""
    task = beside(LINE)
    line, scaler = solved(task), type("Scale", (), {"restored": staticmethod(lambda _, v: 50 + 10 * v), "mean": {}})()
    voice = Trained(task, [line], scaler, 3)

    class Truth(torch.nn.Module):
        def forward(self, seen, places, offsets, k):
            return torch.nan_to_num(wanted_of(task, seen))

    turns = [task.parts]
    widths = []
    for voices in ({LINE: voice}, {LINE: voice, BOOSTING: Trained(task, [Truth()], scaler, 3)}):
        found = of_forecast(Trained(task, [Truth()], scaler, 3, voices), turns)
        low, high = found[0].between(0.8, np.array([50.0]), np.ones(1))
        widths.append(float((high - low)[0]))
    assert widths[0] == pytest.approx(1.5 * widths[1])  # a half and a third of the line's error


def wanted_of(task, seen):
    """What comes after moments that are told by their clocks, all different."""
    clocks = task.windows.hours.clock
    at = [int((clocks == c).all(1).nonzero()[0, 0]) for c in seen.clock]
    return task.windows.wanted[at]


def test_what_more_of_the_network_knows_has_narrower_intervals():
    level = np.array([[1.0, np.nan, 3.0, np.nan]])
    assert known_of(level, np.array([True, True, True, False]))[0] == pytest.approx([2 / 3] * 4)
    draw = np.random.default_rng(0)
    known = draw.choice([0.2, 1.0], (20_000, 1))
    observed = 50 + draw.normal(0, 5 / known)
    (found,) = of_errors([Errors(np.full_like(observed, 50), observed, known)])
    width = [float(np.diff(found.between(0.8, np.array([50.0]), np.array([k])), axis=0)[0, 0]) for k in (0.2, 1.0)]
    assert width[0] == pytest.approx(5 * width[1], rel=0.1)


def test_intervals_are_widened_about_what_is_told():
    draw = np.random.default_rng(0)
    observed = 100 + draw.normal(0, 5, (5000, 1))
    (found,) = of_errors([Errors(np.full_like(observed, 100), observed, np.ones_like(observed))])
    ends = [c.between(0.5, np.array([100.0]), np.ones(1)) for c in (found, found.widened(2))]
    (low, high), (lower, higher) = ((e[0][0], e[1][0]) for e in ends)
    assert (100 - lower, higher - 100) == pytest.approx((2 * (100 - low), 2 * (high - 100)))
