"""Training: resumed as if never stopped, on the right days and stations."""

import copy
import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from airloom.errors import CheckpointError, DataError, StudyError
from airloom.learn import train
from airloom.learn.stop import Stopped
from airloom.learn.train import PhaseTrainer
from airloom.parts import Loss, Validation
from tests.memory_cube import memory_cube
from tests.trainers import (
    IN_2020,
    STATIONS,
    TILES,
    TIMES,
    TRAINING,
    WITHHELD,
    Recorder,
    among,
    dacno2,
    linear,
    phase,
    quiet,
    same,
    split,
    trainer,
)

# Going on as if never stopped


class Killed(Exception):
    """What stands for a crash."""


def left(folder) -> tuple[dict, dict]:
    """All tensors that a phase left behind."""
    return load_file(folder / "state.safetensors"), load_file(folder / "best.safetensors")


def losses(log: train.Log) -> list:
    return [{k: v for k, v in epoch.items() if k not in ("seconds", "waited")} for epoch in log.epochs]


STEPS, EPOCHS, CHECKS = 4, 3, 2  # two batches of each of two tiles an epoch, and one of each to validate
ASKED = phase(epochs=EPOCHS)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A phase trained at once: its folder, log, final weights, random state, and what it read."""
    folder, reader, network = tmp_path_factory.mktemp("at-once"), Recorder(), dacno2()
    log = trainer(folder, ASKED, network, reader=reader).run(quiet)
    return folder, losses(log), network.state_dict(), torch.get_rng_state(), reader.asked


@pytest.mark.parametrize(
    "stops",
    [[2], [STEPS], [STEPS + 1], [2 * STEPS], [3, STEPS + 2, STEPS + 3, 2 * STEPS + 1]],
    ids=["within the first epoch", "at its end", "within the second", "between epochs", "again and again"],
)
def test_stopped_and_resumed_is_never_stopped(tmp_path, uninterrupted, stops):
    folder, log, weights, random, asked = uninterrupted
    for stop in stops:

        def ask_to_stop(what, done, total, stop=stop):
            if done == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(Stopped, match="phase 2: stopped in epoch"):
            trainer(tmp_path, ASKED).run(ask_to_stop)
        torch.rand(stop)  # another process: its random state is another
    network, reader = dacno2(), Recorder()
    found = trainer(tmp_path, ASKED, network, reader=reader).run(quiet)
    assert losses(found) == log
    assert same(network.state_dict(), weights)
    assert torch.equal(torch.get_rng_state(), random)
    for one, other in zip(left(tmp_path), left(folder), strict=True):
        assert same(one, other)
    assert reader.asked == asked[-len(reader.asked) :]
    assert len(reader.asked) == len(asked) - stops[-1] - (stops[-1] - 1) // STEPS * CHECKS  # no batch is read twice


@pytest.mark.parametrize("crash", ["a batch", "the checkpoint"])
def test_crashed_and_resumed_is_never_stopped(tmp_path, uninterrupted, monkeypatch, crash):
    folder, log, weights, *_ = uninterrupted

    def fail(*args):
        if crash == "the checkpoint" or args[1] == STEPS + 2:
            raise Killed

    progress = fail if crash == "a batch" else quiet
    with monkeypatch.context() as patched:
        if crash == "the checkpoint":
            patched.setattr(train, "save_state", fail)
        with pytest.raises(Killed):
            trainer(tmp_path, ASKED).run(progress)
    network = dacno2()
    assert losses(trainer(tmp_path, ASKED, network).run(quiet)) == log
    assert same(network.state_dict(), weights)
    for one, other in zip(left(tmp_path), left(folder), strict=True):
        assert same(one, other)


@pytest.mark.parametrize("step", range(1, EPOCHS * STEPS))
def test_crashed_at_any_step_it_goes_on_from_the_state_within_the_epoch(tmp_path, uninterrupted, monkeypatch, step):
    _, log, weights, _, asked = uninterrupted
    monkeypatch.setattr(train, "SAVE_EVERY", 0)

    def fail(what, done, total):
        if done == step + 1:  # its weights have changed, and are not saved
            raise Killed

    with pytest.raises(Killed):
        trainer(tmp_path, ASKED).run(fail)
    network, reader = dacno2(), Recorder()
    assert losses(trainer(tmp_path, ASKED, network, reader=reader).run(quiet)) == log
    assert same(network.state_dict(), weights)
    assert len(reader.asked) == len(asked) - step - step // STEPS * CHECKS


IN_PARTS = phase(epochs=2, batch=2, accumulate=2)
PARTS, OF_EPOCH = 8, 10  # forward passes of an epoch that train, and all of them: the last two validate


def at_forward(number, network, do) -> list:
    """Do something within so many-th forward pass; all that were made."""
    made = []

    def count(*_):
        made.append(True)
        if len(made) == number:
            do()

    network.register_forward_hook(count)
    return made


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory):
    """A phase whose steps have two micro-batches, trained at once: its folder, log, final weights, and what it read."""
    folder, reader, network = tmp_path_factory.mktemp("in-parts"), Recorder(), dacno2()
    log = trainer(folder, IN_PARTS, network, reader=reader).run(quiet)
    return folder, losses(log), network.state_dict(), reader.asked


@pytest.mark.parametrize("forward", [1, 2, 5, PARTS, PARTS + 1, OF_EPOCH, OF_EPOCH + 1, OF_EPOCH + PARTS + 1])
def test_stopped_within_a_step_or_validation_and_resumed_is_never_stopped(tmp_path, in_parts, forward):
    folder, log, weights, asked = in_parts
    network = dacno2()
    made = at_forward(forward, network, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match="phase 2: stopped in epoch"):
        trainer(tmp_path, IN_PARTS, network).run(quiet)
    assert len(made) == forward  # not one more
    network, reader = dacno2(), Recorder()
    assert losses(trainer(tmp_path, IN_PARTS, network, reader=reader).run(quiet)) == log
    assert same(network.state_dict(), weights)
    for one, other in zip(left(tmp_path), left(folder), strict=True):
        assert same(one, other)
    epoch, within = divmod(forward, OF_EPOCH)
    kept = epoch * OF_EPOCH + min(within - within % 2, PARTS)  # of an unfinished step or validation nothing
    assert reader.asked == asked[kept:]


def test_a_crash_in_validation_costs_no_step(tmp_path, in_parts):
    def crash():
        raise Killed

    network, reader = dacno2(), Recorder()
    at_forward(PARTS + 2, network, crash)
    with pytest.raises(Killed):
        trainer(tmp_path, IN_PARTS, network).run(quiet)
    network = dacno2()
    trainer(tmp_path, IN_PARTS, network, reader=reader).run(quiet)
    assert same(network.state_dict(), in_parts[2])
    assert reader.asked == in_parts[3][PARTS:]


def test_an_epoch_tells_its_time_and_how_much_of_it_was_waited_for_batches(uninterrupted):
    for epoch in json.loads((uninterrupted[0] / "log.json").read_text()):
        assert 0 <= epoch["waited"] < epoch["seconds"]


def test_a_phase_that_has_ended_trains_no_more(uninterrupted):
    folder, log, weights, *_ = uninterrupted
    network, reader = dacno2(), Recorder()
    assert losses(trainer(folder, ASKED, network, reader=reader).run(quiet)) == log
    assert same(network.state_dict(), weights)
    assert reader.asked == []


def test_another_studys_folder_is_refused(uninterrupted):
    with pytest.raises(CheckpointError, match="belongs to another study"):
        trainer(uninterrupted[0], ASKED, study="xyz").run(quiet)


# The best epoch


def told(monkeypatch, values: list[float]) -> list[dict]:
    """Let validation tell `values` one after the other; the weights at each are kept."""
    weights, values = [], iter(values)

    def validate(self):
        weights.append(copy.deepcopy(self.network.state_dict()))
        return next(values)

    monkeypatch.setattr(PhaseTrainer, "validate", validate)
    return weights


def test_training_ends_when_patience_does_and_the_best_weights_are_kept(tmp_path, monkeypatch):
    weights = told(monkeypatch, [5.0, 3.0, 4.0, 3.0, 1.0])  # as good is not better
    network = linear()
    log = trainer(tmp_path, phase(epochs=9, patience=2), network).run(quiet)
    assert (log.epoch, log.best, log.best_epoch) == (4, 3.0, 2)
    assert same(network.state_dict(), weights[1])
    assert not same(network.state_dict(), weights[3])


def test_a_better_epoch_renews_patience(tmp_path, monkeypatch):
    weights = told(monkeypatch, [5.0, 6.0, 4.0, 4.5, 3.0])
    network = linear()
    log = trainer(tmp_path, phase(epochs=5, patience=2), network).run(quiet)
    assert (log.epoch, log.best_epoch) == (5, 5)
    assert same(network.state_dict(), weights[4])


# Validation


def test_validation_is_the_mean_over_its_values(tmp_path):
    reader = Recorder()
    found = trainer(tmp_path, phase(), linear(), reader=reader, tiles=TILES[:1]).validate()
    observed = reader.cube.stations.daily.to_numpy()[8:12][:, TRAINING] / reader.normaliser.unit
    assert found == pytest.approx(np.nanmean((3.0 - observed) ** 2), rel=1e-5)  # untrained: 3 everywhere


def test_validation_changes_nothing(tmp_path):
    made = trainer(tmp_path, phase(loss=Loss(former_ssim=1, ssim_cell=2000)), former=dacno2().eval())
    before, random = copy.deepcopy(made.network.state_dict()), torch.get_rng_state()
    assert made.validate() == made.validate()
    assert same(made.network.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), random)


def test_validation_without_a_value_is_refused(tmp_path):
    cube = memory_cube(observed=np.where(np.arange(40)[:, None] < 8, 20.0, np.nan) * np.ones(6))
    with pytest.raises(DataError, match="phase 2: no station has a value on the 4 validation days"):
        trainer(tmp_path, phase(), reader=Recorder(cube)).validate()


# Days and stations


@pytest.mark.parametrize("by", ["days", "stations", "values"])
@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_the_values_of_a_phase_are_split_and_none_is_lost(by, fraction):
    found = split(by, fraction)
    assert not (found.train & found.check).any()
    np.testing.assert_array_equal(found.train | found.check, np.outer(among(TIMES, IN_2020), among(STATIONS, TRAINING)))


def test_by_days_all_stations_are_on_both_sides():
    found = split("days", 0.2)
    assert found.check.any(1).sum() == 0.2 * 20
    assert not (found.train.any(1) & found.check.any(1)).any()
    assert np.flatnonzero(found.check.any(0)).tolist() == TRAINING.tolist()


@pytest.mark.parametrize("fraction", [0.2, 0.4, 0.01])
def test_by_stations_all_days_are_on_both_sides(fraction):
    found = split("stations", fraction)
    assert found.check.any(0).sum() == max(1, fraction * 5)
    assert np.flatnonzero(found.check.any(1)).tolist() == IN_2020.tolist()


def test_by_values_every_day_and_every_station_is_still_seen():
    found = split("values", 0.2)
    assert 10 < found.check.sum() < 30  # of 100 values
    assert found.train.any(0)[TRAINING].all()
    assert found.train.any(1)[IN_2020].all()


@pytest.mark.parametrize("by", ["days", "values"])
def test_the_split_is_that_of_the_seed_and_by_values_of_the_phase(by):
    def taken(number, seed):
        return split(by, 0.2, number=number, seed=seed).check.tolist()

    assert taken(2, 0) == taken(2, 0)
    assert taken(2, 0) != taken(2, 1)
    # a day that one phase has learnt does not judge the next
    assert (taken(2, 0) == taken(3, 0)) == (by == "days")


@pytest.mark.parametrize(("by", "fraction", "days"), [("stations", 0.99, IN_2020), ("days", 0.5, IN_2020[:1])])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(by, fraction, days):
    with pytest.raises(StudyError, match="leaves nothing to train on, or nothing to validate on"):
        split(by, fraction, days=days)


@pytest.mark.parametrize("by", ["days", "stations", "values"])
def test_only_the_phases_values_are_read(tmp_path, by):
    asked = phase(epochs=1, validation=Validation(by=by))
    sets, reader = split(by, 0.2), Recorder()
    trainer(tmp_path, asked, linear(), reader=reader, sets=sets).run(quiet)
    trained, checked = reader.asked[: -len(TILES)], reader.asked[-len(TILES) :]
    assert {d for days, *_ in trained for d in days} == set(np.flatnonzero(sets.train.any(1)))
    assert {d for days, *_ in checked for d in days} == set(np.flatnonzero(sets.check.any(1)))
    assert all(seen is sets.train for *_, seen in trained)
    assert all(seen is sets.check for *_, seen in checked)


def test_withheld_values_and_other_years_change_nothing(tmp_path):
    weights = []
    for number, strange in enumerate((False, True)):
        observed, weather = memory_cube().stations.daily.to_numpy().copy(), memory_cube().group["weather"][:]
        if strange:
            observed[:, WITHHELD], observed[20:], weather[20:] = 1e6, -1e6, np.nan
        network = linear()
        reader = Recorder(memory_cube(observed=observed, weather=weather))
        trainer(tmp_path / str(number), phase(), network, reader=reader).run(quiet)
        weights.append(network.state_dict())
    assert same(*weights)
