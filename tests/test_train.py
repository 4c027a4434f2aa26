"""Training: resumed as if never stopped, on the right days and stations, towards the right loss."""

import copy
import dataclasses
import os
import re
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from airloom.errors import CheckpointError, DataError, StudyError
from airloom.grid import Tile
from airloom.learn import train
from airloom.learn.batches import Normaliser, Reader
from airloom.learn.losses import structural_dissimilarity
from airloom.learn.mirror import AS_IT_IS
from airloom.learn.stop import Stopped
from airloom.learn.train import PhaseTrainer, Sets
from airloom.methods.dacno2.method import DACNO2Method
from airloom.methods.dacno2.network import DACNO2, Widths
from airloom.methods.template import LinearField
from airloom.parts import Loss, Phase, Validation
from tests.memory_cube import FACTOR, memory_cube

CHANNELS = {"calendar": 2, "weather": 2, "emissions": 1, "geography": 2}
TILES = [Tile(0, 0, 16), Tile(4, 4, 12)]
IN_2020, WITHHELD = np.arange(20), 3
TRAINING = np.array([0, 1, 2, 4, 5])
TIMES, STATIONS = 40, 6  # of the cube in memory


def among(total, chosen) -> np.ndarray:
    """Bool on (total,), true at `chosen`."""
    return np.isin(np.arange(total), chosen)


DAYS = among(TIMES, range(8)), among(TIMES, range(8, 12))
FEW = Sets(*(np.outer(days, among(STATIONS, TRAINING)) for days in DAYS), *DAYS)


def quiet(what, done, total):
    pass


class Recorder:
    """Reads as a Reader does, and notes what was asked for."""

    def __init__(self, cube=None):
        clean = memory_cube()  # statistics of the whole values, whatever a test did to the cube
        self.normaliser = Normaliser.of(clean, [2020], np.arange(6) != WITHHELD)
        self.inner = Reader(cube or clean, self.normaliser, FACTOR)
        self.cube, self.factor, self.chemistry_factor, self.levels = self.inner.cube, FACTOR, 1, self.inner.levels
        self.asked, self.mirrors = [], []

    def read(self, days, tile, seen=None, *, chemistry=False, mirror=AS_IT_IS):
        self.asked.append((days.tolist(), tile, seen))
        self.mirrors.append(mirror)
        return self.inner.read(days, tile, seen, chemistry=chemistry, mirror=mirror)


def phase(**changes) -> Phase:
    return Phase(**({"number": 2, "years": (2020,), "start_from": "scratch", "epochs": 2, "batch": 4} | changes))


def dacno2(dropout=0.2) -> DACNO2:
    torch.manual_seed(0)
    widths = Widths(encoder=(5, 5), upper=(3, 3), decoder=(4, 4), embedding=2)
    return DACNO2(CHANNELS, levels=1, scales=2, widths=widths, dropout=dropout, start=3.0)


def linear() -> LinearField:
    return LinearField(CHANNELS, factor=FACTOR, start=3.0)


def trainer(folder, asked: Phase, network=None, *, former=None, reader=None, tiles=TILES, sets=FEW, study="abc"):
    return PhaseTrainer(
        asked,
        network or dacno2(),
        former,
        reader or Recorder(),
        tiles,
        sets,
        study=study,
        seed=0,
        folder=folder,
        name="phase 2",
    )


# Going on as if never stopped


class Killed(Exception):
    """What stands for a crash."""


def left(folder) -> tuple[dict, dict]:
    """All tensors that a phase left behind."""
    return load_file(folder / "state.safetensors"), load_file(folder / "best.safetensors")


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def losses(log: train.Log) -> list:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in log.epochs]


STEPS, EPOCHS = 4, 3  # two batches of each of two tiles an epoch
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
    assert len(reader.asked) < len(asked) or stops == [2]


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


def split(by, fraction, *, days=IN_2020, number=2, seed=0) -> Sets:
    asked = phase(number=number, validation=Validation(by=by, fraction=fraction))
    return Sets.of(asked, among(TIMES, days), among(STATIONS, TRAINING), seed)


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


