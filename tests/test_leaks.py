"""What must not reach the network does not: a planted leak shows."""

import numpy as np
import pytest
import torch
import xarray as xr

from airloom.cube.layers import maps
from airloom.errors import DataError
from airloom.grid import Tile
from airloom.learn.batches import Normaliser, Reader
from airloom.learn.sets import Sets
from airloom.learn.train import PhaseTrainer
from airloom.methods.template import LinearField
from airloom.parts import LayerPart, Phase
from airloom.sources.places import Places
from airloom.study import parse
from tests.memory_cube import FACTOR, memory_cube
from tests.small import STUDY

WITHHELD = np.array([False, False, False, True, False, False])
CHANNELS = {"calendar": 2, "weather": 2, "emissions": 1, "geography": 2}


def weights(folder, cube, seen) -> dict[str, torch.Tensor]:
    """What a phase learns from the stations that are `seen`, normalised by those that are not withheld."""
    phase = Phase(number=2, years=(2020,), start_from="scratch", epochs=2, batch=4)
    normaliser = Normaliser.of(cube, [2020], ~WITHHELD)
    network = LinearField(CHANNELS, factor=FACTOR, start=normaliser.start)
    sets = Sets.of(phase, cube.years == 2020, seen, seed=0)
    reader, tiles = Reader(cube, normaliser, FACTOR), [Tile(0, 0, 16)]
    trainer = PhaseTrainer(phase, network, None, reader, tiles, sets, study="a", seed=0, folder=folder, name="phase 2")
    trainer.run(lambda *_: None)
    return network.state_dict()


def cubes():
    """The same cube twice, but for the values of the withheld station."""
    cube = memory_cube()
    observed = cube.group["observed"][:]
    observed[:, WITHHELD] = 500.0
    return cube, memory_cube(observed=observed)


def same(a, b) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


def test_values_of_withheld_stations_change_no_weight(tmp_path):
    one, other = cubes()
    assert same(weights(tmp_path / "one", one, ~WITHHELD), weights(tmp_path / "other", other, ~WITHHELD))


def test_a_planted_leak_changes_them(tmp_path):
    everyone = np.ones(6, bool)
    one, other = cubes()
    assert not same(weights(tmp_path / "one", one, everyone), weights(tmp_path / "other", other, everyone))


def test_emissions_that_change_by_the_hour_are_refused(monkeypatch, tmp_path):
    def hourly(self, grid):
        return xr.Dataset({"population": (("time", "y", "x"), np.ones((24, *grid.shape), np.float32))})

    monkeypatch.setattr(Places, "layers", hourly)
    with pytest.raises(DataError, match=r"layer population: is on \('time', 'y', 'x'\), and a map stands still"):
        maps((LayerPart(source="places", name="population"),), parse(STUDY, where="small"), tmp_path)
