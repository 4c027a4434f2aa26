"""Stations' own shares: found, taken from what teaches, and told by training values alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from airloom.grid import Tile
from airloom.learn.batches import Normaliser, Reader
from airloom.learn.own import _at, own_shares
from airloom.parts import Loss
from airloom.stats.standing import OFFSET
from tests.memory_cube import COLUMNS, FACTOR, ROWS, memory_cube
from tests.trainers import FEW, STATIONS, TILES, TIMES, TRAINING, Recorder, linear, phase, quiet, same, trainer

ODD = 2  # the station that stands out


class Constant(nn.Module):
    """A field of so many units everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, inputs):
        maps = inputs["emissions"]
        return torch.full((len(inputs["calendar"]), 1, *maps.shape[-2:]), self.value)


def standing_out(factor: float) -> np.ndarray:
    """20 µg m⁻³ but for what days bring; at one station `factor` as much, with the offset, on all days."""
    days = np.random.default_rng(3).normal(0, 0.05, (TIMES, STATIONS))
    observed = (20 + OFFSET) * np.exp(days)
    observed[:, ODD] *= factor
    return observed - OFFSET


def shares(observed: np.ndarray) -> np.ndarray:
    reader = Recorder(memory_cube(observed=observed)).inner
    return own_shares(Constant(20 / reader.normaliser.unit), reader, TILES, FEW, "phase 2", quiet)


def test_what_stands_out_at_one_station_is_its_own():
    found = shares(standing_out(2.0))
    others = [s for s in TRAINING if s != ODD]
    assert found[ODD] > 0.6 * np.log(2)  # five stations, nine views of maps: a little is told by these
    assert np.abs(found[others]).max() < 0.3 * np.log(2)


def test_what_all_stations_share_is_no_ones_own():
    assert np.abs(shares(standing_out(1.0) * 1.5)).max() < 0.05  # the field is wrong, which it is to learn


def test_values_that_do_not_train_are_never_looked_at():
    observed = standing_out(2.0)
    blind = np.where(FEW.train, observed, 1e6)
    np.testing.assert_array_equal(shares(blind), shares(observed))


def test_a_station_without_values_has_none():
    observed = standing_out(2.0)
    observed[:, 4] = np.nan
    assert shares(observed)[4] == 0
    assert np.isfinite(shares(observed)).all()


def test_the_former_field_is_read_in_each_stations_cell():
    class Map(nn.Module):
        def forward(self, inputs):
            return inputs["emissions"].expand(len(inputs["calendar"]), -1, -1, -1) + 10

    reader, windows = Recorder().inner, [Tile(r, c, 8) for r in (0, 4, 8) for c in (0, 4, 8)]
    found = _at(Map(), reader, windows, np.arange(3), np.stack([ROWS, COLUMNS], 1), "phase 2", quiet)
    emissions = reader.cube.group["emissions"][0]
    expected = ((emissions - emissions.mean()) / emissions.std() + 10)[ROWS, COLUMNS] * reader.normaliser.unit
    np.testing.assert_allclose(found, np.broadcast_to(expected, (3, STATIONS)), rtol=1e-5)


def test_own_shares_are_taken_from_targets_by_hand():
    reader = Recorder(memory_cube(observed=np.full((TIMES, STATIONS), 19.0))).inner
    own = np.zeros(STATIONS)
    own[0] = np.log(2)
    batch = reader.read(np.array([3]), Tile(0, 0, 16), np.ones((TIMES, STATIONS), bool), own=own)
    observed = batch.observed[0, ROWS, COLUMNS].numpy() * reader.normaliser.unit
    assert observed == pytest.approx([8.0, 19, 19, 19, 19, 19], rel=1e-5)  # (19 + 3) / 2 − 3


def test_a_network_that_learns_without_them_keeps_the_odd_station_out_of_its_field(tmp_path):
    observed, former = standing_out(3.0), linear()
    normaliser = Normaliser.of(memory_cube(observed=observed), [2020], np.arange(STATIONS) != 3)
    fields = {}
    for own in (False, True):
        network = copy.deepcopy(former)
        reader = Recorder(memory_cube(observed=observed))
        reader.inner = Reader(reader.cube, normaliser, FACTOR)
        reader.normaliser = normaliser
        asked = phase(start_from="former", epochs=60, learning_rate=0.1, own_shares=own)
        trainer(tmp_path / str(own), asked, network, former=Constant(20 / normaliser.unit), reader=reader).run(quiet)
        inputs = reader.inner.read(np.arange(8), Tile(0, 0, 16)).inputs
        with torch.no_grad():
            fields[own] = normaliser.physical(network.eval()(inputs).numpy())[:, 0, ROWS, COLUMNS]
    others = [s for s in range(STATIONS) if s != ODD]
    error = {own: np.abs(f[:, others] - observed[:8][:, others]).mean() for own, f in fields.items()}
    assert error[True] < 0.5 * error[False]


def test_going_on_finds_the_same_shares(tmp_path):
    observed, former = standing_out(2.0), linear()
    asked = phase(start_from="former", epochs=2, own_shares=True)
    whole = linear()
    trainer(tmp_path / "a", asked, whole, former=former, reader=Recorder(memory_cube(observed=observed))).run(quiet)
    parts = linear()
    made = trainer(tmp_path / "b", asked, parts, former=former, reader=Recorder(memory_cube(observed=observed)))
    made._over = lambda: made.log.epoch >= 1
    made.run(quiet)
    parts = linear()
    trainer(tmp_path / "b", asked, parts, former=former, reader=Recorder(memory_cube(observed=observed))).run(quiet)
    assert same(whole.state_dict(), parts.state_dict())


def test_a_phase_that_has_ended_asks_its_former_model_for_nothing(tmp_path):
    asked = phase(start_from="former", epochs=1, own_shares=True, loss=Loss(former_ssim=1, ssim_cell=2000))
    cube = memory_cube(observed=standing_out(2.0))
    trainer(tmp_path, asked, linear(), former=linear(), reader=Recorder(cube)).run(quiet)
    reader = Recorder(cube)
    trainer(tmp_path, asked, linear(), former=linear(), reader=reader).run(quiet)
    assert reader.asked == []