# Steps and losses


def test_accumulated_micro_batches_are_one_step_on_their_mean_gradient(tmp_path):
    network, reader, taken = linear(), Recorder(), []
    made = trainer(tmp_path, phase(epochs=1, batch=2, accumulate=2), network, reader=reader, tiles=TILES[:1])
    start, step = copy.deepcopy(network), made.optimiser.step
    made.optimiser.step = lambda: (taken.append([p.grad.clone() for p in network.parameters()]), step())
    made.run(quiet)
    assert len(taken) == 2  # eight days, two a micro-batch, two micro-batches a step
    gradients = []
    for days, tile, seen in reader.asked[:2]:
        batch = reader.inner.read(np.array(days), tile, seen)
        there = torch.isfinite(batch.observed)
        loss = (start(batch.inputs)[:, 0] - batch.observed)[there].square().mean()
        gradients.append(torch.autograd.grad(loss, list(start.parameters())))
    mean = [(a + b) / 2 for a, b in zip(*gradients, strict=True)]
    norm = torch.cat([g.flatten() for g in mean]).norm()
    for found, expected in zip(taken[0], mean, strict=True):
        torch.testing.assert_close(found, expected * min(1.0, train.CLIP / norm.item()), atol=1e-5, rtol=1e-4)


def apart(network: nn.Module, former: nn.Module) -> float:
    """1 − SSIM between two models over some days."""
    inputs = Recorder().read(np.arange(12), TILES[0]).inputs
    with torch.no_grad():
        return structural_dissimilarity(network.eval()(inputs), former(inputs), window=7).item()


def test_the_term_of_the_former_model_keeps_the_new_one_near(tmp_path):
    former, changes = linear(), {}
    for layer in former.weights.values():
        nn.init.constant_(layer.weight, 0.3)
    for weight in (0.0, 30.0):
        loss = Loss(station_mse=1, former_ssim=weight, ssim_cell=2000, ssim_window=7)
        network = copy.deepcopy(former)
        asked = phase(number=3, epochs=6, patience=6, loss=loss, learning_rate=3e-2)
        trainer(tmp_path / str(weight), asked, network, former=former, tiles=TILES[:1]).run(quiet)
        changes[weight] = apart(network, former)
    assert 0 < changes[30.0] < changes[0.0] / 2


def test_the_former_model_is_not_changed(tmp_path):
    former = dacno2().eval()
    before = copy.deepcopy(former.state_dict())
    asked = phase(epochs=1, loss=Loss(former_ssim=1, ssim_cell=2000))
    trainer(tmp_path, asked, copy.deepcopy(former), former=former).run(quiet)
    assert same(former.state_dict(), before)
    assert not former.training


def test_a_term_of_weight_0_is_not_computed(tmp_path):
    class Untouched(nn.Module):
        def forward(self, inputs):
            raise AssertionError("the former model was run")

    trainer(tmp_path, phase(epochs=1), linear(), former=Untouched()).run(quiet)


def decoder_trained(folder) -> tuple[DACNO2, dict]:
    """A network whose decoder alone was trained, and its state before."""
    network, method = dacno2(), DACNO2Method()
    network.requires_grad_(False)
    for part in method.decoder(network):
        part.requires_grad_(True)
    before = copy.deepcopy(network.state_dict())
    trainer(folder, phase(epochs=1), network).run(quiet)
    return network, before


def test_a_phase_that_trains_the_decoder_changes_no_other_weight(tmp_path):
    network, before = decoder_trained(tmp_path)
    for name, weight in network.named_parameters():
        assert torch.equal(weight, before[name]) != weight.requires_grad, name
    trained = {name.split(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}
    assert trained == {"fuse", "decode", "head"}


def test_a_phase_that_trains_the_decoder_leaves_other_statistics_alone(tmp_path):
    network, before = decoder_trained(tmp_path)
    frozen = [n for n, _ in network.named_buffers() if n.split(".")[0] not in ("fuse", "decode", "head")]
    assert frozen
    assert [n for n in frozen if not torch.equal(network.state_dict()[n], before[n])] == []


def test_a_loss_that_is_not_finite_names_days_and_tile(tmp_path):
    weather = memory_cube().group["weather"][:]
    weather[5, 3, 1, 4, 4] = np.inf
    made = trainer(
        tmp_path,
        phase(batch=2),
        reader=Recorder(memory_cube(weather=weather, observed=np.full((40, 6), 20.0))),
        tiles=TILES[:1],
    )
    with pytest.raises(DataError, match="phase 2, epoch 1: the loss is not finite") as caught:
        made.run(quiet)
    message = str(caught.value)
    assert "2020-12-17" in message  # day 5
    assert len(re.findall(r"2020-12-\d\d", message)) == 2
    assert "tile at row 0, column 0" in message
    assert not made.state.is_file()


@pytest.mark.parametrize("make", [dacno2, linear])
def test_training_lowers_the_loss(tmp_path, make):
    asked = phase(epochs=8, patience=8, batch=8, learning_rate=3e-2)
    sets = split("days", 0.2)
    made = trainer(tmp_path, asked, make(), tiles=TILES[:1], sets=sets)
    untrained = made.validate()
    log = made.run(quiet)
    assert log.epochs[-1]["train"] < 0.5 * log.epochs[0]["train"]
    assert log.best < 0.8 * untrained
    assert made.validate() == pytest.approx(log.best)  # the network holds the best weights


def test_a_phase_with_mirrors_trains_in_them_and_validates_without(tmp_path):
    reader = Recorder()
    trainer(tmp_path, phase(epochs=4, mirror=True), reader=reader, tiles=[Tile(0, 0, 16)]).run(quiet)
    seen = [str(sets) for _, _, sets in reader.asked]
    training = {m for m, s in zip(reader.mirrors, seen, strict=True) if s == str(FEW.train)}
    checking = {m for m, s in zip(reader.mirrors, seen, strict=True) if s == str(FEW.check)}
    assert len(training) > 1
    assert checking == {AS_IT_IS}


# What teaches nothing


class Taught(Recorder):
    """A chemistry model on the grid's own cells that is 2 everywhere but on days without it."""

    def __init__(self, without=()):
        super().__init__()
        self.without = without

    def read(self, days, tile, seen=None, *, chemistry=False, mirror=AS_IT_IS):
        batch = super().read(days, tile, seen, chemistry=False, mirror=mirror)
        rows = torch.arange(tile.size, dtype=torch.float32)[:, None]
        field = (2 + 0.1 * rows).expand(len(days), 1, tile.size, tile.size).clone()
        field[[d in self.without for d in days.tolist()]] = np.nan
        return dataclasses.replace(batch, chemistry=field if chemistry else None)


TEACHING = Loss(station_mse=0, chemistry_mse=1, chemistry_ssim=0.5, ssim_window=7)


def test_a_day_without_the_chemistry_model_weighs_nothing(tmp_path):
    network, seen = dacno2().eval(), FEW.train
    losses = []
    for without, days in (((5,), [5, 6]), ((), [6])):
        made = trainer(tmp_path, phase(loss=TEACHING), network, reader=Taught(without))
        losses.append(float(made._loss(made._read(np.array(days), Tile(0, 0, 16), seen)).detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_batch_of_days_without_the_chemistry_model_moves_no_weight(tmp_path):
    made = trainer(tmp_path, phase(loss=TEACHING), reader=Taught(range(40)))
    loss = made._loss(made._read(np.array([5, 6]), Tile(0, 0, 16), FEW.train))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is None or not p.grad.any() for p in made.network.parameters())


def test_a_tile_of_sea_without_stations_or_emissions_moves_no_weight(tmp_path):
    reader = Recorder()
    reader.inner.cube.group["emissions"][:] = 0
    sea = Tile(8, 0, 4)
    made = trainer(tmp_path, phase(), linear(), reader=reader)
    batch = made._read(np.array([5, 6]), sea, FEW.train)
    assert not torch.isfinite(batch.observed).any()
    loss = made._loss(batch)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(not p.grad.any() for p in made.network.parameters())
